"""The explorer panel in a real viewer, driven by mouse and keys."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent

from napari_cryodeco.explore import landscape
from napari_cryodeco.gui.session import Target
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import write_tensors

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


def lasso(qtbot, panel, left, right, modifier=NONE):
    """A rectangle over a part of the plot's width, all of its height."""
    rect = panel.scatter.frame().rect
    corners = [(left, 0.01), (right, 0.01), (right, 0.99), (left, 0.99)]
    points = [
        QPoint(round(rect.left() + a * rect.width()), round(rect.top() + b * rect.height()))
        for a, b in corners
    ]
    qtbot.mousePress(panel.scatter, LEFT, modifier, points[0])
    for point in points[1:]:
        qtbot.mouseMove(panel.scatter, point)
    qtbot.mouseRelease(panel.scatter, LEFT, modifier, points[-1])


def test_before_a_run_it_says_what_to_do(panel):
    assert "Open a run folder" in panel.scatter.empty_text
    assert not panel.map_bar.isEnabled() and panel.run_bar.open.isEnabled()


def test_a_folder_that_is_no_run_is_refused_in_one_sentence(panel, tmp_path):
    panel.open_run(tmp_path)
    assert "is no run folder" in panel.message.text()


def test_opening_shows_points_and_a_map(opened, qtbot):
    viewer = opened.viewer_for_test
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=20_000)
    qtbot.waitUntil(lambda: "Å" in opened.map_bar.status.text(), timeout=10_000)
    assert "particles" in opened.run_bar.name.text()
    geometry = opened.session.run.geometry
    layer = viewer.layers[0]
    wide = np.asarray(layer.scale) * (
        layer.data.shape[0] if layer.ndim == 3 and hasattr(layer.data, "shape") else 1
    )
    assert (wide > 0).all() and geometry.length > 0


def test_fifty_clicks_leave_one_map_of_the_last(opened, qtbot):
    scatter, answers = opened.scatter, []
    opened.decoding.decoded.connect(answers.append)
    rect = scatter.frame().rect
    for i in range(50):
        place = QPoint(round(rect.left() + (i + 1) / 51 * rect.width()), round(rect.center().y()))
        qtbot.mouseClick(scatter, LEFT, NONE, place)
    last = opened.session.wanted().caption
    qtbot.waitUntil(lambda: bool(answers) and answers[-1].full, timeout=60_000)
    qtbot.wait(300)
    assert answers[-1].full and answers[-1].caption == last
    assert len(opened.viewer_for_test.layers) == 1
    shown, _ = opened.map.layer.shown
    assert np.array_equal(shown, answers[-1].volume.in_sigma())


def test_lasso_select_add_undo_and_count(opened, qtbot):
    qtbot.mouseClick(opened.selection_bar.button("lasso"), LEFT)
    lasso(qtbot, opened, 0.0, 0.5)
    x, _ = opened.session.coordinates()
    middle = opened.scatter.extent.left + opened.scatter.extent.width / 2
    expected = np.flatnonzero(x < middle)
    assert np.array_equal(opened.session.selected, expected)
    n = len(x)
    share = f"{len(expected):,} of {n:,} ({100 * len(expected) / n:.1f} %) selected"
    assert opened.selection_bar.count_text == share
    assert opened.session.target is Target.MEAN
    lasso(qtbot, opened, 0.5, 1.0, Qt.KeyboardModifier.ShiftModifier)
    assert len(opened.session.selected) == n
    qtbot.mouseClick(opened.selection_bar.button("undo"), LEFT)
    assert np.array_equal(opened.session.selected, expected)
    qtbot.mouseClick(opened.selection_bar.button("invert"), LEFT)
    assert np.array_equal(opened.session.selected, np.setdiff1d(np.arange(n), expected))
    step = opened.session.history.recipe.steps[0]
    assert step.kind == "lasso" and step.axes == ("PC1", "PC2")


