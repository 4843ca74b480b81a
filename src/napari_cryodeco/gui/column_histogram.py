"""The histogram of the column that particles are coloured by; a drag over it selects a range."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFontMetricsF, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_cryodeco.gui.colouring import Continuous, title_of
from napari_cryodeco.gui.curves import round_ticks
from napari_cryodeco.gui.operations import operation_of
from napari_cryodeco.gui.plot_axes import LEFT, number
from napari_cryodeco.gui.style import ramp_of, theme_of

BINS = 128
UNKNOWN = 255
CLICK_REACH = 3.0  # pixels
RIGHT, HIGH = 10.0, 58


class ColumnHistogram(QWidget):
    """Counts of n numbers, those of the selected particles in front.

    A drag selects what lies between its ends; beyond either end of the axis it is open. Shift, Alt
    (or Ctrl) and both add, subtract and intersect, as with the lasso.
    """

    brushed = Signal(float, float, str)  # low, high (infinite where open), operation
    brushing = Signal(object)  # (low, high, operation) while the button is down, then None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.operation = "replace"
        self._colouring: Continuous | None = None
        self._bins = np.empty(0, np.uint8)
        self._counts = self._chosen = np.zeros(BINS, np.int64)
        self._low, self._high = 0.0, 1.0
        self._begun: float | None = None
        self._ends: tuple[float, float] | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "<qt>How many particles have which value (heights are square roots of counts; the "
            "selected ones in orange). <b>Drag</b> to select a range, beyond an end to leave it "
            "open there; Shift adds, Alt or Ctrl takes away, both keep what is in both.</qt>"
        )
        self.setAccessibleName("Histogram of the column that particles are coloured by")
        self.setCursor(Qt.CursorShape.SplitHCursor)

    def sizeHint(self) -> QSize:
        """A strip."""
        return QSize(300, HIGH)

    # ---- what is shown

    def set_colouring(self, colouring: Continuous) -> None:
        """Show another column. Far outliers count in the first or the last bar."""
        self._colouring, self._ends = colouring, None
        values = colouring.values
        known = np.isfinite(values)
        room = 0.25 * (colouring.high - colouring.low)
        finite = values if known.all() else values[known]
        self._low = max(float(finite.min()), colouring.low - room) if len(finite) else colouring.low
        self._high = (
            min(float(finite.max()), colouring.high + room) if len(finite) else colouring.high
        )
        if not self._high > self._low:
            self._high = self._low + 1.0
        place = (values - np.float32(self._low)) * np.float32(BINS / (self._high - self._low))
        with np.errstate(invalid="ignore"):  # what is not finite is thrown out by the mask
            bins = np.clip(place, 0, BINS - 1).astype(np.uint8)
        self._bins = np.where(known, bins, np.uint8(UNKNOWN))
        self._counts = np.bincount(self._bins, minlength=256)[:BINS]
        self.set_selected(None)

    def set_selected(self, mask: NDArray[np.bool_] | None) -> None:
        """Show how the selected particles ``(n,)`` bool spread."""
        if mask is None or len(mask) != len(self._bins):
            self._chosen = np.zeros(BINS, np.int64)
        else:  # to pick out bars by the mask takes twice as long
            self._chosen = np.bincount(self._bins, mask, 256)[:BINS].astype(np.int64)
        self.update()

    @property
    def counts(self) -> NDArray[np.int64]:
        """Particles in each of the bars ``(BINS,)``."""
        return self._counts

    @property
    def chosen_counts(self) -> NDArray[np.int64]:
        """Selected particles in each of the bars ``(BINS,)``."""
        return self._chosen

    def _rect(self) -> QRectF:
        below = QFontMetricsF(self.font()).height() + 2
        return QRectF(LEFT, 2, max(self.width() - LEFT - RIGHT, 20), self.height() - below - 2)

    def to_value(self, x: float) -> float:
        """The value at a widget position; infinite beyond the ends of the axis."""
        rect = self._rect()
        if x <= rect.left():
            return -math.inf
        if x >= rect.right():
            return math.inf
        return self._low + (x - rect.left()) / rect.width() * (self._high - self._low)

    def to_screen(self, value: float) -> float:
        """Widget position of a value; that of the axis' end where it is beyond."""
        share = min(max((value - self._low) / (self._high - self._low), 0.0), 1.0)
        return self._rect().left() + share * self._rect().width()

    # ---- painting

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint bars, numbers, and the range."""
        if self._colouring is None:
            return
        painter = QPainter(self)
        theme, rect = theme_of(self), self._rect()
        painter.fillRect(rect, theme.plot)
        self._paint_bars(painter, rect, theme.dark, theme.selection)
        if self._ends is not None:
            left, right = (self.to_screen(end) for end in sorted(self._ends))
            veil = QColor(theme.selection)
            veil.setAlpha(60)
            painter.fillRect(QRectF(left, rect.top(), right - left, rect.height()), veil)
            painter.setPen(theme.selection)
            for x in (left, right):
                painter.drawLine(QPointF(x, rect.top()), QPointF(x, rect.bottom()))
        painter.setPen(theme.frame)
        painter.drawRect(rect)
        painter.setPen(theme.text)
        self._paint_words(painter, rect)

    def _paint_bars(self, painter: QPainter, rect: QRectF, dark: bool, selection: QColor) -> None:
        colouring = self._colouring
        if colouring is None:
            return
        fullest = math.sqrt(max(int(self._counts.max()), 1))
        wide = rect.width() / BINS
        some = bool(self._chosen.any())
        ramp = ramp_of(colouring, dark)
        for i in range(BINS):
            value = self._low + (i + 0.5) * (self._high - self._low) / BINS
            share = (value - colouring.low) / (colouring.high - colouring.low)
            colour = QColor(*(int(c) for c in ramp[round(254 * min(max(share, 0.0), 1.0))]))
            colour.setAlpha(110 if some else 255)
            for count, ink in ((self._counts[i], colour), (self._chosen[i], selection)):
                high = rect.height() * math.sqrt(count) / fullest
                left, right = (round(rect.left() + j * wide) for j in (i, i + 1))  # no seams
                box = QRectF(left, rect.bottom() - high, right - left, high)
                painter.fillRect(box, ink)

    def _paint_words(self, painter: QPainter, rect: QRectF) -> None:
        metrics = QFontMetricsF(painter.font())
        below = QRectF(0, rect.bottom() + 1, self.width(), metrics.height() + 1)
        if self._ends is not None:
            painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, self.range_words())
            return
        for value in round_ticks(self._low, self._high, 5):
            box = QRectF(self.to_screen(value) - 50, below.top(), 100, below.height())
            painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, number(value))

    def range_words(self) -> str:
        """The range drawn last, in words; empty if there is none."""
        if self._ends is None or self._colouring is None:
            return ""
        low, high = sorted(self._ends)
        texts = ("lowest" if math.isinf(low) else number(low), number(high))
        last = "highest" if math.isinf(high) else texts[1]
        return f"{title_of(self._colouring)}: {texts[0]} to {last}"

    # ---- mouse

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a range."""
        if event.button() == Qt.MouseButton.LeftButton and self._colouring is not None:
            self._begun = event.position().x()
            self.setFocus()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Draw the range out."""
        if self._begun is None or abs(event.position().x() - self._begun) < CLICK_REACH:
            return
        self._ends = (self.to_value(self._begun), self.to_value(event.position().x()))
        self.brushing.emit((*sorted(self._ends), operation_of(event.modifiers(), self.operation)))
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Select the range; a click without a drag selects nothing and clears what was drawn."""
        begun, self._begun = self._begun, None
        if begun is None:
            return
        self.brushing.emit(None)
        if abs(event.position().x() - begun) < CLICK_REACH:
            self._ends = None
        else:
            self._ends = (self.to_value(begun), self.to_value(event.position().x()))
            operation = operation_of(event.modifiers(), self.operation)
            self.brushed.emit(*sorted(self._ends), operation)
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape gives the range up."""
        if event.key() == Qt.Key.Key_Escape and self._begun is not None:
            self._begun = self._ends = None
            self.brushing.emit(None)
            self.update()
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Draw anew when the theme changes."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self.update()
        super().changeEvent(event)
