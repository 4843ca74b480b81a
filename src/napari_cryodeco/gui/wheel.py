"""The mouse wheel scrolls a panel; it turns no setting that happens to lie under the mouse."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QScrollBar,
    QStackedWidget,
    QTabWidget,
    QWidget,
)

_SETTINGS = (QComboBox, QAbstractSpinBox, QAbstractSlider)


class _WheelGuard(QObject):
    """Lets the wheel scroll the page over a box that has no focus: no setting changes unseen."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False


def leave_wheel_to_page(box: QWidget) -> None:
    """Let the wheel change `box` only while it has the focus."""
    if box.findChild(_WheelGuard, options=Qt.FindChildOption.FindDirectChildrenOnly) is None:
        box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        box.installEventFilter(_WheelGuard(box))


class CalmWheel(QObject):
    """Leaves the wheel to a panel wherever its boxes and sliders lie, also those that come later.

    Parameters
    ----------
    panel
        The panel; it keeps this object.
    """

    def __init__(self, panel: QWidget) -> None:
        super().__init__(panel)
        self._calm(panel)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Look after what is added."""
        if event.type() == QEvent.Type.ChildPolished and isinstance(event.child(), QWidget):
            self._calm(event.child())
        return super().eventFilter(watched, event)

    def _calm(self, widget: QWidget) -> None:
        for one in (widget, *widget.findChildren(QWidget)):
            if isinstance(one, _SETTINGS) and not isinstance(one, QScrollBar):
                leave_wheel_to_page(one)
            elif one.layout() is not None or isinstance(one, QTabWidget | QStackedWidget):
                one.installEventFilter(self)  # a second time changes nothing
