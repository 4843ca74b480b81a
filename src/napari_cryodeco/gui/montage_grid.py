"""A square of particle images, in grey, each with its own contrast."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QImage, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_cryodeco.gui.operations import operation_of
from napari_cryodeco.gui.style import theme_of

GAP = 2.0  # pixels between images


class MontageGrid(QWidget):
    """At most `side` by `side` images; one under the mouse is told, one clicked is picked."""

    hovered = Signal(object)  # row of the particle under the mouse, or None
    picked = Signal(int, str)  # row of the particle clicked, operation

    def __init__(self, least: int = 160, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.side = 1
        self.operation = "replace"
        self.rows: NDArray[np.int64] = np.empty(0, np.int64)
        self._images: list[tuple[QImage, NDArray[np.uint8]]] = []
        self._marked: int | None = None
        self._over: int | None = None
        self._describe: Callable[[int], str] = lambda row: f"particle {row + 1:,}"
        self.setMinimumSize(least, least)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)
        self.setAccessibleName("Images of particles")

    def sizeHint(self) -> QSize:
        """A square."""
        return QSize(2 * self.minimumWidth(), 2 * self.minimumWidth())

    def set_describe(self, describe: Callable[[int], str]) -> None:
        """Say what the tool tip of a particle's row is."""
        self._describe = describe

    def set_pictures(self, images: NDArray[np.float32], rows: NDArray[np.int64], side: int) -> None:
        """Show images ``(m, D, D)`` of the particles `rows` ``(m,)``, `side` in a line."""
        self.rows, self.side, self._over = rows, max(side, 1), None
        self._images = [_image(image) for image in images[: side**2]]
        self.update()

    def set_marked(self, row: int | None) -> None:
        """Frame the image of the particle that the mouse is on, here or in another view."""
        self._marked = row
        self.update()

    def cell(self, place: int) -> QRectF:
        """Where an image stands."""
        whole = min(self.width(), self.height())
        step = whole / self.side
        left, top = (self.width() - whole) / 2, (self.height() - whole) / 2
        down, across = divmod(place, self.side)
        box = QRectF(left + across * step, top + down * step, step, step)
        return box.adjusted(GAP / 2, GAP / 2, -GAP / 2, -GAP / 2)

    def row_at(self, position: QPointF) -> int | None:
        """Row of the particle at a widget position."""
        found = (i for i in range(min(len(self._images), len(self.rows))))
        return next((int(self.rows[i]) for i in found if self.cell(i).contains(position)), None)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the images."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        theme = theme_of(self)
        for place, (image, _) in enumerate(self._images):
            box = self.cell(place)
            painter.drawImage(box, image)
            if place < len(self.rows) and self._marked == self.rows[place]:
                painter.setPen(QPen(theme.selection, 2))
                painter.drawRect(box)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell which particle the mouse is on."""
        row = self.row_at(event.position())
        if row != self._over:
            self._over = row
            self.hovered.emit(row)
            if row is not None:
                QToolTip.showText(event.globalPosition().toPoint(), self._describe(row), self)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pick a particle."""
        row = self.row_at(event.position())
        if row is not None and event.button() == Qt.MouseButton.LeftButton:
            self.picked.emit(row, operation_of(event.modifiers(), self.operation))

    def leaveEvent(self, event: QEvent) -> None:
        """The mouse is on no particle any more."""
        self._over = None
        self.hovered.emit(None)
        super().leaveEvent(event)


def _image(values: NDArray[np.float32]) -> tuple[QImage, NDArray[np.uint8]]:
    """A grey image with its memory: black and white at the 1st and the 99th percentile."""
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    grey = np.clip((values - low) * (255 / max(high - low, 1e-12)), 0, 255).astype(np.uint8)
    grey = np.ascontiguousarray(grey)
    tall, wide = grey.shape
    return QImage(grey.data, wide, tall, wide, QImage.Format.Format_Grayscale8), grey
