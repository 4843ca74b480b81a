"""Live decoding: the newest wins, the window never waits; and the layer that shows the map."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import qtpy
from napari.components import ViewerModel
from napari.layers import Image, Surface
from qtpy.QtWidgets import QWidget

from napari_cryodeco.explore.volumes import Volume, VolumeRequest
from napari_cryodeco.gui.camera import camera_view, canvas_size
from napari_cryodeco.gui.decoding import DecodeThread
from napari_cryodeco.gui.layers import FILLED, LEVELS, MapView, map_view_of, suggest_level
from napari_cryodeco.gui.map_bar import MapBar
from napari_cryodeco.gui.surface import isosurface


class SlowDecoder:
    """Coarse maps at once, full ones when `gate` opens; the map holds the first number of z."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.asked = []

    def preview(self, z, budget_s):
        return VolumeRequest(z, radius=6, box=14)

    def decode(self, request):
        self.asked.append(request)
        if request.radius is None:
            self.gate.wait(10)
        if not np.isfinite(request.z).all():
            raise ValueError("z has numbers that are not finite; choose a particle or a point.")
        return Volume(np.full((4, 4, 4), request.z[0], np.float32), 2.0, request)


@pytest.fixture
def decoder():
    return SlowDecoder()


@pytest.fixture
def thread(qtbot, decoder):
    thread = DecodeThread()
    thread.use(lambda: decoder)
    yield thread
    decoder.gate.set()
    thread.stop()


def first_number(answer):
    return float(answer.volume.data[0, 0, 0])


def test_a_storm_of_requests_ends_with_the_newest_full_map(qtbot, thread, decoder):
    answers = []
    thread.decoded.connect(answers.append)
    for i in range(50):
        thread.request(np.array([i], np.float32), f"point {i}")
    qtbot.waitUntil(lambda: any(a.full and first_number(a) == 49 for a in answers), timeout=20_000)
    qtbot.wait(100)
    assert answers[-1].full and answers[-1].caption == "point 49"
    assert [first_number(a) for a in answers] == sorted(first_number(a) for a in answers)
    assert len(decoder.asked) < 100


def test_coarse_comes_at_once_while_the_full_map_takes_its_time(qtbot, thread, decoder):
    decoder.gate.clear()
    answers = []
    thread.decoded.connect(answers.append)
    thread.request(np.array([1.0]), "one")
    qtbot.waitUntil(lambda: len(answers) == 1, timeout=20_000)
    assert not answers[0].full and answers[0].radius == 6
    thread.request(np.array([2.0]), "two", full=False)  # not held up by the full map of one
    qtbot.waitUntil(lambda: len(answers) == 2, timeout=20_000)
    decoder.gate.set()
    qtbot.wait(150)
    assert [a.caption for a in answers] == ["one", "two"]  # the full map of one was overtaken


def test_the_map_follows_a_mouse_that_is_faster_than_the_decoder(qtbot, thread, decoder):
    answers, at_once = [], decoder.decode

    def slow(request):
        time.sleep(0.06)
        return at_once(request)

    decoder.decode = slow
    thread.decoded.connect(answers.append)
    for i in range(40):
        thread.request(np.array([i], np.float32), f"point {i}", full=False)
        qtbot.wait(20)
    shown_while_moving = len(answers)
    qtbot.waitUntil(lambda: answers and first_number(answers[-1]) == 39, timeout=20_000)
    assert shown_while_moving >= 3
    assert [first_number(a) for a in answers] == sorted({first_number(a) for a in answers})


def test_a_window_that_was_busy_is_told_only_the_last(qtbot, thread, decoder):
    answers = []
    thread.decoded.connect(answers.append)
    for i in range(5):  # no event is handled meanwhile
        thread.request(np.array([i], np.float32), f"point {i}", full=False)
        end = time.monotonic() + 10
        while len(decoder.asked) <= i and time.monotonic() < end:
            time.sleep(0.001)
    assert len(decoder.asked) == 5 and not answers
    qtbot.waitUntil(lambda: bool(answers) and first_number(answers[-1]) == 4, timeout=20_000)
    assert len(answers) <= 2  # the last but one, if the last was not decoded yet


def test_the_full_map_begins_when_the_coarse_one_is_shown(qtbot, thread, decoder):
    wanted = []

    def show(answer):
        wanted.append((answer.full, [request.radius is None for request in decoder.asked]))

    thread.decoded.connect(show)
    thread.request(np.array([1.0]), "x")
    qtbot.waitUntil(lambda: len(wanted) == 2, timeout=20_000)
    assert wanted == [(False, [False]), (True, [False, True])]


def test_asking_never_waits_for_the_decoder(qtbot, thread, decoder):
    decoder.gate.clear()
    begun = time.perf_counter()
    for i in range(200):
        thread.request(np.array([i]), "x")
    assert time.perf_counter() - begun < 5  # it would be hours if one waited
    assert not decoder.gate.is_set()


