"""A projection of the selection in the real window: drawn, lassoed, left, kept, removed."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_cryodeco.explore import parts
from napari_cryodeco.explore.replay import replay
from napari_cryodeco.gui.snapshot import columns_of, load_snapshot
from napari_cryodeco.gui.view_bar import REMOVE

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


def choose(panel, key: str) -> None:
    """Choose an entry of the View box, as the mouse does."""
    box = panel.view_bar.view
    assert box.findData(key) >= 0
    box.setCurrentIndex(box.findData(key))
    box.activated.emit(box.currentIndex())


@pytest.fixture
def lump(opened, qtbot):
    """The second planted cluster selected, in the real window."""
    window = opened.viewer_for_test.window._qt_window
    window.resize(1280, 800)
    window.show()
    opened.scatter.setFocus()
    opened.session.select(opened.session.loaded().latents[:, 0] > 2)
    return opened


@pytest.fixture
def part(lump, qtbot):
    choose(lump, "part pca")
    qtbot.waitUntil(lambda: lump.session.projection.part is not None, timeout=20_000)
    return lump


def test_the_others_are_not_drawn_but_stay_in_every_mask(part, qtbot):
    session = part.session
    rows = session.projection.part.rows
    np.testing.assert_array_equal(rows, session.selected)
    x, _y = part.scatter.points
    assert np.isfinite(x[rows]).all() and np.isfinite(x).sum() == len(rows) < len(x)
    assert part.view_bar.view.currentText().startswith("PCA of ")
    assert part.view_bar.view.currentData() == session.view
    qtbot.mouseClick(part.selection_bar.button("box"), LEFT)
    frame = part.scatter.frame().rect.toRect().adjusted(3, 3, -3, -3)
    session.clear_selection()
    qtbot.mousePress(part.scatter, LEFT, NONE, frame.topLeft())
    qtbot.mouseMove(part.scatter, frame.center())
    qtbot.mouseMove(part.scatter, frame.bottomRight())
    qtbot.mouseRelease(part.scatter, LEFT, NONE, frame.bottomRight())
    np.testing.assert_array_equal(session.selected, rows)
    again = replay(session.history.recipe.steps, columns_of(session.loaded(), session.columns))
    np.testing.assert_array_equal(np.flatnonzero(again), rows)
    part.selection.step("invert")
    assert len(session.selected) == len(x) - len(rows)


def test_a_cursor_on_a_particle_that_is_not_shown_stays_on_it(part, qtbot):
    session = part.session
    other = int(np.flatnonzero(session.loaded().latents[:, 0] < 2)[0])
    session.move_cursor_to(other)
    assert session.cursor.row == other
    np.testing.assert_array_equal(session.cursor.z, session.loaded().latents[other])
    part.scatter.set_hovered(other)
    part.scatter.grab()  # neither is drawn, nothing fails
    assert "nan" not in session.describe(other)
    choose(part, "pca")
    assert np.isfinite(session.cursor.x) and session.cursor.row == other
    one = int(session.loaded().projections[list(session.loaded().projections)[-1]].part.rows[0])
    session.set_path(session.loaded().latents[[other, one]])
    choose(part, next(k for k in session.loaded().projections if ":" in k))
    assert np.isfinite(session.project(session.path)).all()


def test_it_is_found_by_another_session_and_removed(part, run_path, qtbot):
    key = part.session.view
    assert key in load_snapshot(run_path).projections
    part.keeper.flush()
    choose(part, REMOVE)
    assert part.session.view == "pca" and key not in part.session.loaded().projections
    assert part.view_bar.view.findData(key) < 0
    assert not list((run_path / "views").glob("*part*"))


def test_a_umap_of_the_selection_is_made_in_a_process_and_cancelled(lump, qtbot, run_path):
    choose(lump, "part umap")
    assert lump.analysis.busy and lump.session.view == "pca"
    qtbot.wait(500)
    qtbot.mouseClick(lump.analysis._cancel, LEFT)
    qtbot.waitUntil(lambda: not lump.analysis.busy, timeout=10_000)
    assert not list((run_path / "views").glob("*part*")) and lump.session.view == "pca"
    choose(lump, "part umap")
    qtbot.waitUntil(lambda: lump.session.projection.part is not None, timeout=400_000)
    rows, latents = lump.session.selected, lump.session.loaded().latents
    made = parts.kept_part(run_path / "elsewhere", latents, lump.session.epoch, rows, "umap")
    np.testing.assert_array_equal(lump.session.projection.coordinates, made.coordinates)


def test_nothing_selected_says_so(opened, qtbot):
    choose(opened, "part umap")
    assert "Nothing is selected" in opened.message.text()
    assert opened.view_bar.view.currentData() == "pca"
    opened.session.select(np.arange(60) < 2)
    choose(opened, "part pca")
    qtbot.waitUntil(lambda: opened.session.projection.part is not None, timeout=20_000)
    opened.scatter.grab()  # two points
