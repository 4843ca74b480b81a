"""The free-energy landscape in the real window: marked, clicked, joined, coloured by, kept."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt, QTimer
from qtpy.QtWidgets import QApplication, QDoubleSpinBox, QInputDialog

from napari_cryodeco.explore import saved_session
from napari_cryodeco.explore.replay import replay
from napari_cryodeco.gui.snapshot import columns_of

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


@pytest.fixture
def landscape(opened, qtbot):
    """The window with its landscape on, by a press of the button."""
    window = opened.viewer_for_test.window._qt_window
    window.resize(1280, 800)
    window.show()
    opened.scatter.setFocus()
    qtbot.mouseClick(opened.view_bar.energy, LEFT, NONE, QPoint(8, 8))
    qtbot.waitUntil(lambda: opened.energy.drawn is not None, timeout=10_000)
    return opened


def test_minima_lie_in_the_planted_clusters_and_a_click_decodes_one(landscape, qtbot):
    session = landscape.session
    minima = landscape.energy.drawn.found.minima
    labels = session.loaded().latents[:, 0] > 2
    assert sorted(bool(labels[one.row]) for one in minima) == [False, True]
    assert "on the grid" in landscape.message.text() and "2 minima" in landscape.message.text()
    for place, one in enumerate(minima):
        at = landscape.scatter.frame().to_screen(one.x, one.y).toPoint() + QPoint(4, -4)
        assert landscape.scatter.minimum_at(QPointF(at)) == place
        qtbot.mouseClick(landscape.scatter, LEFT, NONE, at)
        assert (session.cursor.x, session.cursor.y) == (one.x, one.y)
        assert labels[session.cursor.row] == labels[one.row]


def test_minima_become_points_of_a_path(landscape):
    landscape.energy.join.trigger()
    route = landscape.session.route
    assert route.kind == "line" and len(route.anchors) == 2
    x = [anchor.z[0] for anchor in route.anchors]
    assert abs(x[0] - x[1]) == pytest.approx(4, abs=0.5)  # the planted distance


def test_other_axes_have_another_landscape_and_off_is_off(landscape, qtbot):
    first = landscape.energy.drawn
    landscape.view_bar.axes_chosen.emit(1, 2)
    assert landscape.energy.drawn is None  # not that of other axes meanwhile
    qtbot.waitUntil(lambda: landscape.energy.drawn is not None, timeout=10_000)
    np.testing.assert_array_equal(landscape.energy.drawn.of[0], landscape.session.coordinates()[0])
    assert len(first.found.minima) == 2 and len(landscape.energy.drawn.found.minima) == 1
    qtbot.mouseClick(landscape.view_bar.energy, LEFT, NONE, QPoint(8, 8))
    assert landscape.energy.drawn is None and landscape.session.landscape is None
    assert not landscape.energy.join.isEnabled()


def test_a_depth_is_asked_for_and_kept_with_the_session(landscape, qtbot, run_path):
    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        assert isinstance(dialog, QInputDialog)
        field = dialog.findChild(QDoubleSpinBox)
        field.selectAll()
        qtbot.keyClicks(field, "0.5")
        qtbot.keyClick(field, Qt.Key.Key_Return)

    QTimer.singleShot(300, answer)
    landscape.view_bar.energy.menu().actions()[0].trigger()
    assert landscape.session.landscape == 0.5
    qtbot.waitUntil(lambda: "0.5 kT" in landscape.message.text(), timeout=10_000)
    landscape.keeper.flush()
    assert saved_session.read(run_path / "session.json").landscape == 0.5
    landscape.session.set_landscape(None)
    landscape.keeper._restore(saved_session.read(run_path / "session.json"))
    assert landscape.session.landscape == 0.5 and landscape.view_bar.energy.isChecked()


def test_the_energy_is_a_colour_whose_range_replays(landscape, qtbot):
    session, name = landscape.session, "free energy of PC1, PC2"
    box = landscape.view_bar.colour
    assert box.findData(name) >= 0
    box.setCurrentIndex(box.findData(name))
    box.activated.emit(box.currentIndex())
    qtbot.waitUntil(lambda: session.colouring.label == name, timeout=10_000)
    assert landscape.histogram.isVisibleTo(landscape)
    landscape.histogram.brushed.emit(-np.inf, 0.7, "replace")
    values = session.colouring.values
    np.testing.assert_array_equal(session.selected, np.flatnonzero(values <= np.float32(0.7)))
    again = replay(session.history.recipe.steps, columns_of(session.loaded(), session.columns))
    np.testing.assert_array_equal(np.flatnonzero(again), session.selected)