def test_operation_buttons_do_what_the_keys_do(opened, qtbot):
    qtbot.mouseClick(opened.selection_bar.button("lasso"), LEFT)
    lasso(qtbot, opened, 0.0, 1.0)
    qtbot.mouseClick(opened.selection_bar.button("subtract"), LEFT)
    lasso(qtbot, opened, 0.5, 1.0)
    x, _ = opened.session.coordinates()
    middle = opened.scatter.extent.left + opened.scatter.extent.width / 2
    assert np.array_equal(opened.session.selected, np.flatnonzero(x < middle))


def test_a_click_decodes_the_neighbours_and_moves_the_status(opened, qtbot):
    with qtbot.waitSignal(opened.decoding.decoded, timeout=20_000):
        centre = opened.scatter.frame().rect.center().toPoint()
        qtbot.mouseClick(opened.scatter, LEFT, NONE, centre)
    assert opened.session.target is Target.POINT
    assert "neighbours of" in opened.map_bar.status.text()


def test_clusters_colour_and_their_legend_selects(opened, qtbot):
    opened.view_bar.k.setValue(2)
    qtbot.mouseClick(opened.view_bar.cluster, LEFT)
    qtbot.waitUntil(lambda: opened.session.clustering is not None, timeout=60_000)
    assert opened.view_bar.colour.currentText() == "cluster"
    opened.scatter.category_clicked.emit(1, "replace")
    labels = opened.session.clustering.labels
    assert np.array_equal(opened.session.selected, np.flatnonzero(labels == 1))
    opened.map_bar.target_chosen.emit("cluster")
    assert opened.map_bar.cluster.isVisibleTo(opened)
    opened.map_bar.cluster.setValue(2)
    assert "cluster 2" in opened.session.wanted().caption
    saved = list(opened.session.run.paths.views.glob("*-gmm-2.safetensors"))
    assert len(saved) == 1


def test_a_run_opens_with_the_number_of_its_clusters(panel, run_path, qtbot):
    run = Run.open(run_path)
    made = landscape.cluster(run.epoch().latents(), 6, "kmeans", epoch=run.epochs()[-1])
    landscape.save(made, run.paths.views)
    panel.open_run(run_path)
    qtbot.waitUntil(lambda: panel.session.clustering is not None, timeout=30_000)
    assert panel.view_bar.k.value() == 6
    assert panel.view_bar.method.currentData() == "kmeans"


def test_columns_of_the_users_file_become_colours(opened, qtbot):
    qtbot.waitUntil(lambda: bool(opened.session.columns), timeout=20_000)
    place = opened.view_bar.colour.findData("rlnDefocusU")
    assert "(Å)" in opened.view_bar.colour.itemText(place)
    opened.view_bar.colour_chosen.emit("rlnDefocusU")
    qtbot.waitUntil(lambda: opened.session.colouring.label != "particles", timeout=20_000)
    assert opened.session.colouring.label == "rlnDefocusU"
    defocus = opened.session.columns["rlnDefocusU"]
    assert np.allclose(opened.session.colouring.values, defocus, rtol=1e-5)
    assert "(Å)" in opened.session.describe(3)


def test_other_axes(opened, qtbot):
    opened.view_bar.x.setCurrentIndex(1)
    opened.view_bar.y.setCurrentIndex(2)
    opened.view_bar.axes_chosen.emit(1, 2)
    assert opened.session.axes == (1, 2)
    x, _ = opened.session.coordinates()
    assert np.array_equal(x, opened.session.projection.coordinates[:, 1])


def test_the_level_moves_the_isosurface_only(opened, qtbot):
    viewer = opened.viewer_for_test
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=20_000)
    opened.map_bar.level.setValue(2.25)
    assert opened.map.layer.level == 2.25
    zoom = viewer.scene.camera.zoom
    with qtbot.waitSignal(opened.decoding.decoded, timeout=20_000):
        opened.session.move_cursor_to(5)
    assert opened.map_bar.level.value() == 2.25 and viewer.scene.camera.zoom == zoom
    assert len(viewer.layers) == 1


