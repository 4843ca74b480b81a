"""The Compare panel in a real window: signed difference, mosaic, files."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from scipy.ndimage import map_coordinates

from napari_cryodeco.explore.landscape import cluster
from napari_cryodeco.explore.selection import Selection
from napari_cryodeco.explore.volumes import VolumeDecoder, VolumeRequest, common_sigma
from napari_cryodeco.gui.compare_panel import ComparePanel
from napari_cryodeco.gui.comparing import NO_RUN
from napari_cryodeco.gui.difference_layer import NAME
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.session import Target

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def panel(viewer, session):
    widget = ComparePanel(viewer)
    viewer.window.add_dock_widget(widget, name="Compare")
    return widget


@pytest.fixture
def clustered(panel, session):
    session.set_clustering(cluster(session.loaded().latents, 2, epoch=1))
    return panel


def press(qtbot, view, button):
    with qtbot.waitSignal(view._task.ended, timeout=60_000):
        qtbot.mouseClick(button, LEFT)
    qtbot.waitUntil(lambda: not view._task.busy and not view.work.bar.isVisible(), timeout=20_000)


def test_without_a_run_or_clusters_it_says_what_to_do(qtbot, make_napari_viewer, panel, session):
    empty = ComparePanel(make_napari_viewer())
    qtbot.addWidget(empty)
    assert empty.difference.sentence.text() == NO_RUN == empty.mosaic.sentence.text()
    assert not empty.difference.subtract.isEnabled() and not empty.mosaic.draw.isEnabled()
    assert "no clusters yet" in panel.mosaic.sentence.text()
    assert "select some in the Explorer" in panel.difference.sentence.text()
    session.select_rows(np.arange(10))
    assert panel.difference.sentence.text() == "A: 10 particles. B: 50 particles."


def test_the_groups_are_those_of_the_window_and_a_choice_stays(qtbot, clustered, session):
    view = clustered.difference
    assert (view.first.currentText(), view.second.currentText()) == ("cluster 1", "cluster 2")
    view.first.setFocus()
    qtbot.keyClick(view.first, Qt.Key.Key_Up)
    assert view.first.currentText() == "all particles"
    session.set_named((Selection("mine", np.arange(7)),))
    assert view.first.currentText() == "all particles"
    qtbot.keyClick(view.second, Qt.Key.Key_Down)
    assert view.sentence.text() == "A: 60 particles. B: 7 particles."
    session.set_named(())
    assert view.second.currentText() != "'mine'"
    for _ in range(2):
        qtbot.keyClick(view.second, Qt.Key.Key_Up)
    assert "A and B are the same" in view.sentence.text() and not view.subtract.isEnabled()


def test_the_difference_is_that_of_the_decoded_maps_with_its_sign(
    qtbot, clustered, session, viewer, planted_run, tmp_path
):
    view = clustered.difference
    press(qtbot, view, view.subtract)
    assert "cluster 1, B: cluster 2" in view.result.text() and "σ" in view.result.text()
    layer = viewer.layers[NAME]
    view.file.show_value(tmp_path / "d.mrc")
    press(qtbot, view, view.save)
    with mrcfile.open(tmp_path / "d.mrc") as mrc:
        written, voxel = mrc.data.copy(), float(mrc.voxel_size.x)
    # the oracle: both maps decoded by themselves, subtracted here
    epoch, latents = planted_run.epoch(), session.loaded().latents
    decoder = VolumeDecoder(epoch.field_path, "cpu")
    means = [latents[session.clustering.members([n])].mean(0) for n in (1, 2)]
    maps = [decoder.decode(VolumeRequest(z, box=len(written))) for z in means]
    expected = maps[0].data - maps[1].data
    np.testing.assert_allclose(written, expected, atol=1e-4 * np.abs(expected).max())
    assert voxel == pytest.approx(maps[0].voxel_size, rel=1e-5)
    # where the layer says more there is more, and the other way round
    world = layer._data_to_world(layer.data[0])
    values = map_coordinates(expected, (world / voxel + len(written) // 2).T, order=1)
    level = view.level.value() * common_sigma(maps)
    np.testing.assert_allclose(values, level * layer.data[2], rtol=0.02)
    assert {-1.0, 1.0} == set(layer.data[2].tolist())


def test_level_moves_the_surfaces_and_the_map_around_comes_back(qtbot, clustered, session, viewer):
    shown = map_view_of(viewer)
    decoder = VolumeDecoder(session.loaded().run.epoch().field_path, "cpu")
    shown.show(decoder.decode(VolumeRequest(session.loaded().latents[0])))
    before = shown.layer.opacity
    view = clustered.difference
    press(qtbot, view, view.subtract)
    layer = viewer.layers[NAME]
    many = len(layer.data[0])
    view.level.setValue(view.level.maximum())
    assert len(viewer.layers[NAME].data[0]) < many
    assert shown.layer.opacity < before and viewer.layers[NAME] is layer
    press(qtbot, view, view.subtract)  # again: in the same layer
    assert [one.name for one in viewer.layers].count(NAME) == 1
    viewer.layers.remove(NAME)
    assert shown.layer.opacity == before


def test_nothing_is_overwritten_and_a_wrong_name_is_one_sentence(qtbot, clustered, tmp_path):
    view = clustered.difference
    press(qtbot, view, view.subtract)
    (tmp_path / "d.mrc").write_text("mine")
    view.file.show_value(tmp_path / "d.mrc")
    press(qtbot, view, view.save)
    assert "exists already" in view.work.message.text()
    assert (tmp_path / "d.mrc").read_text() == "mine"
    view.file.show_value(tmp_path / "d.txt")
    press(qtbot, view, view.save)
    assert "ends in .mrc" in view.work.message.text() and "\n" not in view.work.message.text()


def test_the_mosaic_has_each_cluster_with_its_share_and_a_click_shows_it(
    qtbot, clustered, session, tmp_path
):
    view = clustered.mosaic
    press(qtbot, view, view.draw)
    pictures = view.pictures
    counts = session.clustering.counts
    assert [pictures.item(i).text() for i in range(pictures.count())] == [
        f"cluster {i + 1}: {100 * counts[i] / 60:.1f} %" for i in range(2)
    ]
    place = pictures.visualItemRect(pictures.item(1)).center()
    qtbot.mouseClick(pictures.viewport(), LEFT, pos=place)
    assert session.target is Target.CLUSTER and session.target_cluster == 1
    view.file.show_value(tmp_path / "m.png")
    press(qtbot, view, view.save)
    with Image.open(tmp_path / "m.png") as picture:
        assert picture.size == (480, 240)
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 50
    session.set_clustering(cluster(session.loaded().latents, 3, epoch=1))
    assert pictures.count() == 0 and not view.save.isEnabled()


def test_every_control_explains_itself(panel):
    for view in (panel.difference, panel.mosaic):
        assert view.file.toolTip() and view.save.toolTip() and view.work.cancel.toolTip()
    first = panel.difference
    for widget in (first.first, first.second, first.subtract, first.level, panel.mosaic.draw):
        assert widget.toolTip()
    assert panel.mosaic.pictures.toolTip()
