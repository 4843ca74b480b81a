"""Clusters merged, split, named and cut out in the real window, by mouse and by key."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QFontMetricsF
from qtpy.QtWidgets import QApplication, QInputDialog, QLineEdit, QMenu, QSpinBox

from napari_cryodeco.explore import landscape
from napari_cryodeco.explore.saved_session import SavedSession
from napari_cryodeco.gui import plot_axes
from napari_cryodeco.gui.comparing import group_names
from napari_cryodeco.gui.session import Target

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def clustered(opened, qtbot):
    """A run in three clusters, computed and kept by the window, coloured by them."""
    window = opened.viewer_for_test.window._qt_window
    window.resize(1280, 800)
    window.show()
    window.activateWindow()
    opened.scatter.setFocus()
    opened.view_bar.k.setValue(3)
    qtbot.mouseClick(opened.view_bar.cluster, LEFT)
    qtbot.waitUntil(lambda: opened.session.clustering is not None, timeout=30_000)
    qtbot.waitUntil(lambda: not opened.analysis.busy, timeout=10_000)
    return opened


def entry(panel, code: int) -> QPoint:
    """Where an entry of the legend is."""
    scatter, kinds = panel.scatter, panel.session.colouring
    boxes = plot_axes.legend_boxes(scatter.frame(), QFontMetricsF(scatter.font()), kinds)
    return next((b.topLeft() + QPointF(8, 8)).toPoint() for b, _, c in boxes if c == code)


def changed(panel, qtbot, act):
    """The clusters after an act that takes a thread."""
    before = panel.session.clustering
    act()
    qtbot.waitUntil(lambda: panel.session.clustering is not before, timeout=20_000)
    qtbot.waitUntil(lambda: not panel.analysis.busy, timeout=10_000)
    return panel.session.clustering


def typed(qtbot, text: str) -> None:
    """Answer the next dialog by the keyboard."""

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        assert isinstance(dialog, QInputDialog)
        field = dialog.findChild(QSpinBox) or dialog.findChild(QLineEdit)
        field.selectAll()
        qtbot.keyClicks(field, text)
        qtbot.keyClick(field, Qt.Key.Key_Return)

    QTimer.singleShot(300, answer)


def legend(panel) -> list[str]:
    return [name for name, _ in plot_axes.entries(panel.session.colouring)]


def test_two_entries_of_the_legend_are_merged_and_that_is_undone(clustered, qtbot, run_path):
    computed = clustered.session.clustering
    qtbot.mouseClick(clustered.scatter, LEFT, NONE, entry(clustered, 0))
    qtbot.mouseClick(clustered.scatter, LEFT, SHIFT, entry(clustered, 2))
    made = changed(clustered, qtbot, lambda: qtbot.keyClick(clustered.scatter, Qt.Key.Key_M))
    np.testing.assert_array_equal(made.labels == 0, np.isin(computed.labels, (0, 2)))
    assert legend(clustered) == ["1", "2"]
    assert landscape.latest_clustering(run_path / "views").edits == made.edits
    back = changed(clustered, qtbot, lambda: clustered.by_hand.actions["undo"].trigger())
    for name in ("labels", "posteriors", "centres", "rows"):
        np.testing.assert_array_equal(getattr(back, name), getattr(computed, name))
    assert legend(clustered) == ["1", "2", "3"]


def test_keys_undo_and_redo_what_was_done_by_hand(clustered, qtbot):
    computed = clustered.session.clustering
    clustered.session.select(computed.labels > 0)
    scatter = clustered.scatter
    merged = changed(clustered, qtbot, lambda: qtbot.keyClick(scatter, Qt.Key.Key_M))
    clustered.session.select(merged.labels == 1)
    typed(qtbot, "open")
    named = changed(clustered, qtbot, lambda: qtbot.keyClick(scatter, Qt.Key.Key_N))
    clustered.window().activateWindow()  # without a window manager nobody else does after a dialog
    scatter.setFocus()
    qtbot.waitUntil(clustered.window().isActiveWindow, timeout=20_000)
    for state in (merged, computed):
        back = changed(clustered, qtbot, lambda: qtbot.keyClick(scatter, Qt.Key.Key_U))
        assert back.fingerprint == state.fingerprint
    for state in (merged, named):
        made = changed(clustered, qtbot, lambda: qtbot.keyClick(scatter, Qt.Key.Key_U, SHIFT))
        assert made.fingerprint == state.fingerprint and made.edits == state.edits
    qtbot.keyClick(scatter, Qt.Key.Key_U, SHIFT)
    qtbot.waitUntil(lambda: "nothing to redo" in clustered.message.text(), timeout=20_000)


def test_a_right_click_in_the_legend_names_the_cluster_everywhere(clustered, qtbot):
    labels = clustered.session.clustering.labels
    menu = clustered.view_bar.by_hand.menu()
    qtbot.mouseClick(clustered.scatter, RIGHT, NONE, entry(clustered, 1))
    qtbot.waitUntil(menu.isVisible, timeout=20_000)
    assert np.array_equal(clustered.session.selected, np.flatnonzero(labels == 1))
    assert not clustered.by_hand.actions["merge"].isEnabled()
    assert not clustered.by_hand.actions["undo"].isEnabled()
    typed(qtbot, "open")
    where = menu.actionGeometry(clustered.by_hand.actions["rename"]).center()
    made = changed(clustered, qtbot, lambda: qtbot.mouseClick(menu, LEFT, NONE, where))
    assert made.shown == ("1", "open", "3") and legend(clustered) == ["1", "open", "3"]
    assert "open" in group_names(clustered.session)
    clustered.session.set_target(Target.CLUSTER, cluster=1)
    assert clustered.session.wanted().caption == "open"
    assert clustered.map_bar.cluster.toolTip().endswith("open")
    assert "named 'open'" in shown_undo(clustered, menu)


def shown_undo(panel, menu: QMenu) -> str:
    menu.aboutToShow.emit()
    return panel.by_hand.actions["undo"].text()


def test_a_cluster_is_split_by_a_key_and_a_number(clustered, qtbot):
    before = clustered.session.clustering
    qtbot.mouseClick(clustered.scatter, LEFT, NONE, entry(clustered, 0))
    typed(qtbot, "3")
    made = changed(clustered, qtbot, lambda: qtbot.keyClick(clustered.scatter, Qt.Key.Key_S))
    assert len(made.centres) == 5
    assert set(made.labels[before.labels == 0]) == {0, 1, 2}


def test_the_selection_becomes_a_cluster_that_another_session_finds(clustered, qtbot, run_path):
    x, _ = clustered.session.coordinates()
    mask = x > np.median(x[clustered.session.clustering.labels == 2])
    clustered.session.select(mask)
    made = changed(clustered, qtbot, lambda: qtbot.keyClick(clustered.scatter, Qt.Key.Key_O))
    found = made.labels == made.labels[np.flatnonzero(mask)[0]]
    np.testing.assert_array_equal(found, mask)
    kept = landscape.latest_clustering(run_path / "views")
    np.testing.assert_array_equal(kept.labels, made.labels)
    assert isinstance(clustered.keeper.state(), SavedSession)


def test_what_must_be_selected_first_is_said(clustered, qtbot):
    for key, words in ((Qt.Key.Key_M, "two clusters"), (Qt.Key.Key_S, "one cluster")):
        qtbot.keyClick(clustered.scatter, key)
        qtbot.waitUntil(lambda words=words: words in clustered.message.text(), timeout=20_000)
    clustered.session.select(np.arange(60) == 3)
    qtbot.keyClick(clustered.scatter, Qt.Key.Key_N)
    qtbot.waitUntil(lambda: "one cluster" in clustered.message.text(), timeout=20_000)
    assert not clustered.session.clustering.edits