def test_an_answer_for_a_closed_panel_is_dropped(qtbot, decoder):
    thread = DecodeThread()
    thread.use(lambda: decoder)
    decoder.gate.clear()
    thread.request(np.array([1.0]), "x")
    qtbot.waitUntil(
        lambda: any(request.radius is None for request in decoder.asked), timeout=20_000
    )
    workers = [w for w in threading.enumerate() if w.name == "cryodeco full maps"]
    if qtpy.PYSIDE6:
        from shiboken6 import delete
    else:
        from PyQt6.sip import delete
    delete(thread)
    decoder.gate.set()
    for worker in workers:  # an exception in one of them fails the test (pyproject.toml)
        worker.join(5)
    assert not any(worker.is_alive() for worker in workers)


def test_an_error_is_one_sentence_and_the_next_request_works(qtbot, thread):
    with qtbot.waitSignal(thread.failed, timeout=20_000) as caught:
        thread.request(np.array([np.nan]), "bad")
    assert caught.args == ["z has numbers that are not finite; choose a particle or a point."]
    with qtbot.waitSignal(thread.decoded, timeout=20_000):
        thread.request(np.array([1.0]), "good")


def test_a_decoder_that_cannot_be_opened_is_told(qtbot, thread):
    def fail():
        raise FileNotFoundError("epochs/0001/field.safetensors is missing.")

    thread.use(fail)
    with qtbot.waitSignal(thread.failed, timeout=20_000) as caught:
        thread.request(np.array([1.0]), "x")
    assert "is missing" in caught.args[0]


def test_the_next_epoch_brings_its_own_decoder(qtbot, thread):
    other = SlowDecoder()
    thread.use(lambda: other)
    with qtbot.waitSignal(thread.decoded, timeout=20_000):
        thread.request(np.array([1.0]), "x")
    assert other.asked


def ball_map(side, radius=0.25):
    """A ball about voxel ``side // 2`` in noise, in σ units."""
    grid = np.indices((side,) * 3) - side // 2
    inside = np.sqrt((grid**2).sum(0)) < radius * side
    data = inside + 0.05 * np.random.default_rng(0).normal(size=inside.shape)
    return ((data - data.mean()) / data.std()).astype(np.float32)


@pytest.mark.parametrize("mesh", [False, True])
def test_one_layer_for_all_maps_keeps_level_and_camera(mesh):
    viewer = ViewerModel()
    view = MapView(viewer, mesh=mesh)
    view.show_data(ball_map(24), 3.0)
    (layer,) = viewer.layers
    assert isinstance(layer, Surface if mesh else Image)
    view.set_level(2.0)
    viewer.scene.camera.zoom = 3.3
    for side in (12, 16, 24):
        view.show_data(ball_map(side), 72 / side, full=side == 24)
        assert list(viewer.layers) == [layer]
        assert view.level == 2.0 and viewer.scene.camera.zoom == 3.3
        # The box is 72 Å wide and its centre is at the origin, at any sampling.
        assert np.allclose(layer.scale, 3 if mesh else 72 / side)
        assert np.abs(layer.extent.world.mean(0)).max() <= 72 / side


def test_the_level_of_a_volume_is_its_threshold_in_sigma():
    viewer = ViewerModel()
    view = MapView(viewer, mesh=False)
    view.show_data(ball_map(16), 3.0)
    view.set_level(2.5)
    assert viewer.layers[0].iso_threshold == 2.5 and viewer.layers[0].rendering == "iso"
    view.set_level(0.01)  # vispy crawls below 0.2
    assert viewer.layers[0].iso_threshold == LEVELS[0]


def test_a_mesh_has_the_radius_of_its_ball_in_angstrom():
    viewer = ViewerModel()
    view = MapView(viewer, mesh=True)
    view.show_data(ball_map(32), 2.0)
    layer = viewer.layers[0]
    places = np.array([layer.data_to_world(vertex) for vertex in layer.data[0][::20]])
    assert np.allclose(np.linalg.norm(places, axis=1), 16.0, atol=2.5)


def test_coarse_meshes_lie_in_the_voxels_of_the_full_one():
    viewer = ViewerModel()
    view, moved = MapView(viewer, mesh=True), []
    view.show_data(ball_map(24), 3.0)
    layer = viewer.layers[0]
    for event in (layer.events.scale, layer.events.translate):
        event.connect(moved.append)
    for side in (16, 20, 12):
        view.show_data(ball_map(side), 72 / side, full=False)
        places = np.array([layer.data_to_world(vertex) for vertex in layer.data[0][::10]])
        assert np.allclose(np.linalg.norm(places, axis=1), 18.0, atol=72 / side)
        view.set_level(view.level + 0.1)  # of the coarse map, where it is
        again = np.array([layer.data_to_world(vertex) for vertex in layer.data[0][::10]])
        assert np.linalg.norm(again, axis=1).mean() == pytest.approx(18.0, abs=72 / side)
    assert not moved  # napari does all of its work for each of them
    view.show_data(ball_map(16), 4.5)
    assert np.allclose(layer.scale, 4.5) and moved


