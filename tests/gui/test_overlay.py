"""Two maps together in a real window: over each other, and beside each other under one camera."""

from __future__ import annotations

from dataclasses import replace

import mrcfile
import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_cryodeco.explore.landscape import cluster
from napari_cryodeco.explore.palette import PAIR
from napari_cryodeco.explore.volumes import VolumeDecoder, VolumeRequest, common_sigma
from napari_cryodeco.gui.camera import camera_of, camera_view
from napari_cryodeco.gui.compare_panel import ComparePanel
from napari_cryodeco.gui.comparing import NO_RUN
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.pair_layers import grid_of
from napari_cryodeco.gui.readers import read_mrc_files
from napari_cryodeco.gui.surface import COARSE_FACES

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def overlay(viewer, session):
    panel = ComparePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Compare")
    session.set_clustering(cluster(session.loaded().latents, 2, epoch=1))
    return panel.overlay


def press(qtbot, view, button):
    with qtbot.waitSignal(view._task.ended, timeout=20_000):
        qtbot.mouseClick(button, LEFT)
    qtbot.waitUntil(lambda: not view._task.busy and not view.work.bar.isVisible(), timeout=20_000)


@pytest.fixture
def both(qtbot, overlay):
    press(qtbot, overlay, overlay.show_both)
    return overlay


def test_without_a_run_it_says_what_to_do(qtbot, make_napari_viewer) -> None:
    panel = ComparePanel(make_napari_viewer())
    qtbot.addWidget(panel)
    view = panel.overlay
    assert view.sentence.text() == NO_RUN and not view.show_both.isEnabled()
    for widget in (view.swap, view.clear, view.beside, view.level, view.opacity, *view.shown):
        assert not widget.isEnabled() and widget.toolTip()


def test_both_maps_are_shown_at_one_level_in_two_colours_and_true_to_scale(
    both, viewer, session, planted_run
) -> None:
    first, second = both.layers.layers
    assert (first.name, second.name) == ("A: cluster 1", "B: cluster 2")
    assert (first.opacity, second.opacity) == (1.0, 0.5)
    middles = [layer.colormap.map(0.5).ravel()[:3] for layer in (first, second)]
    for middle, colour in zip(middles, PAIR, strict=True):
        np.testing.assert_allclose(
            middle, [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)], atol=0.01
        )
    # the oracle: both maps decoded alone, over the root of their mean variance
    decoder = VolumeDecoder(planted_run.epoch().field_path, "cpu")
    latents, box = session.loaded().latents, len(both.layers.views[0].shown[0])
    means = [latents[session.clustering.members([n])].mean(0) for n in (1, 2)]
    maps = [decoder.decode(VolumeRequest(z, box=box)) for z in means]
    sigma = common_sigma(maps)
    for view, volume in zip(both.layers.views, maps, strict=True):
        data, voxel = view.shown
        np.testing.assert_allclose(data, volume.in_sigma(sigma), atol=1e-3)
        assert voxel == pytest.approx(volume.voxel_size)
        assert tuple(view.layer.scale) == pytest.approx((voxel,) * 3)
        assert len(view.layer.data[1]) <= COARSE_FACES  # software OpenGL
    assert both.layers.views[0].level == both.layers.views[1].level == both.level.value()


def test_level_opacity_hiding_and_swap_without_decoding_again(qtbot, both, monkeypatch) -> None:
    first, second = both.layers.layers
    faces = [len(layer.data[1]) for layer in (first, second)]
    both.level.setValue(both.level.value() + 1)
    assert all(
        len(layer.data[1]) < before for layer, before in zip((first, second), faces, strict=True)
    )
    both.opacity.setValue(0.2)
    assert second.opacity == pytest.approx(0.2)
    both.shown[0].setFocus()
    qtbot.keyClick(both.shown[0], Qt.Key.Key_Space)
    assert not first.visible and second.visible
    qtbot.keyClick(both.shown[0], Qt.Key.Key_Space)
    maps = [view.shown[0] for view in both.layers.views]
    monkeypatch.setattr(both.work, "start", None)  # calling it would fail
    qtbot.mouseClick(both.swap, LEFT)
    assert (first.name, second.name) == ("A: cluster 2", "B: cluster 1")
    np.testing.assert_array_equal(both.layers.views[0].shown[0], maps[1])
    assert (both.first.currentText(), both.second.currentText()) == ("cluster 2", "cluster 1")