def test_the_cursor_is_faint_while_the_map_is_that_of_a_selection(opened):
    assert not opened.scatter._idle
    opened.session.select_rows(np.array([1, 5, 8]))
    assert opened.session.target is Target.MEAN
    assert opened.scatter._idle
    opened.session.move_cursor_to(5)
    assert opened.session.target is Target.POINT
    assert not opened.scatter._idle


def test_named_selections_live_with_the_run(opened, qtbot, monkeypatch):
    opened.session.select_rows(np.array([1, 5, 8]))
    opened.named.keep("three")
    opened.session.clear_selection()
    assert opened.named.list.names == ["three"]
    opened.named.list.shown.emit(0)
    assert opened.session.selected.tolist() == [1, 5, 8]
    opened.named.keep("three")
    assert "choose another name" in opened.message.text()
    opened.named.list.renamed.emit(0, "drei")
    assert [s.name for s in opened.session.named] == ["drei"]
    assert len(list(opened.session.run.paths.selections.glob("*.safetensors"))) == 1
    opened.named.list.deleted.emit(0)
    assert not opened.session.named


def test_a_dropped_run_folder_opens(panel, run_path, qtbot):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(run_path))])
    event = QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, LEFT, NONE)
    panel.dropEvent(event)
    qtbot.waitUntil(lambda: panel.session.snapshot is not None, timeout=30_000)
    assert panel.session.run.path == run_path


def test_a_run_without_an_epoch_is_shown_as_soon_as_it_has_one(panel, run_path, qtbot, tmp_path):
    paths = RunPaths(run_path)
    hidden = tmp_path / "0001"
    shutil.move(paths.epoch(1), hidden)
    panel.open_run(run_path)
    assert "no finished epoch yet" in panel.scatter.empty_text
    shutil.move(hidden, paths.epoch(1))
    qtbot.waitUntil(lambda: panel.session.snapshot is not None, timeout=30_000)


def test_a_run_without_z_says_so_where_its_particles_would_be(panel, run_path, qtbot):
    config = Run.open(run_path).config.model_copy(update={"latent_dim": 0})
    RunPaths(run_path).config.write_text(config.to_yaml())
    latents = RunPaths(run_path).epoch(1) / "latents.safetensors"
    write_tensors(latents, {"latents": torch.zeros(60, 0)})
    with qtbot.waitSignal(panel.loader.failed, timeout=30_000):
        panel.open_run(run_path)
    assert "one rigid map" in panel.scatter.empty_text
    assert panel.message.text() == panel.scatter.empty_text


def test_a_newer_epoch_shows_by_itself_and_keeps_the_selection(opened, run_path, qtbot):
    opened.session.select_rows(np.array([2, 3]))
    paths = RunPaths(run_path)
    shutil.copytree(paths.epoch(1), paths.epoch(2))
    qtbot.waitUntil(lambda: opened.session.epoch == 2, timeout=30_000)
    assert opened.session.selected.tolist() == [2, 3]
    opened.run_bar.epoch_chosen.emit(1)
    qtbot.waitUntil(lambda: opened.session.epoch == 1, timeout=30_000)


def test_keys_undo_and_choose_the_tool(opened, qtbot):
    window = opened.viewer_for_test.window._qt_window
    window.show()
    window.activateWindow()
    opened.scatter.setFocus()
    qtbot.waitUntil(lambda: opened.scatter.hasFocus(), timeout=20_000)
    opened.session.select_all()
    qtbot.keyClick(opened.scatter, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: len(opened.session.selected) == 0, timeout=20_000)
    qtbot.keyClick(opened.scatter, Qt.Key.Key_L)
    qtbot.waitUntil(lambda: opened.scatter.mode == "lasso", timeout=20_000)


