"""The histogram of a principal component with two handles: the ends of a path along it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_cryodeco.explore.route import Spacing
from napari_cryodeco.gui.style import density_ramp, theme_of

BINS = 96
HIGH = 58
EDGE = 8.0  # pixels beside the bars: room for a handle at either end
FOOT = 9.0  # and below: for the frames
STEP = 0.1  # per cent, as in the boxes
KEY_STEP = 1.0
_PERCENTS = np.linspace(0, 100, 1001)
_TIP = (
    "<qt>How many particles have which score along this component (heights are square roots). "
    "<b>Drag</b> either handle: the path goes from ○ to ●; beyond each other it goes backwards. "
    "The ticks below are its frames. Left and right move the handle used last by 1 %.</qt>"
)


class PathEnds(QWidget):
    """Bars, two handles in percentiles, a tick a frame.

    Attributes
    ----------
    ends_changed
        Percentiles where the path begins and ends, after the user moved a handle.
    """

    ends_changed = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._quantiles = np.zeros(len(_PERCENTS))
        self._counts = np.zeros(BINS, np.int64)
        self._ends = [5.0, 95.0]
        self._frames, self._spacing = 2, "linear"
        self._held: int | None = None
        self._last = 1
        self.setFixedHeight(HIGH)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setToolTip(_TIP)
        self.setAccessibleName("Ends of the path on the histogram of its component")

    def sizeHint(self) -> QSize:
        """As wide as there is room."""
        return QSize(200, HIGH)

    # ---- what is shown

    def set_scores(self, scores: NDArray[np.floating]) -> None:
        """Show other particles ``(n,)``, or none."""
        known = np.asarray(scores)[np.isfinite(scores)]
        if len(known):
            self._quantiles = np.percentile(known, _PERCENTS)
            low, high = self._quantiles[[0, -1]]
            self._counts, _ = np.histogram(known, BINS, (low, high if high > low else low + 1))
        else:
            self._counts = np.zeros(BINS, np.int64)
        self.update()

    def show_path(self, low: float, high: float, frames: int, spacing: Spacing) -> None:
        """Show the ends in per cent and the frames between, without telling anyone."""
        self._ends, self._frames, self._spacing = [low, high], frames, spacing
        self.update()

    @property
    def counts(self) -> NDArray[np.int64]:
        """Particles in each of the bars ``(BINS,)``."""
        return self._counts

    def frame_places(self) -> NDArray[np.floating]:
        """Widget positions ``(t,)`` of the frames."""
        low, high = self._ends
        if self._spacing == "percentile":
            return np.array([self.to_screen(p) for p in np.linspace(low, high, self._frames)])
        return np.linspace(self.to_screen(low), self.to_screen(high), self._frames)

    def to_screen(self, percent: float) -> float:
        """Widget position of a percentile."""
        low, high = self._quantiles[[0, -1]]
        score = np.interp(percent, _PERCENTS, self._quantiles)
        share = (score - low) / (high - low) if high > low else percent / 100
        return EDGE + float(share) * self._wide()

    def to_percent(self, x: float) -> float:
        """The percentile at a widget position."""
        share = min(max((x - EDGE) / self._wide(), 0.0), 1.0)
        low, high = self._quantiles[[0, -1]]
        if not high > low:
            return 100 * share
        found = float(np.interp(low + share * (high - low), self._quantiles, _PERCENTS))
        return round(found / STEP) * STEP

    def _wide(self) -> float:
        return max(self.width() - 2 * EDGE, 20.0)

    # ---- painting

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint bars, what the path covers, handles and frames."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme = theme_of(self)
        rect = QRectF(EDGE, 2, self._wide(), self.height() - 2 - FOOT)
        painter.fillRect(rect, theme.plot)
        begin, end = (self.to_screen(percent) for percent in self._ends)
        self._paint_bars(painter, rect, sorted((begin, end)), theme.dark)
        painter.setPen(QPen(theme.path, 1.2))
        for x in self.frame_places():
            painter.drawLine(QPointF(x, rect.bottom() + 2), QPointF(x, rect.bottom() + FOOT - 1))
        for x, filled in ((begin, False), (end, True)):
            painter.setPen(QPen(theme.path, 2))
            painter.drawLine(QPointF(x, rect.top() + 7), QPointF(x, rect.bottom()))
            painter.setBrush(theme.path if filled else theme.plot)
            painter.drawEllipse(QPointF(x, rect.top() + 5), 5.0, 5.0)
        if self.hasFocus():
            painter.setBrush(theme.path)
            painter.setPen(Qt.PenStyle.NoPen)
            x = self.to_screen(self._ends[self._last])
            foot = rect.bottom()
            corners = [QPointF(x - 4, foot), QPointF(x + 4, foot), QPointF(x, foot - 6)]
            painter.drawPolygon(QPolygonF(corners))

    def _paint_bars(
        self, painter: QPainter, rect: QRectF, covered: list[float], dark: bool
    ) -> None:
        fullest = math.sqrt(max(int(self._counts.max()), 1))
        wide = rect.width() / BINS
        for i, count in enumerate(self._counts):
            colour = QColor(*(int(c) for c in density_ramp(dark)[110]))
            left, right = (round(rect.left() + j * wide) for j in (i, i + 1))  # no seams
            if not covered[0] <= (left + right) / 2 <= covered[1]:
                colour.setAlpha(90)
            high = rect.height() * math.sqrt(count) / fullest
            painter.fillRect(QRectF(left, rect.bottom() - high, right - left, high), colour)

    # ---- mouse and keys

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the nearer handle."""
        if event.button() == Qt.MouseButton.LeftButton:
            x = event.position().x()
            away = [abs(self.to_screen(percent) - x) for percent in self._ends]
            self._held = self._last = int(away[1] < away[0])
            self.setFocus()
            self._move(self.to_percent(x))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move it."""
        if self._held is not None:
            self._move(self.to_percent(event.position().x()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let it go."""
        self._held = None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the handle used last."""
        steps = {Qt.Key.Key_Left: -KEY_STEP, Qt.Key.Key_Right: KEY_STEP}
        step = steps.get(Qt.Key(event.key()))
        if step is None:
            super().keyPressEvent(event)
        else:
            self._move(min(max(self._ends[self._last] + step, 0.0), 100.0))

    def _move(self, percent: float) -> None:
        if percent != self._ends[self._last]:
            self._ends[self._last] = percent
            self.update()
            self.ends_changed.emit(*self._ends)

    def changeEvent(self, event: QEvent) -> None:
        """Draw anew when the theme changes."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self.update()
        super().changeEvent(event)