def test_clear_takes_what_was_said_with_it(qtbot, both, viewer) -> None:
    assert "cluster 1" in both.result.text()
    qtbot.mouseClick(both.clear, LEFT)
    assert both.result.text() == "" and not both.clear.isEnabled()
    assert not any(layer.name.startswith(("A:", "B:")) for layer in viewer.layers)


def test_clusters_with_names_are_offered_first_and_no_name_means_another_map(
    viewer, session
) -> None:
    from napari_cryodeco.gui.sources import source_called

    clusters = cluster(session.loaded().latents, 2, epoch=1)
    session.set_clustering(replace(clusters, names=("path: first frame", "layer: closed")))
    session.set_path(session.loaded().latents[:3])
    panel = ComparePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Compare")
    for view in (panel.overlay, panel.difference):
        chosen = view.first.currentText(), view.second.currentText()
        assert chosen == ("path: first frame", "layer: closed")
    for number, name in enumerate(chosen, 1):
        rows = source_called(session, viewer, name).rows
        np.testing.assert_array_equal(rows, clusters.members([number]))


def test_turning_zooming_or_moving_one_view_does_so_with_the_other(qtbot, both, viewer) -> None:
    qtbot.keyClick(both.beside, Qt.Key.Key_Space)
    canvas = viewer.window._qt_viewer.canvas
    qtbot.waitUntil(lambda: len(canvas.grid_views) == 2, timeout=20_000)
    grid, layers = grid_of(viewer), both.layers.layers
    assert grid.enabled and [layer for layer in viewer.layers if layer.visible] == list(layers)
    places = [grid.position(viewer.layers.index(layer), viewer.layers) for layer in layers]
    assert places == [(0, 0), (0, 1)]  # A on the left
    assert layers[1].opacity == 1.0 and not both.opacity.isEnabled()
    native = canvas.native
    qtbot.waitExposed(native)
    viewer.screenshot(flash=False)

    def left_half() -> np.ndarray:
        picture = viewer.screenshot(flash=False)
        return picture[:, : picture.shape[1] // 2 - 4].astype(int)

    before, turned = left_half(), tuple(camera_of(viewer).angles)
    right = QPoint(3 * native.width() // 4, native.height() // 2)
    qtbot.mousePress(native, LEFT, pos=right)
    for step in range(1, 9):  # a drag in the right half only
        qtbot.mouseMove(native, right + QPoint(6 * step, 3 * step))
        qtbot.wait(5)
    qtbot.mouseRelease(native, LEFT, pos=right + QPoint(48, 24))
    assert tuple(camera_of(viewer).angles) != turned
    assert np.abs(left_half() - before).max() > 60  # the map on the left turned as well
    views = [view.camera for view in canvas.grid_views]
    np.testing.assert_allclose(views[0].transform.matrix, views[1].transform.matrix, atol=1e-6)


def test_leaving_brings_everything_back_as_it_was(qtbot, both, viewer, session) -> None:
    shown = map_view_of(viewer)
    decoder = VolumeDecoder(session.loaded().run.epoch().field_path, "cpu")
    shown.show(decoder.decode(VolumeRequest(session.loaded().latents[0])))
    grid = grid_of(viewer)
    seen, shape = camera_view(viewer).extent, grid.shape
    qtbot.keyClick(both.beside, Qt.Key.Key_Space)
    assert not shown.layer.visible
    late = viewer.add_image(np.zeros((4, 4, 4)), name="late")
    assert not late.visible  # it would be a third cell
    grid.enabled = False  # napari's own button
    assert not both.beside.isChecked() and shown.layer.visible and late.visible
    assert camera_view(viewer).extent == pytest.approx(seen) and grid.shape == shape
    assert both.layers.layers[1].opacity == 0.5
    qtbot.keyClick(both.beside, Qt.Key.Key_Space)
    viewer.layers.remove(both.layers.layers[0])
    assert not grid.enabled and not both.beside.isEnabled()
    press(qtbot, both, both.show_both)
    assert not shown.layer.visible  # it would cover both
    qtbot.mouseClick(both.clear, LEFT)
    assert both.layers.layers == (None, None) and shown.layer.visible


def test_closing_the_panel_leaves_the_grid(qtbot, viewer, session) -> None:
    panel = ComparePanel(viewer)
    dock = viewer.window.add_dock_widget(panel, name="Compare")
    session.set_clustering(cluster(session.loaded().latents, 2, epoch=1))
    press(qtbot, panel.overlay, panel.overlay.show_both)
    panel.overlay.beside.setChecked(True)
    assert grid_of(viewer).enabled
    viewer.window.remove_dock_widget(dock)
    panel.deleteLater()
    qtbot.waitUntil(lambda: not grid_of(viewer).enabled, timeout=20_000)
    session.set_named(())  # nobody is called who is gone


def test_a_frame_of_the_path_beside_a_map_of_a_file(
    qtbot, overlay, viewer, session, tmp_path
) -> None:
    path = np.stack([session.loaded().latents[row] for row in (0, 20, 59)])
    session.set_path(path)
    z, y, x = np.mgrid[:16, :16, :16] - 8.0
    with mrcfile.new(tmp_path / "ball.mrc") as mrc:
        mrc.set_data(np.exp(-(x**2 + y**2 + z**2) / 18).astype(np.float32))
        mrc.voxel_size = 10.0
    for data, options, kind in read_mrc_files(str(tmp_path / "ball.mrc")):
        viewer._add_layer_from_data(data, options, kind)
    overlay.first.setCurrentText("path: last frame")
    names = [overlay.second.itemText(i) for i in range(overlay.second.count())]
    overlay.second.setCurrentText(next(name for name in names if name.startswith("layer: ball")))
    overlay.refresh()
    press(qtbot, overlay, overlay.show_both)
    assert overlay.layers.layers[0].name == "A: frame 3 of the path"
    data, voxel = overlay.layers.views[1].shown
    assert voxel == pytest.approx(10.0) and data.std() == pytest.approx(1.0, rel=1e-3)
    assert "own σ" in overlay.result.text()
    # the same place in Å: both centres on the origin
    low, high = overlay.layers.layers[1].extent.world
    np.testing.assert_allclose((low + high) / 2, 0, atol=10.0)
    overlay.second.setCurrentText("path: last frame")
    overlay.refresh()
    assert "A and B are the same" in overlay.sentence.text()


def test_a_cancelled_work_leaves_what_is_shown(qtbot, both) -> None:
    first = both.layers.views[0].shown[0]
    with qtbot.waitSignal(both._task.ended, timeout=20_000):
        qtbot.mouseClick(both.show_both, LEFT)
        both.work.cancel.click()
    qtbot.wait(50)
    np.testing.assert_array_equal(both.layers.views[0].shown[0], first)


def test_what_is_asked_for_last_is_seen(qtbot, both, viewer, session) -> None:
    shown = map_view_of(viewer)
    decoder = VolumeDecoder(session.loaded().run.epoch().field_path, "cpu")
    shown.show(decoder.decode(VolumeRequest(session.loaded().latents[0])))
    press(qtbot, both, both.show_both)
    both.beside.setChecked(True)
    session.move_cursor_to(3)  # as a click into the plot does
    assert not grid_of(viewer).enabled and shown.layer.visible
    assert not any(layer.visible for layer in both.layers.layers)
    qtbot.mouseClick(both.shown[0], LEFT, pos=QPoint(8, both.shown[0].height() // 2))
    assert both.layers.layers[0].visible and not shown.layer.visible
