"""Choose a path through z: along a principal component, through points, or along a drawn curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.explore.route import Anchor, Kind, Route, Spacing
from napari_cryodeco.gui.path_ends import PathEnds

JOINS = {
    "line": ("Straight lines", "Straight from point to point, whether or not particles are there"),
    "graph": (
        "Along the particles",
        "The shortest way from particle to neighbouring particle: follows bent motions",
    ),
    "dense": (
        "Along dense regions",
        "As along the particles, but a step costs its length over the density there",
    ),
    "tour": (
        "Halt at each point",
        "Each point in its turn for as many frames, with nothing made up between",
    ),
}
TABS = ("pc", "points", "curve")


SPACINGS: dict[str, Spacing] = {
    "equal steps of the score": "linear",
    "equal numbers of particles": "percentile",
}


class ComponentPage(QWidget):
    """Along one principal component between two percentiles."""

    def __init__(self) -> None:
        super().__init__()
        self._table = np.zeros((0, 1))
        self._shown: int | None = None
        self.component = QSpinBox()
        self.component.setRange(1, 1)
        self.component.setPrefix("PC ")
        self.ends = PathEnds()
        self.low, self.high = QDoubleSpinBox(), QDoubleSpinBox()
        for box, value, end in ((self.low, 5.0, "begins"), (self.high, 95.0, "ends")):
            box.setRange(0, 100)
            box.setDecimals(1)
            box.setValue(value)
            box.setSuffix(" %")
            box.setToolTip(f"Percentile of the particles along this component where the path {end}")
        self.spacing = QComboBox()
        self.spacing.addItems(list(SPACINGS))
        self.spacing.setToolTip(
            "<qt>Equal steps: the motion runs evenly. Equal numbers: as many particles from each "
            "frame to the next, so many frames where particles are many.</qt>"
        )
        self.component.setToolTip("Principal component of z; the others stay at their mean")
        limits = QHBoxLayout()
        for widget in (self.low, QLabel("to"), self.high):
            limits.addWidget(widget, 0 if isinstance(widget, QLabel) else 1)
        rows = QFormLayout(self)
        rows.addRow("Component", self.component)
        rows.addRow(self.ends)
        rows.addRow("From", limits)
        rows.addRow("Frames at", self.spacing)
        self.ends.ends_changed.connect(self._dragged)

    def set_scores(self, table: np.ndarray) -> None:
        """Show the particles' scores ``(n, c)`` along the components."""
        self._table, self._shown = table, None
        self.component.setRange(1, max(1, table.shape[1]))

    def show_path(self, frames: int) -> None:
        """Show on the histogram what the boxes say."""
        if self._shown != self.component.value():
            self._shown = self.component.value()
            self.ends.set_scores(self._table[:, self._shown - 1])
        self.ends.show_path(self.low.value(), self.high.value(), frames, self.chosen_spacing())

    def chosen_spacing(self) -> Spacing:
        """How the frames are spaced."""
        return SPACINGS[self.spacing.currentText()]

    def _dragged(self, low: float, high: float) -> None:
        self.low.setValue(low)
        self.high.setValue(high)


