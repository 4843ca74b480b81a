"""Where a panel sits in napari's window: as a tab beside its neighbours, and scrolled when low.

napari stacks docks, so a second panel would push the window off a laptop's screen.
"""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QFrame, QMainWindow, QScrollArea, QWidget

_AREAS = {
    "left": Qt.DockWidgetArea.LeftDockWidgetArea,
    "right": Qt.DockWidgetArea.RightDockWidgetArea,
}


SETTLING = 150  # ms: bars go, lines become two


class Scrolled(QScrollArea):
    """A panel's content, scrolled up and down where the window is lower than it; never sideways."""

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)
        self._wanted: QWidget | None = None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ask for more room when the content has become wider."""
        if watched is self.widget() and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)

    def bring(self, widget: QWidget) -> None:
        """Scroll until a part of the content is in sight, once it has its place."""
        self._wanted = widget
        QTimer.singleShot(SETTLING, self._bring)

    def _bring(self) -> None:
        if self._wanted is not None:
            self.ensureWidgetVisible(self._wanted, 0, 8)

    def minimumSizeHint(self) -> QSize:
        """As wide as the content needs; low."""
        bar = self.verticalScrollBar().sizeHint().width()
        return QSize(self.widget().minimumSizeHint().width() + bar, 120)


class Berth(QObject):
    """Puts a panel, once napari has docked it, into an area as a tab with what is there.

    The window keeps its size. For a moment the panels are stacked, and a window whose layout needs
    more height than it has is pushed off a laptop's screen by Qt; only a minimum that somebody
    asked for holds Qt back. So one is asked for until the panel has its place.

    Parameters
    ----------
    panel
        The panel; it need not be docked yet.
    area
        ``"left"`` or ``"right"``. (napari reads the area of the manifest in its own menus only.)
    window
        The window that it comes to.
    """

    def __init__(self, panel: QWidget, area: str, window: QMainWindow) -> None:
        super().__init__(panel)  # lives and dies with it
        self._panel, self._area, self._window = panel, _AREAS[area], window
        window.setMinimumSize(1, 1)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._take)
        self._timer.start(0)

    def _take(self) -> None:
        dock = _dock_of(self._panel)
        if dock is not None and dock.window() is self._window and not dock.isFloating():
            self._move(dock)
        self.setParent(None)
        self.deleteLater()
        if not self._window.findChildren(Berth):  # the last of those that came together
            self._window.layout().activate()  # tabs count as one from now on
            self._window.setMinimumSize(0, 0)  # back to what the layout needs

    def _move(self, dock: QDockWidget) -> None:
        window = self._window
        if window.dockWidgetArea(dock) != self._area:
            window.addDockWidget(self._area, dock)
        neighbours = [
            other
            for other in window.findChildren(QDockWidget)
            if other is not dock
            and window.dockWidgetArea(other) == self._area
            and not other.isFloating()
            and not other.isHidden()
        ]
        if neighbours and not window.tabifiedDockWidgets(dock):
            lowest = max(neighbours, key=lambda other: other.y())
            window.tabifyDockWidget(lowest, dock)
            dock.show()
            dock.raise_()
            above = [other for other in neighbours if other.y() < lowest.y()]
            wanted = [1] * len(above) + [window.height()]  # as low as they can be: room for us
            window.resizeDocks([*above, dock], wanted, Qt.Orientation.Vertical)


def _dock_of(widget: QWidget) -> QDockWidget | None:
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent
