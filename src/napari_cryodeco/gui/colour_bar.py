"""A bar of colours with its numbers and unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_cryodeco.gui.style import theme_of

_HIGH = 12  # pixels of the bar


class ColourBar(QWidget):
    """Colours ``(256, 3)`` from 0 to a number; on the right, if asked, a colour and its name."""

    def __init__(self, colours: NDArray[np.uint8]) -> None:
        super().__init__()
        self._colours = colours
        self._most, self._unit = 1.0, ""
        self._beside: tuple[str, str] | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """A strip with a line of numbers."""
        return QSize(200, _HIGH + self.fontMetrics().height() + 4)

    @property
    def text(self) -> str:
        """What it says, for tests and screen readers."""
        return f"0 to {self._most:.3g} {self._unit}"

    def show_scale(self, most: float, unit: str, beside: tuple[str, str] | None) -> None:
        """Show 0 to `most` in a unit, and a colour ``#RRGGBB`` with its name, or none."""
        self._most, self._unit, self._beside = most, unit, beside
        self.setAccessibleName(f"Colours from {self.text}")
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Draw both."""
        painter, metrics = QPainter(self), self.fontMetrics()
        painter.setPen(theme_of(self).text)
        room = 0
        if self._beside is not None:
            colour, name = self._beside
            room = metrics.horizontalAdvance(name) + 14
            left = self.width() - room + 10
            painter.fillRect(QRectF(left, 0, _HIGH, _HIGH), QColor(colour))
            painter.drawText(QRectF(left, _HIGH + 2, room, 40), name)
        bar = QRectF(0, 0, self.width() - room, _HIGH)
        gradient = QLinearGradient(bar.topLeft(), bar.topRight())
        for share in np.linspace(0, 1, 17):
            red, green, blue = (int(value) for value in self._colours[round(255 * share)])
            gradient.setColorAt(float(share), QColor(red, green, blue))
        painter.fillRect(bar, gradient)
        under = QRectF(0, _HIGH + 2, bar.width(), metrics.height())
        for value, side in (
            (0.0, Qt.AlignmentFlag.AlignLeft),
            (self._most / 2, Qt.AlignmentFlag.AlignHCenter),
            (self._most, Qt.AlignmentFlag.AlignRight),
        ):
            painter.drawText(under, side, f"{value:.3g} {self._unit}")
        painter.end()
