"""The path as a 4-D layer, and the movie's camera and inset, in the real window."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QScrollBar
from scipy.spatial.transform import Rotation

from napari_cryodeco.explore.movie import LatentMap, MovieOptions, Turn, draw
from napari_cryodeco.explore.render import Style, View
from napari_cryodeco.gui.camera import camera_rotation
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.movie_panel import FAST, MoviePanel
from napari_cryodeco.gui.readers import FRAME_AXES
from napari_cryodeco.gui.turn_editor import SPIN, WIGGLE

LEFT = Qt.MouseButton.LeftButton
FRAMES = 4


@pytest.fixture
def panel(qtbot, viewer, session):
    """The Movie panel with a decoded path, in a small real window."""
    widget = MoviePanel(viewer)
    viewer.window.add_dock_widget(widget, name="Movie")
    widget.chooser.frames.setValue(FRAMES)
    widget.detail.setCurrentText(FAST)
    with qtbot.waitSignal(widget._task.ended, timeout=60_000):
        qtbot.mouseClick(widget.decode, LEFT)
    qtbot.waitUntil(lambda: widget._clip.complete, timeout=20_000)
    qtbot.waitUntil(lambda: map_view_of(viewer).layer is not None or press(qtbot, widget))
    return widget


def press(qtbot, panel) -> bool:
    """Show a frame by the keyboard, so that there is a map beside."""
    panel.player.slider.setFocus()
    qtbot.keyClick(panel.player.slider, Qt.Key.Key_Right)
    return True


@pytest.fixture
def stacked(qtbot, panel, viewer):
    camera = getattr(viewer, "scene", viewer).camera
    camera.zoom *= 1.4
    before = camera.zoom, camera.angles, camera.center
    with qtbot.waitSignal(panel.as_layer.task.ended, timeout=30_000):
        qtbot.mouseClick(panel.as_layer, LEFT)
    qtbot.waitUntil(lambda: panel.as_layer.frames.layer is not None, timeout=20_000)
    for now, then in zip((camera.angles, camera.center), before[1:], strict=True):
        np.testing.assert_allclose(now, then)  # the camera is the user's
    # napari's slider takes some of the canvas' height, which the zoom follows
    assert camera.zoom == pytest.approx(before[0], rel=0.05)
    return panel.as_layer.frames.layer


def sliders(viewer):
    """napari's own sliders under the picture that are shown."""
    dims = viewer.window._qt_viewer.dims
    return [one for one in dims.findChildren(QScrollBar) if one.isVisible()]


