"""The Movie panel decodes a path, plays it in the one map layer, and writes what was decoded."""

from __future__ import annotations

import itertools
import shutil

import imageio.v3 as imageio
import mrcfile
import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt

from napari_cryodeco.explore.landscape import cluster
from napari_cryodeco.gui.camera import camera_rotation
from napari_cryodeco.gui.clip import spread_order
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.movie_panel import FAST, FULL, MoviePanel
from napari_cryodeco.gui.playback import Playhead, Repeat
from napari_cryodeco.gui.session import session_of

# ---- logic without a window


def played(count, repeat, steps):
    head, seen = Playhead(), [0]
    for _ in range(steps):
        head = head.next(count, repeat)
        if head is None:
            break
        seen.append(head.frame)
    return seen


def test_the_three_ways_to_repeat():
    assert played(4, Repeat.LOOP, 6) == [0, 1, 2, 3, 0, 1, 2]
    assert played(4, Repeat.PING_PONG, 7) == [0, 1, 2, 3, 2, 1, 0, 1]
    assert played(4, Repeat.ONCE, 9) == [0, 1, 2, 3]
    assert played(1, Repeat.LOOP, 3) == [0]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 64])
def test_frames_are_decoded_once_each_and_the_ends_first(count):
    order = spread_order(count)
    assert sorted(order) == list(range(count))
    assert set(order[:2]) == {0, count - 1}


@pytest.mark.parametrize("angles", list(itertools.product((0, 35), (0, -80), (10, 170))))
def test_the_camera_is_a_rotation_whatever_the_angles(angles):
    from napari.components import ViewerModel

    viewer = ViewerModel()
    camera = getattr(viewer, "scene", viewer).camera
    camera.angles = angles
    rotation = camera_rotation(viewer)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)


# ---- the window


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def panel(qtbot, viewer, planted_run):
    session_of(viewer).open(planted_run.path)
    widget = MoviePanel(viewer)
    viewer.window.add_dock_widget(widget, name="Movie")
    widget.chooser.frames.setValue(5)
    widget.detail.setCurrentText(FAST)
    return widget


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def decode(qtbot, panel):
    with qtbot.waitSignal(panel._task.ended, timeout=60_000):
        click(qtbot, panel.decode)
    qtbot.waitUntil(lambda: panel._clip.complete, timeout=20_000)


def export(qtbot, panel, kind, target):
    panel.export.kind.setCurrentText(kind)
    panel.export.side.setValue(160)
    panel.export.target.show_value(target)
    with qtbot.waitSignal(panel.export._task.ended, timeout=60_000):
        click(qtbot, panel.export.write)


def test_export_decodes_what_is_not_decoded_yet_and_then_writes(qtbot, panel, tmp_path):
    assert panel._clip is None and panel.export.write.isEnabled()
    export(qtbot, panel, "GIF movie", tmp_path / "first.gif")
    assert panel._clip.complete and (tmp_path / "first.gif").is_file()
    with Image.open(tmp_path / "first.gif") as film:
        assert film.n_frames == 5
    assert "first.gif" in panel.export.result.text()


def test_cancelled_frames_are_no_movie(qtbot, panel, tmp_path):
    panel.detail.setCurrentText(FULL)
    panel.chooser.frames.setValue(60)
    panel.export.target.show_value(tmp_path / "never.mp4")
    click(qtbot, panel.export.write)
    assert "decoded first" in panel.export.result.text()
    with qtbot.waitSignal(panel._task.ended, timeout=60_000):
        click(qtbot, panel.cancel)
    assert "Nothing was written" in panel.export.result.text()
    qtbot.wait(200)
    assert not (tmp_path / "never.mp4").exists() and not panel.export._task.busy


def test_a_wrong_ending_is_said_before_anything_is_decoded(qtbot, panel, tmp_path):
    panel.export.target.show_value(tmp_path / "film.txt")
    click(qtbot, panel.export.write)
    assert "film.txt" in panel.export.result.text() and not panel._task.busy


def test_frames_asked_for_in_one_run_write_no_movie_of_another(
    qtbot, panel, viewer, planted_run, tmp_path
):
    other = tmp_path / "other"
    shutil.copytree(planted_run.path, other)
    panel.detail.setCurrentText(FULL)
    panel.chooser.frames.setValue(60)
    panel.export.target.show_value(tmp_path / "never.gif")
    click(qtbot, panel.export.write)
    session_of(viewer).open(other)
    qtbot.waitUntil(lambda: not panel._task.busy, timeout=60_000)
    panel.chooser.frames.setValue(5)
    panel.detail.setCurrentText(FAST)
    qtbot.waitUntil(panel.decode.isEnabled, timeout=20_000)
    decode(qtbot, panel)
    qtbot.wait(200)
    assert not panel.export._task.busy and not list(tmp_path.glob("**/*.gif"))


def test_what_is_said_under_the_button_is_scrolled_into_sight(qtbot, panel, viewer, tmp_path):
    viewer.window._qt_window.resize(1280, 500)
    viewer.window.show()
    qtbot.waitExposed(viewer.window._qt_window)
    export(qtbot, panel, "GIF movie", tmp_path / "low.gif")
    result = panel.export.result
    region = result.visibleRegion
    qtbot.waitUntil(lambda: region().boundingRect().height() == result.height(), timeout=20_000)


def test_without_a_run_it_says_what_to_do(qtbot, viewer):
    panel = MoviePanel(viewer)
    qtbot.addWidget(panel)
    assert "Open a run" in panel.message.text()
    assert not panel.decode.isEnabled()


def test_the_path_is_drawn_over_the_scatter_plot(panel, viewer):
    session = session_of(viewer)
    panel.chooser.frames.setValue(7)
    assert session.path.shape == (7, session.loaded().latents.shape[1])
    panel.chooser.component_page.component.setValue(2)
    scores = session.project(session.path)
    assert np.ptp(scores[:, 1]) > 10 * np.ptp(scores[:, 0])  # along PC2, PC1 stays


def test_frames_are_decoded_scrubbed_and_played_in_one_layer(qtbot, panel, viewer):
    decode(qtbot, panel)
    session, view = session_of(viewer), map_view_of(viewer)
    assert panel.player._ready.all()
    layer = view.layer
    shown = []
    for frame in range(5):
        panel.player.slider.setValue(frame)
        shown.append(np.array(view._shown[0]))
        assert session.path_position == frame
    assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(shown))
    panel.player.repeat.setCurrentText(Repeat.ONCE.value)
    panel.player.slider.setValue(0)
    panel.player.fps.setValue(30)
    click(qtbot, panel.player.play)
    qtbot.waitUntil(lambda: not panel.player.playing, timeout=20_000)
    assert panel.player.frame == 4
    assert view.layer is layer and len(viewer.layers) == 1


def test_frames_share_one_sigma(qtbot, panel):
    decode(qtbot, panel)
    clip = panel._clip
    spread = [np.std(volume.data / clip.sigma) for volume in clip.volumes]
    assert np.sqrt(np.mean(np.square(spread))) == pytest.approx(1, rel=1e-5)


def test_the_gap_between_two_clusters_is_marked(qtbot, panel):
    decode(qtbot, panel)
    supported = panel._clip.supported
    assert supported[0] and supported[-1] and not supported[2]
    panel.player.slider.setValue(2)
    assert "no particles near" in panel.player.caption.text()


def test_picked_points_make_a_path(qtbot, panel, viewer):
    session = session_of(viewer)
    panel.chooser.tabs.setCurrentIndex(1)
    assert "at least two" in panel.message.text()
    session.move_cursor_to(3)
    click(qtbot, panel.chooser.anchor_page.add_cursor)
    session.set_clustering(cluster(session.loaded().latents, 2))
    click(qtbot, panel.chooser.anchor_page.add_clusters)
    anchors = panel.chooser.anchor_page.anchors()
    assert len(anchors) == 3
    np.testing.assert_allclose(session.path[0], anchors[0].z, rtol=1e-5)
    np.testing.assert_allclose(session.path[-1], session.clustering.centres[1], rtol=1e-5)


def test_a_gif_has_the_frames_and_the_size_asked(qtbot, panel, tmp_path):
    decode(qtbot, panel)
    export(qtbot, panel, "GIF movie", tmp_path / "pc1.gif")
    assert imageio.imread(tmp_path / "pc1.gif").shape[:3] == (5, 160, 160)
    assert "5 frames written" in panel.export.result.text()


