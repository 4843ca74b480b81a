"""Choose a path through z: along a principal component, or through picked points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from napari_cryodeco.explore.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class Anchor:
    """A picked latent point ``(d,)`` and what it is."""

    name: str
    z: np.ndarray


class ComponentPage(QWidget):
    """Along one principal component between two percentiles."""

    def __init__(self) -> None:
        super().__init__()
        self.component = QSpinBox()
        self.component.setRange(1, 1)
        self.component.setPrefix("PC ")
        self.low, self.high = QDoubleSpinBox(), QDoubleSpinBox()
        for box, value in ((self.low, 5.0), (self.high, 95.0)):
            box.setRange(0, 100)
            box.setDecimals(1)
            box.setValue(value)
            box.setSuffix(" %")
            box.setToolTip("Percentile of the particles along this component")
        self.component.setToolTip("Principal component of z; the others stay at their mean")
        rows = QFormLayout(self)
        rows.addRow("Component", self.component)
        rows.addRow("From", self.low)
        rows.addRow("To", self.high)


class AnchorPage(QWidget):
    """Through points that the user picked, in their order (drag to change it)."""

    cursor_asked = Signal()
    clusters_asked = Signal()
    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.list = QListWidget()
        self.list.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.list.setFixedHeight(72)  # the player below matters more
        self.list.setToolTip("The path goes through these points in this order; drag to reorder")
        self.add_cursor = QPushButton("Add cursor")
        self.add_clusters = QPushButton("Add clusters")
        self.remove = QPushButton("Remove")
        self.add_cursor.setToolTip("Add the point under the cursor of the Explorer")
        self.add_clusters.setToolTip("Add the centres of all clusters")
        self.remove.setToolTip("Remove the chosen point, or all where none is chosen")
        buttons = QHBoxLayout()
        for button in (self.add_cursor, self.add_clusters, self.remove):
            buttons.addWidget(button)
        column = QVBoxLayout(self)
        column.addWidget(self.list, 1)
        column.addLayout(buttons)
        self.add_cursor.clicked.connect(self.cursor_asked)
        self.add_clusters.clicked.connect(self.clusters_asked)
        self.remove.clicked.connect(self._remove)
        self.list.model().rowsMoved.connect(self.changed)

    def anchors(self) -> list[Anchor]:
        """The points in their order."""
        role = Qt.ItemDataRole.UserRole
        return [self.list.item(row).data(role) for row in range(self.list.count())]

    def add(self, anchor: Anchor) -> None:
        """Append a point."""
        item = QListWidgetItem(anchor.name)
        item.setData(Qt.ItemDataRole.UserRole, anchor)
        self.list.addItem(item)
        self.changed.emit()

    def _remove(self) -> None:
        chosen = self.list.currentRow()
        if chosen < 0:
            self.list.clear()
        else:
            self.list.takeItem(chosen)
        self.changed.emit()


class PathChooser(QWidget):
    """The two kinds of path, and the number of frames.

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
        self.tabs = QTabWidget()
        self.tabs.addTab(self.component_page, "Principal component")
        self.tabs.addTab(self.anchor_page, "Picked points")
        self.frames = QSpinBox()
        self.frames.setRange(2, 500)
        self.frames.setValue(20)
        self.frames.setToolTip("Frames along the path, equally spaced")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.tabs)
        row = QFormLayout()
        row.addRow("Frames", self.frames)
        column.addLayout(row)
        page = self.component_page
        for box in (page.component, page.low, page.high, self.frames):
            box.valueChanged.connect(self.changed)
        self.anchor_page.changed.connect(self.changed)
        self.tabs.currentChanged.connect(self.changed)

    def set_components(self, count: int) -> None:
        """Offer this many principal components."""
        self.component_page.component.setRange(1, max(1, count))

    def forget_anchors(self) -> None:
        """Drop all picked points: they belong to another run."""
        self.anchor_page.list.clear()

    def trajectory(self, latents: np.ndarray) -> Trajectory:
        """The path through the latents ``(n, d)``.

        Raises
        ------
        ValueError
            One sentence, when the path has no extent.
        """
        from napari_cryodeco.explore.trajectory import pc_traverse, through  # brings torch

        if self.tabs.currentWidget() is self.component_page:
            page = self.component_page
            ends = (page.low.value(), page.high.value())
            return pc_traverse(latents, page.component.value(), *ends, self.frames.value())
        anchors = [anchor.z for anchor in self.anchor_page.anchors()]
        points = np.stack(anchors) if anchors else np.empty((0, latents.shape[1]))
        return through(points, self.frames.value(), "picked points")
