"""A ribbon along a path: how many particles are near each frame, red where there are too few."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_cryodeco.explore import palette

if TYPE_CHECKING:
    from napari_cryodeco.explore.trajectory import Support

SUPPORTED, EXTRAPOLATED = QColor(palette.SUPPORTED), QColor(palette.EXTRAPOLATED)
HEIGHT = 34
LEAST = 3.0  # pixels of a bar: where no particle is, red must show
_PALE = 110  # opacity of a frame that is not decoded yet
_TIP = (
    "<qt>Particles near each frame of the path (bars, logarithmic).<br>Green: ten or more lie "
    "within reach in z.<br>Red: extrapolated, no particle looks like this.<br>Pale: not decoded "
    "yet. Click or drag to go to a frame.</qt>"
)


class SupportRibbon(QWidget):
    """One bar a frame, and a line at the frame shown."""

    frame_chosen = Signal(int)  # from 0

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._support: Support | None = None
        self._supported = np.zeros(0, dtype=bool)
        self._ready = np.zeros(0, dtype=bool)
        self._frame = 0
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(_TIP)
        self.setAccessibleName("Particles that support each frame")

    def sizeHint(self) -> QSize:
        """As wide as the slider."""
        return QSize(200, HEIGHT)

    def show_support(self, support: Support) -> None:
        """Show the particles near each frame of a path, none of which is decoded."""
        self._support = support
        self.show_frames(support.supported, np.zeros(len(support.particles), dtype=bool))

    def show_frames(self, supported: np.ndarray, ready: np.ndarray) -> None:
        """Show ``(t,)`` bool: frames among particles, and frames that are decoded."""
        if self._support is not None and len(self._support.particles) != len(supported):
            self._support = None  # of a path that is no longer shown
        self._supported, self._ready = supported, ready
        self._frame = min(self._frame, max(len(supported) - 1, 0))
        self.update()

    def set_frame(self, frame: int) -> None:
        """Move the line to a frame."""
        self._frame = frame
        self.update()

    def heights(self) -> np.ndarray:
        """Height ``(t,)`` of each bar as a share of the ribbon; full where nothing is counted."""
        if self._support is None:
            return np.ones(len(self._supported))
        counts = np.log1p(self._support.particles)
        return np.asarray(counts / max(float(counts.max(initial=0)), 1e-9))

    def describe(self, frame: int) -> str:
        """A frame in a sentence."""
        if self._support is None:
            return _TIP
        found = self._support
        words = (
            f"frame {frame + 1}: {found.particles[frame]:,} particles within {found.reach:.3g} in "
            f"z ({found.needed} needed), the nearest at {found.distance[frame]:.3g}"
        )
        return words if found.supported[frame] else f"{words}: extrapolated"

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the bars and the line."""
        painter = QPainter(self)
        count, tall = len(self._supported), self.height()
        wide = self.width() / max(count, 1)
        for frame, share in enumerate(self.heights()):
            colour = QColor(SUPPORTED if self._supported[frame] else EXTRAPOLATED)
            veil = QColor(colour)
            veil.setAlpha(30 if self._supported[frame] else 70)
            cell = QRectF(frame * wide, 0, max(wide - 1, 1), tall)
            painter.fillRect(cell, veil)
            if not self._ready[frame]:
                colour.setAlpha(_PALE)
            bar = max(LEAST, share * tall)
            painter.fillRect(QRectF(cell.left(), tall - bar, cell.width(), bar), colour)
        if count:
            x = (self._frame + 0.5) * wide
            for pen in (QPen(QColor(0, 0, 0, 150), 4), QPen(QColor("white"), 2)):
                painter.setPen(pen)
                painter.drawLine(round(x), 0, round(x), tall)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go to the frame under the mouse."""
        self._choose(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Scrub."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._choose(event)

    def _choose(self, event: QMouseEvent) -> None:
        if len(self._supported):
            self.frame_chosen.emit(self._at(event.position().x()))

    def _at(self, x: float) -> int:
        count = len(self._supported)
        return int(np.clip(x / max(self.width(), 1) * count, 0, count - 1))

    def event(self, event: QEvent) -> bool:
        """Say what supports the frame under the mouse."""
        if isinstance(event, QHelpEvent) and len(self._supported):
            QToolTip.showText(event.globalPos(), self.describe(self._at(event.pos().x())), self)
            return True
        return super().event(event)