def test_an_mp4_can_be_played(qtbot, panel, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    decode(qtbot, panel)
    panel.export.to_and_fro.setChecked(True)
    export(qtbot, panel, "MP4 movie", tmp_path / "pc1.mp4")
    assert len(imageio.imread(tmp_path / "pc1.mp4", plugin="FFMPEG")) == 8  # 0 1 2 3 4 3 2 1


def test_maps_have_their_voxel_size(qtbot, panel, planted_run, tmp_path):
    decode(qtbot, panel)
    export(qtbot, panel, "MRC maps", tmp_path / "maps")
    files = sorted((tmp_path / "maps").glob("*.mrc"))
    assert len(files) == 5
    with mrcfile.open(files[0]) as mrc:
        side = mrc.data.shape[0] * float(mrc.voxel_size.x)
    assert side == pytest.approx(planted_run.geometry.length, rel=1e-5)


def test_what_is_there_is_not_overwritten(qtbot, panel, tmp_path):
    decode(qtbot, panel)
    (tmp_path / "mine.gif").write_bytes(b"mine")
    export(qtbot, panel, "GIF movie", tmp_path / "mine.gif")
    assert "exists already" in panel.export.result.text()
    assert (tmp_path / "mine.gif").read_bytes() == b"mine"


def test_a_suffix_of_another_kind_is_said(qtbot, panel, tmp_path):
    decode(qtbot, panel)
    panel.export.kind.setCurrentText("MP4 movie")
    panel.export.target.show_value(tmp_path / "movie.avi")
    click(qtbot, panel.export.write)
    assert "ends in .mp4" in panel.export.result.text()


def test_cancelling_leaves_nothing_behind(qtbot, panel, tmp_path):
    decode(qtbot, panel)
    panel.export.kind.setCurrentText("GIF movie")
    panel.export.side.setValue(480)
    panel.export.target.show_value(tmp_path / "pc1.gif")
    with qtbot.waitSignal(panel.export._task.ended, timeout=60_000):
        click(qtbot, panel.export.write)
        click(qtbot, panel.export.cancel)
    assert list(tmp_path.iterdir()) == []


def silhouette(picture, background):
    """Outline of what is drawn, cut to its box, ``(64, 64)`` bool."""
    mask = np.abs(picture.astype(int) - background).max(-1) > 12
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    pick = [np.linspace(0, side - 1, 64).astype(int) for side in cut.shape]
    return cut[np.ix_(*pick)]


def test_the_window_shows_the_hand_that_the_movie_shows(qtbot, make_napari_viewer):
    """The renderer's hand is proven in tests/explore; napari by itself would mirror the map."""
    from napari_cryodeco.explore.render import View, surface
    from napari_cryodeco.explore.volumes import Volume

    axis = np.arange(24) - 12
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    places = [
        ((0, 0, 0), 3),
        ((7, 0, 0), 2.2),
        ((0, 7, 0), 1.6),
        ((0, 0, 7), 1.2),
        ((0, 0, 4), 1.2),
    ]
    values = sum(
        np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 2 / s**2) for (a, b, c), s in places
    )
    viewer = make_napari_viewer(show=True)
    volume = Volume(values.astype(np.float32), 4.0)
    view = map_view_of(viewer)
    view.show(volume)
    camera = getattr(viewer, "scene", viewer).camera
    camera.angles = (20, -35, 50)
    camera.zoom *= 0.5
    qtbot.wait(50)
    window = viewer.screenshot(flash=False)[..., :3]
    seen = silhouette(window, window[0, 0])
    drawn = surface(volume, view.level, View(rotation=camera_rotation(viewer), size=(240, 240)))
    same = (silhouette(drawn, 255) == seen).mean()
    mirrored = (silhouette(drawn[:, ::-1], 255) == seen).mean()
    assert same > 0.95 > mirrored
    assert brightness(window) > 90  # lit from the front
    view.show(volume, full=False)  # and so is the coarse map while the mouse moves
    assert brightness(viewer.screenshot(flash=False)[..., :3]) > 90


def brightness(window):
    lit = window[np.abs(window.astype(int) - window[0, 0]).max(-1) > 12]
    return lit.max(-1).mean()