class PointList(QListWidget):
    """Names of points; Delete asks for the chosen one to go, Escape chooses none."""

    delete_asked = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take these two, leave the rest to the list."""
        if event.key() == Qt.Key.Key_Delete:
            if self.currentRow() >= 0:
                self.delete_asked.emit()
        elif event.key() == Qt.Key.Key_Escape:
            self.setCurrentRow(-1)
        else:
            super().keyPressEvent(event)


class AnchorPage(QWidget):
    """Through points that the user picked, in their order (drag to change it)."""

    cursor_asked = Signal()
    clusters_asked = Signal()
    tour_asked = Signal()
    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.list = PointList()
        self.list.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.list.setFixedHeight(72)  # the player below matters more
        self.list.setToolTip(
            "<qt>The path goes through these points in this order. Drag to reorder; Delete removes "
            "the chosen one; Escape chooses none.</qt>"
        )
        self.add_cursor = QPushButton("Add cursor")
        self.add_clusters = QPushButton("Add clusters")
        self.tour = QPushButton("Tour")
        self.remove = QPushButton("Remove")
        self.up, self.down = QPushButton("↑"), QPushButton("↓")
        self.join = QComboBox()
        self.join.setToolTip("How the points are joined")
        for place, (kind, (text, tip)) in enumerate(JOINS.items()):
            self.join.addItem(text, kind)
            self.join.setItemData(place, tip, Qt.ItemDataRole.ToolTipRole)
        for button, tip in (
            (
                self.add_cursor,
                "<qt>Add what the Explorer's map shows, the point under its cursor: after the "
                "chosen point, or at the end where none is chosen</qt>",
            ),
            (
                self.add_clusters,
                "Add the centres of all clusters, after the chosen point or at the end",
            ),
            (
                self.tour,
                "<qt>A first look: halt at the centre of every cluster, with its share of the "
                "particles. Decodes them, and sets the movie below to spin with an inset.</qt>",
            ),
            (self.remove, "Remove the chosen point, or all where none is chosen"),
            (self.up, "Move the chosen point to an earlier place"),
            (self.down, "Move the chosen point to a later place"),
        ):
            button.setToolTip(tip)
        self._lay_out()
        self.add_cursor.clicked.connect(self.cursor_asked)
        self.add_clusters.clicked.connect(self.clusters_asked)
        self.tour.clicked.connect(self.tour_asked)
        self.remove.clicked.connect(self._remove)
        self.up.clicked.connect(lambda: self._move(-1))
        self.down.clicked.connect(lambda: self._move(1))
        self.join.activated.connect(lambda _: self.changed.emit())
        self.list.model().rowsMoved.connect(self.changed)
        self.list.delete_asked.connect(self._remove)

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        for button in (self.add_cursor, self.add_clusters, self.tour, self.remove):
            buttons.addWidget(button)
        order = QHBoxLayout()
        order.addWidget(QLabel("Join"))
        order.addWidget(self.join, 1)
        for button in (self.up, self.down):
            button.setFixedWidth(34)
            order.addWidget(button)
        column = QVBoxLayout(self)
        column.addWidget(self.list, 1)
        column.addLayout(order)
        column.addLayout(buttons)

    def anchors(self) -> tuple[Anchor, ...]:
        """The points in their order."""
        role = Qt.ItemDataRole.UserRole
        return tuple(self.list.item(row).data(role) for row in range(self.list.count()))

    def add(self, anchor: Anchor) -> None:
        """Insert a point after the chosen one, and choose it; at the end where none is chosen."""
        row = self.list.currentRow()
        place = self.list.count() if row < 0 else row + 1
        self._insert(place, anchor)
        if row >= 0:
            self.list.setCurrentRow(place)
        self.changed.emit()

    def _insert(self, place: int, anchor: Anchor) -> None:
        item = QListWidgetItem(anchor.name)
        item.setData(Qt.ItemDataRole.UserRole, anchor)
        self.list.insertItem(place, item)

    def show_anchors(self, anchors: Sequence[Anchor]) -> None:
        """Show these points without telling anyone."""
        if tuple(anchors) != self.anchors():
            self.list.clear()
            for place, anchor in enumerate(anchors):
                self._insert(place, anchor)

    def _move(self, by: int) -> None:
        row = self.list.currentRow()
        if row >= 0 and 0 <= row + by < self.list.count():
            self.list.insertItem(row + by, self.list.takeItem(row))
            self.list.setCurrentRow(row + by)
            self.changed.emit()

    def _remove(self) -> None:
        chosen = self.list.currentRow()
        if chosen < 0:
            self.list.clear()
        else:
            self.list.takeItem(chosen)
        self.changed.emit()


class PathChooser(QWidget):
    """The kinds of path, and the number of frames.

    Attributes
    ----------
    changed
        Another path is meant now.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.component_page = ComponentPage()
        self.anchor_page = AnchorPage()
        self.curve_page = QLabel()
        self.curve_page.setWordWrap(True)
        self._curve: tuple[tuple[float, ...], ...] = ()
        self.tabs = QTabWidget()
        self.tabs.addTab(self.component_page, "Principal component")
        self.tabs.addTab(self.anchor_page, "Points")
        self.tabs.addTab(self.curve_page, "Drawn")
        self.frames = QSpinBox()
        self.frames.setRange(2, 500)
        self.frames.setValue(20)
        self.frames.setToolTip("Frames along the path, equally spaced in z")
        self.closed = QCheckBox("closed loop")
        self.closed.setToolTip("Back to the first point, so that the movie runs round and round")
        numbers = QHBoxLayout()
        numbers.addWidget(self.frames)
        numbers.addWidget(self.closed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.tabs)
        row = QFormLayout()
        row.addRow("Frames", numbers)
        column.addLayout(row)
        page = self.component_page
        for box in (page.component, page.low, page.high, self.frames):
            box.valueChanged.connect(self.changed)
        page.spacing.currentIndexChanged.connect(self.changed)
        self.anchor_page.changed.connect(self.changed)
        self.tabs.currentChanged.connect(self.changed)
        self.closed.toggled.connect(self.changed)
        self.changed.connect(self._show_enabled)
        self._show_enabled()

    def set_scores(self, table: np.ndarray) -> None:
        """Offer the principal components along which the particles have scores ``(n, c)``."""
        self.component_page.set_scores(table)
        self._show_enabled()

    def _show_enabled(self) -> None:
        self.closed.setEnabled(self.tabs.currentWidget() is not self.component_page)
        self.component_page.show_path(self.frames.value())
        self.curve_page.setText(
            "The curve drawn in the Explorer's plot, lifted into all dimensions of z by the mean "
            "of the particles near it."
            if self._curve
            else "Choose the path tool (T) in the Explorer, and draw a curve over its particles."
        )

    def route(self) -> Route:
        """The path that is meant."""
        page, tab = self.component_page, self.tabs.currentWidget()
        kind: Kind = "pc" if tab is page else "curve"
        if tab is self.anchor_page:
            kind = self.anchor_page.join.currentData()
        return Route(
            kind,
            self.frames.value(),
            self.closed.isChecked(),
            page.component.value(),
            page.low.value(),
            page.high.value(),
            self.anchor_page.anchors(),
            self._curve,
            page.chosen_spacing(),
        )

    def show_route(self, route: Route) -> None:
        """Show a path without telling anyone."""
        if route == self.route():
            return
        before = self.blockSignals(True)
        page, tab = self.component_page, route.kind if route.kind in TABS else "points"
        page.component.setValue(route.component)
        page.low.setValue(route.low)
        page.high.setValue(route.high)
        page.spacing.setCurrentIndex(list(SPACINGS.values()).index(route.spacing))
        self.frames.setValue(route.frames)
        self.closed.setChecked(route.closed)
        if tab == "points":
            self.anchor_page.join.setCurrentIndex(self.anchor_page.join.findData(route.kind))
        self.anchor_page.show_anchors(route.anchors)
        self._curve = route.curve
        self.tabs.setCurrentIndex(TABS.index(tab))
        self.blockSignals(before)
        self._show_enabled()

    def forget(self) -> None:
        """Drop all points: they belong to another run."""
        self.show_route(replace(self.route(), anchors=(), curve=(), kind="pc"))