def test_a_deleted_layer_comes_back():
    viewer = ViewerModel()
    view = MapView(viewer, mesh=True)
    view.show_data(ball_map(12), 3.0)
    viewer.layers.clear()
    assert view.layer is None
    view.show_data(ball_map(12), 3.0)
    assert len(viewer.layers) == 1


def test_the_suggested_level_parts_molecule_from_solvent():
    data = ball_map(24)
    above = data > suggest_level(data)
    grid = np.indices(data.shape) - 12
    inside = np.sqrt((grid**2).sum(0)) < 6
    assert (above == inside).mean() > 0.999


def test_a_level_above_all_gives_an_empty_mesh_and_faces_are_bounded():
    data = ball_map(48, 0.4)
    vertices, faces = isosurface(data, 1e6)
    assert len(vertices) == 3 and np.ptp(vertices, axis=0).max() == 0 and len(faces) == 1
    _, fine = isosurface(data, 0.5)
    _, coarse = isosurface(data, 0.5, most_faces=len(fine) // 3)
    assert len(coarse) < 0.5 * len(fine)


def test_one_map_view_a_viewer():
    first, second = ViewerModel(), ViewerModel()
    assert map_view_of(first) is map_view_of(first)
    assert map_view_of(first) is not map_view_of(second)


def test_what_the_window_loads_never_imports_triton():
    # triton brings an LLVM of its own; beside the one of Mesa's software OpenGL the process dies.
    code = (
        "import sys\n"
        "from napari_cryodeco.explore import landscape, render, selection, shelf, volumes\n"
        "from napari_cryodeco.data import read, simulate, table\n"
        "from napari_cryodeco.runs import run\n"
        "assert 'triton' not in sys.modules and 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_status_line_says_where_a_map_was_decoded_and_why(qtbot, thread, decoder):
    bar = MapBar()
    qtbot.addWidget(bar)
    decoder.where = "cpu (the GPU is training this run)"
    with qtbot.waitSignal(thread.decoded, timeout=20_000) as caught:
        thread.request(np.array([1.0]), "cluster 2")
    bar.show_decoded(caught.args[0], 8.0, 15)
    assert bar.status.text().endswith(" s on cpu (the GPU is training this run)")


def test_a_decoder_is_opened_anew_where_it_was(qtbot, thread):
    opened = []

    def open_one():
        opened.append(SlowDecoder())
        return opened[-1]

    thread.use(open_one)
    for count in (1, 2):
        with qtbot.waitSignal(thread.decoded, timeout=20_000):
            thread.request(np.array([1.0]), "x", full=False)
        assert len(opened) == count
        thread.reopen()


def rod_map(side, axis):
    """A rod along one axis through the centre, seven eighths of the box long, in σ units."""
    grid = np.indices((side,) * 3) - side // 2
    across = np.delete(grid, axis, axis=0)
    inside = (np.abs(grid[axis]) < 7 / 16 * side) & ((across**2).sum(0) < 4)
    return ((inside - inside.mean()) / inside.std()).astype(np.float32)


@pytest.mark.gl
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_first_map_does_not_decide_how_much_is_seen(viewer, qtbot, axis):
    view = MapView(viewer, mesh=True)
    view.show_data(rod_map(24, axis), 3.0)
    assert camera_view(viewer).extent == pytest.approx(FILLED * 72.0)


@pytest.mark.gl
def test_a_map_stays_whole_when_panels_take_from_the_canvas(viewer, qtbot):
    view = MapView(viewer, mesh=True)
    view.show_data(ball_map(24), 3.0)
    qtbot.wait(100)
    seen, wide = camera_view(viewer).extent, canvas_size(viewer)
    panel = QWidget()
    panel.setMinimumWidth(wide[0] - wide[1] // 2)
    viewer.window.add_dock_widget(panel, name="wide")
    qtbot.waitUntil(lambda: min(canvas_size(viewer)) < 0.7 * min(wide))
    qtbot.wait(100)  # napari's drawing has a say in the zoom, too
    assert camera_view(viewer).extent == pytest.approx(seen)


def test_the_hidden_maps_of_a_run_leave_the_camera_to_the_first_map():
    viewer = ViewerModel()
    viewer.add_image(ball_map(12), visible=False)
    view, framed = MapView(viewer, mesh=True), []
    view.framed.connect(lambda: framed.append(viewer.scene.camera.angles))
    view.show_data(ball_map(24), 3.0)
    assert len(framed) == 1
    viewer.layers[0].visible = True
    other = MapView(viewer, mesh=True, name="another")
    other.framed.connect(lambda: framed.append(viewer.scene.camera.angles))
    other.show_data(ball_map(24), 3.0)  # the camera is the user's now
    assert len(framed) == 1