@pytest.mark.slow
def test_umap_is_computed_when_first_chosen_and_kept(opened, qtbot):
    opened.view_bar.view_chosen.emit("umap")
    qtbot.waitUntil(lambda: opened.session.view == "umap", timeout=400_000)
    assert opened.session.axis_names() == ["UMAP 1", "UMAP 2"]
    assert list(opened.session.run.paths.views.glob("*-umap.safetensors"))
    opened.view_bar.view_chosen.emit("pca")
    opened.view_bar.view_chosen.emit("umap")
    assert opened.session.view == "umap"


def test_a_trajectory_is_drawn_where_its_points_are(opened):
    latents = opened.session.loaded().latents
    opened.session.set_path(latents[:4])
    opened.session.set_path_position(1.5)
    x, y = opened.session.coordinates()
    assert np.allclose(opened.scatter._path, np.column_stack([x, y])[:4], atol=1e-4)
    opened.scatter.grab()
    opened.session.set_path(None)
    assert opened.scatter._path is None


@pytest.mark.slow
def test_a_umap_that_fails_says_why_in_one_sentence(opened, run_path, qtbot):
    (run_path / "epochs" / "0001" / "latents.safetensors").unlink()
    opened.view_bar.view_chosen.emit("umap")
    qtbot.waitUntil(
        lambda: "latents.safetensors is missing" in opened.message.text(), timeout=60_000
    )
    assert opened.session.view == "pca" and "\n" not in opened.message.text()


def test_the_curve_over_k_is_plotted_kept_and_closed(opened, qtbot):
    curve = opened.analysis.curve
    assert not curve.isVisibleTo(opened)
    with qtbot.waitSignal(opened.analysis.suggested, timeout=60_000) as told:
        qtbot.mouseClick(opened.view_bar.suggest, LEFT)
    found = told.args[0]
    assert curve.isVisibleTo(opened) and opened.view_bar.k.value() == found.suggested
    np.testing.assert_array_equal(curve.silhouette.series[0].y, found.silhouette)
    assert curve.bic.series[0].y.min() == 0
    assert list(opened.session.run.paths.views.glob("*-suggestion.json"))
    qtbot.mouseClick(curve.close_button, LEFT)
    assert not curve.isVisibleTo(opened)


def test_hdbscan_shows_who_is_unassigned(opened, qtbot):
    bar = opened.view_bar
    bar.method.setCurrentIndex(bar.method.findData("hdbscan"))
    assert bar.smallest.isVisibleTo(opened) and not bar.k.isVisibleTo(opened)
    bar.smallest.setValue(20)
    qtbot.mouseClick(bar.cluster, LEFT)
    qtbot.waitUntil(lambda: opened.session.clustering is not None, timeout=60_000)
    labels = opened.session.clustering.labels.copy()
    assert opened.session.clustering.method == "hdbscan" and len(labels) == 60
    labels[[4, 7]] = -1
    opened.session.set_clustering(replace(opened.session.clustering, labels=labels))
    assert "unassigned" in opened.session.describe(7)
    opened.scatter.category_clicked.emit(-1, "replace")
    assert opened.session.selected.tolist() == np.flatnonzero(labels < 0).tolist()


def test_filters_reach_the_map(opened, qtbot):
    qtbot.waitUntil(lambda: len(opened.viewer_for_test.layers) == 1, timeout=20_000)
    answers = []
    opened.decoding.decoded.connect(answers.append)

    def filters() -> list[tuple[float | None, float]]:
        asked = [one.volume.request for one in answers]
        return [(one.low_pass, one.b_factor) for one in asked]

    opened.map_bar.low_pass.setValue(40.0)
    qtbot.waitUntil(lambda: (40.0, 0.0) in filters(), timeout=20_000)
    opened.map_bar.b_factor.setValue(-300.0)
    qtbot.waitUntil(lambda: filters()[-1] == (40.0, -300.0), timeout=20_000)
    qtbot.waitUntil(lambda: answers[-1].full, timeout=20_000)
    assert filters()[-1] == (40.0, -300.0)
    qtbot.waitUntil(lambda: "40.0 Å" in opened.map_bar.status.text(), timeout=10_000)
