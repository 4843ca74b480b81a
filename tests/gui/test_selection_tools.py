"""Every tool of the selection in the real window, by mouse and by key."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QFontMetricsF
from qtpy.QtWidgets import QLineEdit
from sklearn.neighbors import NearestNeighbors
from superqt import QCollapsible

from napari_cryodeco.explore import landscape, shelf
from napari_cryodeco.explore.columns import Column
from napari_cryodeco.explore.read_columns import ReadColumns
from napari_cryodeco.explore.replay import replay
from napari_cryodeco.gui import plot_axes
from napari_cryodeco.gui.named_list import EYE, LOCK, NAME, NOTE
from napari_cryodeco.gui.snapshot import columns_of

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
SHIFT, ALT = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.AltModifier


@pytest.fixture
def focused(opened, qtbot):
    window = opened.viewer_for_test.window._qt_window
    window.show()
    window.activateWindow()
    opened.scatter.setFocus()
    qtbot.waitUntil(lambda: opened.scatter.hasFocus(), timeout=20_000)
    opened.findChild(QCollapsible).expand(animate=False)
    return opened


@pytest.fixture
def clustered(focused):
    session = focused.session
    session.set_clustering(landscape.cluster(session.loaded().latents, 2, epoch=session.epoch))
    return focused


def done_again(panel) -> np.ndarray:
    """What the recipe of the present selection selects when it is replayed."""
    session = panel.session
    columns = columns_of(session.loaded(), session.columns)
    return np.flatnonzero(replay(session.history.recipe.steps, columns))


def on_particle(panel, row: int) -> QPoint:
    x, y = panel.session.coordinates()
    return panel.scatter.frame().to_screen(float(x[row]), float(y[row])).toPoint()


def neighbours_of(latents, rows) -> set[int]:
    """Neighbours either way, by sklearn."""
    table = NearestNeighbors(n_neighbors=10).fit(latents).kneighbors(return_distance=False)
    forward = set(table[rows].ravel().tolist())
    return forward | {i for i, near in enumerate(table.tolist()) if set(near) & set(rows)}


def test_keys_and_buttons_choose_each_tool(focused, qtbot):
    for key, mode in zip(
        "BGCHPL", ("box", "polygon", "pick", "pan", "point", "lasso"), strict=True
    ):
        qtbot.keyClick(focused.scatter, getattr(Qt.Key, f"Key_{key}"))
        qtbot.waitUntil(lambda mode=mode: focused.scatter.mode == mode, timeout=20_000)
        assert focused.selection_bar.button(mode).isChecked()
    for mode in ("point", "box", "polygon", "pick", "lasso"):
        qtbot.mouseClick(focused.selection_bar.button(mode), LEFT)
        assert focused.scatter.mode == mode


def test_a_pick_selects_the_cluster_of_the_particle_clicked(clustered, qtbot):
    panel, labels = clustered, clustered.session.clustering.labels
    panel.view_bar.colour_chosen.emit("density")  # clusters need not be shown
    qtbot.keyClick(panel.scatter, Qt.Key.Key_C)
    ours, other = (int(np.flatnonzero(labels == label)[0]) for label in (0, 1))
    qtbot.mouseClick(panel.scatter, LEFT, NONE, on_particle(panel, ours))
    assert np.array_equal(panel.session.selected, np.flatnonzero(labels == 0))
    qtbot.mouseClick(panel.scatter, LEFT, SHIFT, on_particle(panel, other))
    assert len(panel.session.selected) == len(labels)
    qtbot.mouseClick(panel.scatter, LEFT, ALT, on_particle(panel, ours))
    assert np.array_equal(panel.session.selected, np.flatnonzero(labels == 1))
    assert np.array_equal(done_again(panel), panel.session.selected)


def test_a_pick_without_classes_says_what_to_do(focused, qtbot):
    qtbot.mouseClick(focused.selection_bar.button("pick"), LEFT)
    qtbot.mouseClick(focused.scatter, LEFT, NONE, on_particle(focused, 3))
    assert "press Cluster first" in focused.message.text()
    assert not len(focused.session.selected)


def test_the_legend_selects_the_particles_of_a_text_column(focused, qtbot):
    names = np.array([f"mic{i % 15:02d}" for i in range(60)], object)
    qtbot.waitUntil(lambda: bool(focused.session.columns), timeout=20_000)
    column = Column("rlnMicrographName", "micrograph")
    focused.session.set_columns(ReadColumns((column,), lambda _: {column.name: names}))
    focused.view_bar.colour_chosen.emit("rlnMicrographName")
    qtbot.waitUntil(lambda: focused.session.colouring.label == column.name, timeout=20_000)
    scatter, kinds = focused.scatter, focused.session.colouring
    boxes = plot_axes.legend_boxes(scatter.frame(), QFontMetricsF(scatter.font()), kinds)
    (second, name, _), (rest, other, code) = boxes[1], boxes[-1]
    qtbot.mouseClick(scatter, LEFT, NONE, (second.topLeft() + QPointF(8, 8)).toPoint())
    assert np.array_equal(focused.session.selected, np.flatnonzero(names == name))
    assert np.array_equal(done_again(focused), focused.session.selected)
    if code == -1:  # there was room for it in the legend
        qtbot.mouseClick(scatter, LEFT, SHIFT, (rest.topLeft() + QPointF(8, 8)).toPoint())
        unnamed = ~np.isin(names, kinds.names)
        assert other == "other" and unnamed.sum() == 12
        expected = unnamed | (names == name)
        assert np.array_equal(focused.session.selected, np.flatnonzero(expected))
        assert np.array_equal(done_again(focused), focused.session.selected)


def test_the_histogram_brush_selects_a_range_of_any_column(focused, qtbot):
    qtbot.waitUntil(lambda: bool(focused.session.columns), timeout=20_000)
    histogram = focused.histogram
    assert not histogram.isVisibleTo(focused)
    focused.view_bar.colour_chosen.emit("rlnDefocusU")
    qtbot.waitUntil(lambda: histogram.isVisibleTo(focused), timeout=20_000)
    assert histogram.isVisibleTo(focused)
    defocus = focused.session.columns["rlnDefocusU"].astype(np.float32)
    middle = float(np.median(defocus))
    place = QPoint(round(histogram.to_screen(middle)), 15)
    qtbot.mousePress(histogram, LEFT, NONE, place)
    qtbot.mouseMove(histogram, QPoint(histogram.width() - 1, 15))
    assert "would be selected" in focused.selection_bar.count_text
    qtbot.mouseRelease(histogram, LEFT, NONE, QPoint(histogram.width() - 1, 15))
    low = focused.session.history.recipe.steps[0].bounds[0]
    above = np.flatnonzero(defocus >= np.float32(low))
    assert np.array_equal(focused.session.selected, above) and 0 < len(above) < 60
    assert histogram.chosen_counts.sum() == len(above)
    assert np.array_equal(done_again(focused), above)
    qtbot.mouseClick(focused.selection_bar.button("intersect"), LEFT)
    qtbot.mousePress(histogram, LEFT, NONE, QPoint(2, 15))
    qtbot.mouseMove(histogram, place + QPoint(40, 0))
    qtbot.mouseRelease(histogram, LEFT, NONE, place + QPoint(40, 0))
    high = focused.session.history.recipe.steps[1].bounds[1]
    both = above[defocus[above] <= np.float32(high)]
    assert np.array_equal(focused.session.selected, both)
    assert np.array_equal(done_again(focused), both)
    focused.view_bar.colour_chosen.emit("density")
    assert not histogram.isVisibleTo(focused)


def test_brackets_grow_and_shrink_by_neighbours_in_z(focused, qtbot):
    session = focused.session
    latents = session.loaded().latents
    session.move_cursor_to(7)
    qtbot.keyClick(focused.scatter, Qt.Key.Key_BracketRight)  # from the cursor
    qtbot.waitUntil(lambda: len(session.selected) > 1, timeout=20_000)
    near = neighbours_of(latents, [7])
    assert set(session.selected.tolist()) == near | {7}
    assert (session.run.paths.views / "0001-neighbours10.safetensors").is_file()
    qtbot.keyClick(focused.scatter, Qt.Key.Key_BracketRight)
    more = set(session.selected.tolist())
    assert more == neighbours_of(latents, sorted(near | {7})) | near | {7}
    qtbot.mouseClick(focused.selection_bar.button("shrink"), LEFT)
    less = set(session.selected.tolist())
    outside = sorted(set(range(60)) - more)
    assert less == more - neighbours_of(latents, outside) and 7 in less
    assert np.array_equal(done_again(focused), session.selected)
    session.clear_selection()
    qtbot.keyClick(focused.scatter, Qt.Key.Key_BracketLeft)
    qtbot.waitUntil(lambda: "Nothing is selected" in focused.message.text(), timeout=20_000)


def test_a_click_in_the_history_goes_back_and_forth(focused, qtbot):
    session, steps = focused.session, focused.steps
    focused.named.parentWidget().parentWidget().setCurrentIndex(1)
    masks = [session.history.mask.copy()]
    for rows in ([1, 2, 3], [5], [8, 9]):
        session.select_rows(np.array(rows), "add")
        masks.append(session.history.mask.copy())
    session.invert_selection()
    assert steps.texts[0].endswith("→  0") and steps.texts[-1].split()[1] == "invert"
    for place in (2, 4, 0, 3):
        index = steps.model().index(place, 0)
        steps.scrollTo(index)
        qtbot.mouseClick(steps.viewport(), LEFT, NONE, steps.visualRect(index).center())
        assert session.history.place == place and len(steps.texts) == 5
        if place < 4:
            assert np.array_equal(session.history.mask, masks[place])
    assert steps.currentIndex().row() == 3
    session.select_all()
    assert len(steps.texts) == 5 and steps.texts[4].split()[1] == "all"


def test_named_selections_are_drawn_locked_noted_and_combined(focused, qtbot):
    session, named = focused.session, focused.named
    for name, rows in (("a", np.arange(20)), ("b", np.arange(10, 40))):
        session.select_rows(rows)
        named.keep(name)
    session.clear_selection()
    viewport = named.list.viewport
    plain = focused.scatter.grab().toImage()
    qtbot.mouseClick(viewport, LEFT, NONE, named.list.click_place(0, EYE))
    assert session.overlays == {"a"} and focused.scatter.grab().toImage() != plain
    qtbot.mouseClick(viewport, LEFT, NONE, named.list.click_place(0, EYE))
    assert not session.overlays and focused.scatter.grab().toImage() == plain
    qtbot.mouseClick(viewport, LEFT, NONE, named.list.click_place(0, LOCK))
    assert session.named[0].locked
    named.list.deleted.emit(0)
    assert "'a' is locked: unlock it first." in focused.message.text() and len(session.named) == 2
    named.list.updated.emit(0)
    assert len(session.named[0]) == 20 and "locked" in focused.message.text()
    named.list.noted.emit(0, "the open state")
    named.list.coloured.emit(0, "#AA3377")
    folder = session.run.paths.selections
    (a, b) = shelf.load_all(folder)
    assert (a.note, a.colour, a.locked) == ("the open state", "#AA3377", True)
    assert a.colour != b.colour and a.recipe.epoch == 1
    expected = {"add": range(40), "intersect": range(10, 20), "subtract": range(10)}
    qtbot.mouseClick(viewport, LEFT, NONE, named.list.click_place(0, NAME))
    place = named.list.click_place(1, NAME)
    qtbot.mouseClick(viewport, LEFT, Qt.KeyboardModifier.ControlModifier, place)
    for operation, rows in expected.items():
        qtbot.mouseClick(named.list.set_buttons[operation], LEFT)
        assert session.selected.tolist() == list(rows)
        assert np.array_equal(done_again(focused), session.selected)
    named.list.choose(1, 0)  # the one marked first is taken from
    qtbot.mouseClick(named.list.set_buttons["subtract"], LEFT)
    assert session.selected.tolist() == list(range(20, 40))


def test_names_and_notes_are_edited_in_the_list_and_stay_drawn(focused, qtbot):
    session = focused.session
    session.select_rows(np.array([3, 4]))
    focused.named.keep("old")
    session.set_overlays({"old"})
    tree = focused.named.list.viewport.parentWidget()

    def write(text):
        qtbot.waitUntil(lambda: tree.viewport().findChild(QLineEdit) is not None, timeout=20_000)
        editor = tree.viewport().findChild(QLineEdit)
        editor.selectAll()
        qtbot.keyClicks(editor, text)
        qtbot.keyClick(editor, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: tree.viewport().findChild(QLineEdit) is None, timeout=20_000)

    qtbot.mouseClick(tree.viewport(), LEFT, NONE, focused.named.list.click_place(0, NAME))
    qtbot.keyClick(tree, Qt.Key.Key_F2)
    write("new")
    assert session.overlays == {"new"} and focused.named.list.names == ["new"]
    place = focused.named.list.click_place(0, NOTE)
    qtbot.mouseClick(tree.viewport(), LEFT, NONE, place)
    qtbot.mouseDClick(tree.viewport(), LEFT, NONE, place)
    write("seen twice")
    assert shelf.load_all(session.run.paths.selections)[0].note == "seen twice"
    session.clear_selection()
    place = focused.named.list.click_place(0, NAME)
    qtbot.mouseClick(tree.viewport(), LEFT, NONE, place)
    qtbot.mouseDClick(tree.viewport(), LEFT, NONE, place)
    assert session.selected.tolist() == [3, 4]
    focused.named.list.deleted.emit(0)
    assert not session.overlays


def test_the_menu_colours_locks_and_updates(focused, qtbot):
    session = focused.session
    session.select_rows(np.array([3, 4]))
    focused.named.keep("one")
    session.select_rows(np.array([8]), "add")
    focused.named.list.choose(0)
    menu = focused.named.list.more_button.menu()
    actions = {action.text(): action for action in menu.actions()}
    colours = {action.text(): action for action in actions["Colour"].menu().actions()}
    colours["teal"].trigger()
    assert session.named[0].colour == "#44AA99"
    actions["Update"].trigger()
    assert session.named[0].rows.tolist() == [3, 4, 8]
    assert np.array_equal(done_again(focused), [3, 4, 8])
    actions["Lock or unlock"].trigger()
    assert session.named[0].locked
    session.clear_selection()
    actions["Replay its recipe"].trigger()
    qtbot.waitUntil(lambda: session.selected.tolist() == [3, 4, 8], timeout=10_000)


def test_a_recipe_is_replayed_on_other_clusters(clustered, qtbot):
    session = clustered.session
    session.select(session.clustering.labels == 1)
    session.clear_selection()
    qtbot.mouseClick(clustered.selection_bar.button("pick"), LEFT)
    row = int(np.flatnonzero(session.clustering.labels == 1)[0])
    qtbot.mouseClick(clustered.scatter, LEFT, NONE, on_particle(clustered, row))
    clustered.named.keep("second")
    session.set_clustering(landscape.cluster(session.loaded().latents, 3, epoch=session.epoch))
    clustered.named.list.replayed.emit(0)
    expected = np.flatnonzero(session.clustering.labels == 1)
    qtbot.waitUntil(lambda: np.array_equal(session.selected, expected), timeout=10_000)
    assert "'second' replayed" in clustered.message.text()
    assert np.array_equal(done_again(clustered), expected)


def test_the_particle_under_the_mouse_is_told_to_all_views(focused, qtbot):
    told = []
    focused.session.hover_changed.connect(told.append)
    focused.scatter.hovered.emit(12)
    assert told == [12] and focused.scatter._hovered == 12
    focused.session.set_hovered(30)  # another view
    assert focused.scatter._hovered == 30
    focused.scatter.hovered.emit(None)
    assert told[-1] is None and focused.scatter._hovered is None