def test_each_slice_is_its_decoded_frame_in_angstroms(stacked, panel, viewer):
    clip = panel._clip
    assert stacked.data.shape[0] == FRAMES and stacked.data.dtype == np.float32
    for values, volume in zip(stacked.data, clip.volumes, strict=True):
        np.testing.assert_array_equal(values, volume.in_sigma(clip.sigma))
    side, voxel = clip.volumes[0].data.shape[0], clip.volumes[0].voxel_size
    np.testing.assert_allclose(stacked.scale, (1, voxel, voxel, voxel))
    middle = np.array(stacked.data_to_world((0, *(side // 2,) * 3)))
    np.testing.assert_allclose(middle[1:], 0, atol=1e-4)  # centre on the origin, as the map
    assert stacked.axis_labels == FRAME_AXES and viewer.dims.axis_labels == FRAME_AXES
    assert [str(unit) for unit in stacked.units] == ["pixel", *["angstrom"] * 3]
    assert stacked.visible and not map_view_of(viewer).layer.visible


def test_the_viewers_slider_moves_path_and_player_and_back(stacked, panel, viewer, session, qtbot):
    (slider,) = sliders(viewer)
    right = QPoint(slider.width() - 3, slider.height() // 2)
    for frame in range(1, FRAMES):
        qtbot.mouseClick(slider, LEFT, pos=right)  # a step a click
        assert viewer.dims.current_step[0] == panel.player.frame == frame
        assert session.path_position == frame
    qtbot.mouseClick(slider, LEFT, pos=QPoint(2, slider.height() // 2))
    assert panel.player.frame == session.path_position == FRAMES - 2
    panel.player.slider.setFocus()
    qtbot.keyClick(panel.player.slider, Qt.Key.Key_Left)
    assert viewer.dims.current_step[0] == 1 and session.path_position == 1
    ribbon = panel.player.ribbon
    at = QPoint(round((FRAMES - 0.5) * ribbon.width() / FRAMES), 10)
    qtbot.mouseClick(ribbon, LEFT, pos=at)
    assert viewer.dims.current_step[0] == FRAMES - 1
    assert not map_view_of(viewer).layer.visible  # the 4-D layer was asked for last


def test_the_level_is_one(stacked, panel, viewer):
    view = map_view_of(viewer)
    for frame, level in ((0, 2.5), (2, 4.0)):
        viewer.dims.set_point(0, frame)
        view.set_level(level)
        assert stacked.iso_threshold == pytest.approx(level)
    stacked.iso_threshold = 3.25  # in napari's own controls
    assert view.level == pytest.approx(3.25)
    viewer.dims.set_point(0, 1)
    assert stacked.iso_threshold == pytest.approx(3.25)


def test_what_is_asked_for_last_is_seen(stacked, panel, viewer, qtbot):
    view = map_view_of(viewer)
    view.show(panel._clip.volumes[0])  # as the Explorer does, when the cursor moves
    assert view.layer.visible and not stacked.visible
    press(qtbot, panel)  # the player shows its frames as the map, then
    assert view.layer.visible and not stacked.visible
    qtbot.mouseClick(panel.as_layer, LEFT)
    assert stacked.visible and not view.layer.visible and len(viewer.layers) == 2
    viewer.layers.remove(stacked)
    assert panel.as_layer.frames.layer is None and view.layer.visible


def test_another_path_leaves_the_old_frames_to_the_user(stacked, panel, viewer, session, qtbot):
    panel.chooser.component_page.component.setValue(2)
    with qtbot.waitSignal(panel._task.ended, timeout=60_000):
        qtbot.mouseClick(panel.decode, LEFT)
    assert stacked in viewer.layers and not stacked.visible
    before = panel.player.frame
    viewer.dims.set_point(0, (before + 1) % FRAMES)
    assert panel.player.frame == before  # it is of another path
    with qtbot.waitSignal(panel.as_layer.task.ended, timeout=30_000):
        qtbot.mouseClick(panel.as_layer, LEFT)
    qtbot.waitUntil(lambda: panel.as_layer.frames.layer is not None, timeout=20_000)
    assert (
        panel.as_layer.frames.layer is not stacked
        and panel.as_layer.frames.layer.name.startswith("frames: PC2")
    )


# ---- files


def export(qtbot, panel, kind, target):
    panel.export.kind.setCurrentText(kind)
    panel.export.side.setValue(160)
    panel.export.target.show_value(target)
    with qtbot.waitSignal(panel.export._task.ended, timeout=60_000):
        qtbot.mouseClick(panel.export.write, LEFT)
    assert "written" in panel.export.result.text()


def test_the_4d_file_has_the_frames_and_their_voxel_size(qtbot, panel, tmp_path):
    export(qtbot, panel, "4-D MRC file", tmp_path / "path.mrc")
    clip = panel._clip
    with mrcfile.open(tmp_path / "path.mrc") as mrc:
        assert mrc.is_volume_stack()
        for values, volume in zip(mrc.data, clip.volumes, strict=True):
            np.testing.assert_array_equal(values, volume.data)
        assert mrc.voxel_size.x == pytest.approx(clip.volumes[0].voxel_size)
    assert not panel.export.turn.isEnabled() and not panel.export.inset.isEnabled()


@pytest.mark.parametrize("kind", [SPIN, WIGGLE])
def test_the_movie_turns_and_shows_where_it_is(qtbot, panel, viewer, session, tmp_path, kind):
    """Oracle: the engine's own pictures, from the window's camera, level and plane."""
    camera = getattr(viewer, "scene", viewer).camera
    camera.angles = (20, -35, 50)
    turn, axis = panel.export.turn, 1
    assert not turn.degrees.isEnabled()
    turn.kind.setFocus()
    qtbot.keyClicks(turn.kind, kind)  # a letter chooses in a box
    assert turn.kind.currentText() == kind
    turn.degrees.selectAll()
    qtbot.keyClicks(turn.degrees, "90")
    turn.axis.setCurrentIndex(axis)
    qtbot.mouseClick(panel.export.inset, LEFT, pos=QPoint(8, panel.export.inset.height() // 2))
    assert panel.export.inset.isChecked()
    export(qtbot, panel, "PNG pictures and maps", tmp_path / "pictures")
    clip = panel._clip
    places = np.column_stack(session.coordinates())
    options = MovieOptions(
        level=map_view_of(viewer).level,
        view=View(camera_rotation(viewer), size=(160, 160)),
        style=Style(),
        turn=Turn(90, "horizontal", kind == WIGGLE),
        inset=LatentMap(places, session.project(clip.path.points), ("PC1", "PC2")),
    )
    expected = list(draw(clip.decoded, clip.path, clip.supported, options))
    files = sorted((tmp_path / "pictures").glob("*.png"))
    assert len(files) == FRAMES
    for file, picture in zip(files, expected, strict=True):
        # sums of floats may round the other way
        np.testing.assert_allclose(np.asarray(Image.open(file)), picture.astype(float), atol=2)


def test_a_spin_of_the_window_is_about_the_axes_of_its_picture(qtbot, panel):
    turn = panel.export.turn
    turn.kind.setCurrentText(SPIN)
    assert turn.turn() == Turn(360.0, "vertical")
    turn.axis.setCurrentText("line of sight")
    quarter = turn.turn().rotation(90)
    np.testing.assert_allclose(
        quarter, Rotation.from_euler("z", 90, degrees=True).as_matrix(), atol=1e-9
    )


def test_napari_animation_films_the_frames(stacked, panel, viewer, session, tmp_path):
    """Runs where napari-animation is installed; it is no dependency."""
    animation = pytest.importorskip("napari_animation").Animation(viewer)
    camera = getattr(viewer, "scene", viewer).camera
    viewer.dims.set_point(0, 0)
    animation.capture_keyframe()
    viewer.dims.set_point(0, FRAMES - 1)
    camera.angles = tuple(np.add(camera.angles, (0, 60, 0)))
    animation.capture_keyframe(steps=2 * (FRAMES - 1))
    seen = []
    panel.as_layer.frames.frame_changed.connect(seen.append)
    animation.animate(tmp_path / "path.gif", fps=5)
    assert sorted(set(seen)) == list(range(FRAMES)) and session.path_position == FRAMES - 1
    with Image.open(tmp_path / "path.gif") as film:
        assert film.n_frames == 2 * (FRAMES - 1) + 1


def test_one_button_makes_a_tour(qtbot, viewer, session):
    from napari_cryodeco.explore.landscape import cluster

    panel = MoviePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Movie")
    panel.detail.setCurrentText(FAST)
    panel.chooser.tabs.setCurrentIndex(1)
    page = panel.chooser.anchor_page
    qtbot.mouseClick(page.tour, LEFT)
    assert "There are no clusters yet" in panel.message.text()
    session.set_clustering(cluster(session.loaded().latents, 2))
    for _ in range(2):  # again, with the same clusters: the same again
        with qtbot.waitSignal(panel._task.ended, timeout=60_000):
            qtbot.mouseClick(page.tour, LEFT)
        qtbot.waitUntil(lambda: panel._clip.complete, timeout=20_000)
        assert page.join.currentData() == "tour" and page.list.count() == 2
        assert len(panel._clip.volumes) == 24 and panel._clip.supported.all()
        assert panel._clip.path.captions[0] == "cluster 1: 50.0% of 60"
        assert panel.export.turn.turn() == Turn(360.0) and panel.export.inset.isChecked()
    panel.player.slider.setValue(13)
    assert "cluster 2: 50.0% of 60" in panel.player.caption.text()
