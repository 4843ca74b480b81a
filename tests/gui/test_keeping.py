"""The explorer opens as it was left, and earlier epochs are a drag of a slider away."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QStyle, QStyleOptionSlider

from napari_cryodeco.explore import saved_session, shelf
from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.explore.route import Anchor, Route
from napari_cryodeco.explore.selection import Selection
from napari_cryodeco.gui.camera import camera_of
from napari_cryodeco.gui.explorer_panel import ExplorerPanel
from napari_cryodeco.gui.map_filter import MapFilter
from napari_cryodeco.gui.session import Target
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.store import read_tensors, write_tensors

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


@pytest.fixture
def reopen(make_napari_viewer, qtbot):
    """Another window with an Explorer."""
    panels = []

    def make(path):
        viewer = make_napari_viewer()
        panel = ExplorerPanel(viewer)
        viewer.window.add_dock_widget(panel, name="Explorer")
        panel.viewer_for_test = viewer
        panels.append(panel)
        panel.open_run(path)
        qtbot.waitUntil(lambda: panel.session.snapshot is not None, timeout=30_000)
        return panel

    yield make
    for panel in panels:
        panel.decoding.stop()
        panel.loader.close()


def has_map(panel):
    return panel.map.layer.layer is not None


def test_everything_is_as_it_was_left(opened, run_path, reopen, qtbot):
    session = opened.session
    folder = RunPaths(run_path).selections
    shelf.keep(Selection("ends", np.arange(5)), folder)
    session.set_named(shelf.load_all(folder))
    before = {file: file.read_bytes() for file in run_path.rglob("*") if file.is_file()}
    qtbot.waitUntil(lambda: has_map(opened), timeout=20_000)
    qtbot.waitUntil(lambda: "rlnDefocusU" in session.columns, timeout=20_000)
    opened.view_bar.axes_chosen.emit(2, 0)
    opened.view_bar.colour_chosen.emit("rlnDefocusU")
    session.select(np.arange(60) % 3 == 0)
    below = Step("range", axes=("row",), bounds=(-np.inf, 29.0))  # open at one side
    session.select(np.arange(60) < 30, "intersect", below)
    session.set_overlays({"ends"})
    session.move_cursor_to(7)
    session.set_target(Target.MEDOID)
    session.set_map_filter(MapFilter(12.0, -40.0))
    z = session.loaded().latents
    route = Route("graph", 9, True, anchors=tuple(Anchor.at(str(i), z[i]) for i in (1, 4)))
    session.set_route(route)
    opened.map.layer.set_level(2.25)
    camera_of(opened.viewer_for_test).angles = (5.0, 40.0, -20.0)
    opened.scatter.set_extent(opened.scatter.extent.zoomed(0.5, 0.0, 0.0))
    extent = opened.scatter.extent
    opened.keeper.flush()
    again = reopen(run_path)
    assert again.session.selected.tolist() == list(range(0, 30, 3))
    assert again.session.history.recipe == session.history.recipe
    assert not again.session.history.can_undo
    assert (again.session.view, again.session.axes) == ("pca", (2, 0))
    assert again.session.overlays == {"ends"}
    assert again.session.target is Target.MEDOID and again.session.cursor.row == 7
    assert again.session.map_filter == MapFilter(12.0, -40.0)
    assert again.map_bar.low_pass.value() == 12.0
    assert again.session.route == route
    assert again.scatter.extent == extent
    assert again.map.layer.level == 2.25
    qtbot.waitUntil(lambda: again.session.colouring.label == "rlnDefocusU", timeout=20_000)
    qtbot.waitUntil(lambda: has_map(again), timeout=20_000)
    assert np.allclose(camera_of(again.viewer_for_test).angles, (5.0, 40.0, -20.0))
    # of all files of the run only one is new, and none is another
    after = {file: file.read_bytes() for file in run_path.rglob("*") if file.is_file()}
    assert {file: after[file] for file in before} == before
    assert {file.name for file in set(after) - set(before)} == {"session.json"}


def test_it_saves_by_itself_and_when_the_window_closes(opened, run_path, qtbot):
    file = RunPaths(run_path).session
    opened.session.select_rows(np.array([3]))
    qtbot.waitUntil(file.is_file, timeout=10_000)
    opened.session.select_rows(np.array([3, 8]))
    opened.viewer_for_test.window._qt_window.show()
    opened.hide()
    assert np.flatnonzero(saved_session.read(file).mask()).tolist() == [3, 8]


def test_a_run_that_is_opened_once_more_stays_as_it_is_and_is_kept(opened, run_path, qtbot):
    file = RunPaths(run_path).session
    opened.session.select_rows(np.array([3]))
    with qtbot.waitSignal(opened.loader.loaded, timeout=30_000):
        opened.open_run(run_path)
    assert opened.session.selected.tolist() == [3] and opened.session.history.can_undo
    opened.session.select_rows(np.array([5]))
    opened.keeper.flush()
    assert np.flatnonzero(saved_session.read(file).mask()).tolist() == [5]


def test_a_folder_that_is_no_run_leaves_the_open_one_alone(opened, run_path, tmp_path, qtbot):
    opened.open_run(tmp_path)
    assert "is no run folder" in opened.message.text()
    opened.session.select_rows(np.array([5]))
    opened.keeper.flush()
    kept = saved_session.read(RunPaths(run_path).session)
    assert np.flatnonzero(kept.mask()).tolist() == [5]


def test_of_two_runs_opened_at_once_the_last_is_shown_and_keeps_its_own(
    opened, run_path, small_run, qtbot
):
    other = small_run.path
    opened.session.select_rows(np.array([3]))
    opened.keeper.flush()
    before = RunPaths(run_path).session.read_bytes()
    with qtbot.waitSignal(opened.loader.loaded, timeout=30_000):
        opened.open_run(other)
    opened.session.select_rows(np.array([15]))
    opened.keeper.flush()
    opened.open_run(run_path)
    opened.open_run(other)  # of other particles, while the first is being read
    with qtbot.waitSignal(opened.loader.loaded, timeout=30_000):
        pass
    assert opened.session.run.path == other
    assert opened.session.selected.tolist() == [15] and opened.message.text() == ""
    assert RunPaths(run_path).session.read_bytes() == before
    assert not list(run_path.glob("*unread*")) and not list(other.glob("*unread*"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[: len(text) // 2], "is damaged"),
        (lambda text: "[1, 2]", "no session of this version"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "of this version (version)"),
        (lambda text: text.replace('"particles": 60', '"particles": 61'), "61 particles"),
        (lambda text: json.dumps(json.loads(text) | {"selection": "AAAA"}), "is damaged"),
        (lambda text: "\xff\x00", "is damaged"),
    ],
)
def test_a_file_that_is_no_session_is_one_sentence_and_is_lost_for_nobody(
    opened, run_path, reopen, damage, words
):
    opened.session.select_rows(np.array([3]))
    opened.keeper.flush()
    file = RunPaths(run_path).session
    bad = damage(file.read_text())
    file.write_text(bad, encoding="latin-1")
    again = reopen(run_path)
    assert words in again.message.text() and "opens afresh" in again.message.text()
    assert not len(again.session.selected)
    assert (run_path / "session.unread1.json").read_text(encoding="latin-1") == bad


def test_a_run_that_may_only_be_read_opens_and_says_so_once(opened, run_path, monkeypatch):
    def refuse(*_):
        raise PermissionError("session.json cannot be written: read-only.")

    monkeypatch.setattr(saved_session, "write", refuse)
    opened.session.select_rows(np.array([3]))
    opened.keeper.flush()
    assert "is not kept" in opened.message.text()
    opened.tell("")
    opened.session.select_rows(np.array([4]))
    opened.keeper.flush()
    assert not opened.message.text()


# ---- epochs


def add_epoch(run_path, number, turn):
    """An epoch with the latents of the first, turned."""
    paths = RunPaths(run_path)
    shutil.copytree(paths.epoch(1), paths.epoch(number))
    file = paths.epoch(number) / "latents.safetensors"
    tensors, header = read_tensors(file)
    write_tensors(file, {"latents": tensors["latents"] @ torch.from_numpy(turn)}, header)


def drag_to(qtbot, slider, place):
    """Drag the handle to one of the places of a slider."""
    option = QStyleOptionSlider()
    slider.initStyleOption(option)
    complex_control, handle = QStyle.ComplexControl.CC_Slider, QStyle.SubControl.SC_SliderHandle
    at = slider.style().subControlRect(complex_control, option, handle, slider).center()
    wide = slider.width() - 2 * at.x() if slider.value() == slider.minimum() else slider.width()
    share = place / max(slider.maximum(), 1)
    target = QPoint(round(at.x() + share * wide) if slider.value() == 0 else 0, at.y())
    qtbot.mousePress(slider, LEFT, NONE, at)
    qtbot.mouseMove(slider, target)
    qtbot.mouseRelease(slider, LEFT, NONE, target)


def test_the_slider_scrubs_epochs_without_a_flip_and_keeps_selection_and_colour(
    opened, run_path, qtbot
):
    assert not opened.run_bar.scrubber.isVisibleTo(opened)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0].astype(np.float32)
    add_epoch(run_path, 2, turn)
    qtbot.waitUntil(lambda: opened.session.epoch == 2, timeout=30_000)
    slider = opened.run_bar.scrubber
    assert slider.isVisibleTo(opened) and (slider.value(), slider.maximum()) == (1, 1)
    opened.viewer_for_test.window._qt_window.show()
    opened.session.select_rows(np.array([2, 3]))
    opened.view_bar.colour_chosen.emit("z1")
    newest = np.column_stack(opened.session.coordinates())
    drag_to(qtbot, slider, 0)
    qtbot.waitUntil(lambda: opened.session.epoch == 1, timeout=30_000)
    assert np.allclose(np.column_stack(opened.session.coordinates()), newest, atol=1e-3)
    assert opened.session.selected.tolist() == [2, 3]
    assert opened.session.colouring.label == "z1"
    assert opened.run_bar.epoch.currentData() == 1
    add_epoch(run_path, 3, turn)  # training goes on: the slider grows, the epoch stays
    qtbot.waitUntil(lambda: slider.maximum() == 2, timeout=10_000)
    assert opened.session.epoch == 1 and slider.value() == 0
    slider.setFocus()
    qtbot.keyClick(slider, Qt.Key.Key_End)
    qtbot.waitUntil(lambda: opened.session.epoch == 3, timeout=30_000)
    add_epoch(run_path, 4, turn)  # at the right end the newest is followed
    qtbot.waitUntil(lambda: opened.session.epoch == 4, timeout=30_000)
    assert opened.run_bar.epoch.currentData() is None and slider.value() == 3


def test_the_epoch_is_restored_too(opened, run_path, reopen, qtbot):
    add_epoch(run_path, 2, np.eye(4, dtype=np.float32))
    qtbot.waitUntil(lambda: opened.session.epoch == 2, timeout=30_000)
    opened.run_bar.epoch_chosen.emit(1)
    qtbot.waitUntil(lambda: opened.session.epoch == 1, timeout=30_000)
    opened.keeper.flush()
    again = reopen(run_path)
    assert again.session.epoch == 1 and again.run_bar.scrubber.value() == 0
    file = RunPaths(run_path).session
    saved_session.write(saved_session.read(file).model_copy(update={"epoch": 9}), file)
    assert reopen(run_path).session.epoch == 2  # that epoch is gone: the newest


def test_a_route_comes_back_from_its_record():
    route = replace(Route("curve"), curve=((1.0, 2.0), (3.0, 4.5)), frames=7)
    assert Route.from_record(json.loads(json.dumps(route.record()))) == route
    with pytest.raises(ValueError, match="frames"):
        Route.from_record({"frames": "many"})
