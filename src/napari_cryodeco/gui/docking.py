"""Where a panel sits in napari's window: as a tab beside its neighbours, and scrolled when low.

napari stacks docks, so a second panel would push the window off a laptop's screen.
"""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QFrame, QMainWindow, QScrollArea, QWidget


def scrolled(content: QWidget) -> QScrollArea:
    """The content, scrolled up and down where the window is lower than it."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(content)
    return area


def tabbed(panel: QWidget) -> QWidget:
    """Put a panel, once it has its dock, into a tab with the dock that is last in its area."""
    # napari docks the panel after it was made; the timer dies with the panel.
    timer = QTimer(panel)
    timer.setSingleShot(True)
    timer.timeout.connect(lambda: _join_neighbours(panel))
    timer.start(0)
    return panel


def _join_neighbours(panel: QWidget) -> None:
    dock = _dock_of(panel)
    window = dock.window() if dock is not None else None
    if dock is None or not isinstance(window, QMainWindow) or dock.isFloating():
        return
    area = window.dockWidgetArea(dock)
    neighbours = [
        other
        for other in window.findChildren(QDockWidget)
        if other is not dock
        and window.dockWidgetArea(other) == area
        and not other.isFloating()
        and not other.isHidden()
    ]
    if neighbours and not window.tabifiedDockWidgets(dock):
        window.tabifyDockWidget(neighbours[-1], dock)
        dock.show()
        dock.raise_()


def _dock_of(widget: QWidget) -> QDockWidget | None:
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent
