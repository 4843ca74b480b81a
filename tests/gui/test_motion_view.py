"""The motion map in a real window: mapped, coloured, its parts listed, saved."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qtpy.QtCore import Qt
from scipy.ndimage import map_coordinates

from napari_cryodeco.explore.domains import moving_domains
from napari_cryodeco.explore.landscape import cluster
from napari_cryodeco.explore.motion import motion_of
from napari_cryodeco.explore.palette import UNCLEAR, far_ramp
from napari_cryodeco.explore.trajectory import Trajectory
from napari_cryodeco.explore.volumes import Volume, VolumeDecoder, VolumeRequest
from napari_cryodeco.gui.compare_panel import ComparePanel
from napari_cryodeco.gui.comparing import NO_RUN
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.motion_layer import BOXES, NAME, MotionLayer, colours
from napari_cryodeco.gui.moving import BETWEEN, PATH, Mapped
from napari_cryodeco.gui.surface import COARSE_FACES

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def view(viewer, session):
    panel = ComparePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Compare")
    return panel.motion


def press(qtbot, view, button):
    with qtbot.waitSignal(view._task.ended, timeout=20_000):
        qtbot.mouseClick(button, LEFT)
    qtbot.waitUntil(lambda: not view._task.busy and not view.work.bar.isVisible(), timeout=20_000)


@pytest.fixture(scope="module")
def planted():
    """A still block and one beside it that is shifted by 12 Å along y, voxels of 4 Å."""
    rng = np.random.default_rng(3)
    core = rng.uniform(-1, 1, (140, 3)) * 22 + [-32, 0, 0]
    block = rng.uniform(-1, 1, (90, 3)) * 17 + [26, 0, 0]
    axis = (np.arange(40) - 20) * 4.0

    def density(points):
        x, y, z = (np.exp(-((axis - points[:, i, None]) ** 2) / 72) for i in range(3))
        return Volume(np.einsum("nz,ny,nx->zyx", z, y, x, optimize=True).astype(np.float32), 4.0)

    ways = [np.concatenate([core, block + np.array([0, way, 0])]) for way in (0.0, 6.0, 12.0)]
    return motion_of([density(points) for points in ways])


def test_without_a_run_it_says_what_to_do(qtbot, make_napari_viewer) -> None:
    panel = ComparePanel(make_napari_viewer())
    qtbot.addWidget(panel)
    view = panel.motion
    assert view.sentence.text() == NO_RUN and not view.start.isEnabled()
    for widget in (view.way, view.first, view.second, view.frames, view.start, view.colours):
        assert widget.toolTip()
    for widget in (view.bar, view.least, view.with_boxes, view.table, view.file, view.save):
        assert widget.toolTip()


def test_a_component_is_mapped_and_its_folder_written(qtbot, view, viewer, tmp_path) -> None:
    assert [view.way.itemText(i) for i in range(4)] == ["PC1", "PC2", "PC3", "PC4"]
    view.way.setFocus()
    qtbot.keyClick(view.way, Qt.Key.Key_Down)
    view.frames.setValue(3)
    press(qtbot, view, view.start)
    assert view.result.text().startswith("PC2, 5 to 95 %, 3 maps.")
    assert NAME in viewer.layers and len(viewer.layers[NAME].data[1]) <= COARSE_FACES
    assert view.bar.text.endswith("Å")
    view.file.show_value(tmp_path / "motion")
    press(qtbot, view, view.save)
    record = json.loads((tmp_path / "motion" / "motion.json").read_text())
    assert (
        record["along"] == "PC2, 5 to 95 %" and record["moving_more_than_A"] == view.least.value()
    )
    press(qtbot, view, view.save)
    assert "exists already" in view.work.message.text()


def test_between_groups_and_along_the_path(qtbot, view, session) -> None:
    session.set_clustering(cluster(session.loaded().latents, 2, epoch=1))
    view.way.setCurrentText(BETWEEN)
    view.refresh()
    assert view.first.isVisibleTo(view) and view.second.currentText() == "cluster 2"
    view.frames.setValue(3)
    press(qtbot, view, view.start)
    assert "cluster 1 to cluster 2, 3 maps." in view.result.text()
    assert "1 of the maps lie where hardly any particles are" in view.result.text()
    view.second.setCurrentText("cluster 1")
    view.refresh()
    assert "A and B are the same" in view.sentence.text() and not view.start.isEnabled()
    session.set_path(session.loaded().latents[:2])
    view.way.setCurrentText(PATH)
    view.refresh()
    assert not view.frames.isEnabled() and not view.first.isVisibleTo(view)
    press(qtbot, view, view.start)
    assert "Path, 2 maps." in view.result.text()


def test_colours_on_the_surface_are_the_angstroms_there(viewer, planted) -> None:
    layer = MotionLayer(viewer)
    layer.show(planted, "movement", planted.most)
    surface = viewer.layers[NAME]
    world = surface._data_to_world(surface.data[0])
    voxel = planted.middle.voxel_size
    at = world / voxel + len(planted.spread) // 2
    height = map_coordinates(planted.middle.in_sigma(planted.sigma), at.T, order=1)
    np.testing.assert_allclose(height, planted.level, atol=0.05)  # it is the surface of the map
    values = surface.data[2]
    assert np.median(values[world[:, 2] > 12]) == pytest.approx(12, rel=0.1)
    assert np.median(values[world[:, 2] < -20]) < 0.5
    assert tuple(surface.contrast_limits)[1] == pytest.approx(planted.most)
    layer.show(planted, "spread", 1.0)
    assert viewer.layers[NAME] is surface and (surface.data[2] >= 0).all()


def test_colours_go_from_still_to_far_and_unclear_is_apart() -> None:
    def rgb(share: float) -> list[int]:
        return np.round(255 * colours().map(share).ravel()[:3]).astype(int).tolist()

    assert rgb(0.0) == [int(UNCLEAR[i : i + 2], 16) for i in (1, 3, 5)]
    np.testing.assert_allclose(rgb(12.5 / 267), far_ramp()[0], atol=3)
    np.testing.assert_allclose(rgb(1.0), far_ramp()[-1], atol=1)


def test_parts_are_listed_and_boxed_and_a_threshold_is_asked(
    qtbot, view, viewer, session, planted
) -> None:
    walk = Trajectory("planted", session.loaded().latents[:3])
    view._asked = session.snapshot
    view._returned(Mapped(planted, walk, ()))
    (part,) = moving_domains(planted)
    assert view.least.value() == pytest.approx(planted.most / 2, abs=0.06)
    table = view.table
    assert table.rowCount() == 1 and table.item(0, 4).text() == f"{part.shift:.1f}"
    assert part.shift == pytest.approx(12, rel=0.1)
    boxes = viewer.layers[BOXES]
    corners = np.concatenate([boxes.data[:, 0], boxes.data.sum(1)])[:, ::-1]
    np.testing.assert_allclose(corners.min(0), part.low, atol=1e-3)
    np.testing.assert_allclose(corners.max(0), part.high, atol=1e-3)
    # in the window the box is about the block: x from 9 to 43 Å, from the centre of the map
    assert 0 < boxes._data_to_world(boxes.data[:, 0].min(0))[2] < 20
    qtbot.keyClick(view.with_boxes, Qt.Key.Key_Space)
    assert BOXES not in viewer.layers
    qtbot.keyClick(view.with_boxes, Qt.Key.Key_Space)
    view.least.setValue(100)
    assert BOXES not in viewer.layers and "No connected part" in table.item(0, 0).text()
    view.colours.setCurrentIndex(1)
    view.colours.activated.emit(1)
    assert view.bar.text.endswith("σ")


def test_what_it_covers_comes_back(qtbot, view, viewer, session) -> None:
    shown = map_view_of(viewer)
    decoder = VolumeDecoder(session.loaded().run.epoch().field_path, "cpu")
    shown.show(decoder.decode(VolumeRequest(session.loaded().latents[0])))
    view.frames.setValue(2)
    press(qtbot, view, view.start)
    assert not shown.layer.visible
    qtbot.mouseClick(view.clear, LEFT)
    assert shown.layer.visible and NAME not in viewer.layers and not view.save.isEnabled()
    press(qtbot, view, view.start)
    viewer.layers.remove(NAME)  # by the layer list
    assert shown.layer.visible
    press(qtbot, view, view.start)
    session.move_cursor_to(3)  # what is asked for last is seen
    assert shown.layer.visible and not viewer.layers[NAME].visible
    view.colours.activated.emit(0)
    assert viewer.layers[NAME].visible and not shown.layer.visible
