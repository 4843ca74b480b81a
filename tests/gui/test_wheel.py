"""Scrolling a panel with the mouse wheel changes no setting that comes under the mouse."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.gui.contributions import movie_widget
from napari_cryodeco.gui.docking import Scrolled
from napari_cryodeco.gui.wheel import CalmWheel


def notch(widget: QWidget, up: bool = False) -> None:
    """Turn the wheel by one notch over the middle of a widget.

    What ignores the wheel passes it on to what it lies in: Qt does so for the wheel of the system,
    not for one that is sent.
    """
    here, turn = widget, QPoint(0, 120 if up else -120)
    none, plain = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    while here is not None:
        middle = here.rect().center()
        place, there = QPointF(middle), QPointF(here.mapToGlobal(middle))
        phase = Qt.ScrollPhase.NoScrollPhase
        event = QWheelEvent(place, there, QPoint(), turn, none, plain, phase, False)
        QApplication.sendEvent(here, event)
        if event.isAccepted():
            return
        here = here.parentWidget()


class Page(QWidget):
    """A panel lower than its content, with one setting of each kind."""

    def __init__(self) -> None:
        super().__init__()
        content = QWidget()
        column = QVBoxLayout(content)
        self.combo, self.whole, self.real = QComboBox(), QSpinBox(), QDoubleSpinBox()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.combo.addItems(["one", "two", "three"])
        self.combo.setCurrentIndex(1)
        for box in (self.whole, self.real, self.slider):
            box.setValue(10)
        for widget in (self.combo, self.whole, self.real, self.slider):
            column.addWidget(widget)
        column.addWidget(QLabel("\n" * 60))
        self.column, self.area = column, Scrolled(content)
        QVBoxLayout(self).addWidget(self.area)
        self.resize(300, 300)

    def values(self) -> tuple[float, ...]:
        return (
            self.combo.currentIndex(),
            self.whole.value(),
            self.real.value(),
            self.slider.value(),
        )


@pytest.fixture
def page(qtbot) -> Page:
    page = Page()
    qtbot.addWidget(page)
    CalmWheel(page)
    page.show()
    qtbot.waitExposed(page)
    page.setFocus()
    return page


@pytest.mark.parametrize("name", ["combo", "whole", "real", "slider"])
def test_the_panel_scrolls_and_the_setting_stays(page: Page, name: str) -> None:
    before, bar = page.values(), page.area.verticalScrollBar()
    notch(getattr(page, name))
    assert page.values() == before and bar.value() > 0
    notch(getattr(page, name), up=True)
    assert page.values() == before and bar.value() == 0


def test_a_box_that_was_clicked_takes_the_wheel(page: Page, qtbot) -> None:
    page.activateWindow()
    page.whole.setFocus()
    qtbot.waitUntil(page.whole.hasFocus, timeout=20_000)
    notch(page.whole, up=True)
    assert page.whole.value() == 11 and page.area.verticalScrollBar().value() == 0


def test_a_setting_that_comes_later_is_calm_too(page: Page, qtbot) -> None:
    late = QSpinBox()
    late.setValue(5)
    page.column.insertWidget(0, late)
    qtbot.waitUntil(late.isVisible, timeout=20_000)
    notch(late)
    assert late.value() == 5 and page.area.verticalScrollBar().value() > 0


def test_the_scroll_bar_itself_still_turns(page: Page) -> None:
    notch(page.area.verticalScrollBar())
    assert page.area.verticalScrollBar().value() > 0


def test_the_movies_rate_survives_scrolling(make_napari_viewer, qtbot) -> None:
    """A new user's movie went from 10 to 1 frames per second on the way down to its button."""
    viewer = make_napari_viewer()
    panel = movie_widget()
    viewer.window.add_dock_widget(panel, name="Movie")
    qtbot.wait(50)
    viewer.window.show()
    qtbot.waitExposed(panel.window())
    for box in (panel.export.fps, panel.export.kind, panel.chooser.frames):
        panel.findChild(Scrolled).ensureWidgetVisible(box)
        qtbot.wait(20)
        for _ in range(3):
            notch(box)
    assert panel.export.fps.value() == 10 and panel.export.kind.currentIndex() == 0
