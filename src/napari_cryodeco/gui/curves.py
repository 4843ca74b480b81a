"""A small plot of values over time: axes with units, a legend, no plotting library."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

# Okabe & Ito (2008): told apart by colour-blind eyes, readable on dark and on light.
COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#F0E442")
MAX_POINTS = 600  # more than the widget has pixels across adds nothing


@dataclass(frozen=True)
class Series:
    """One curve: ``x`` and ``y`` are ``(m,)`` floats in the units that the axes name."""

    label: str
    x: np.ndarray
    y: np.ndarray

    def thinned(self, points: int) -> Series:
        """The same curve with at most about ``points`` points: means of equal blocks."""
        block = math.ceil(len(self.x) / points)
        if block <= 1:
            return self
        starts = np.arange(0, len(self.x), block)
        sizes = np.diff(np.append(starts, len(self.x)))
        mean = [np.add.reduceat(values, starts) / sizes for values in (self.x, self.y)]
        return Series(self.label, *mean)


def round_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) from ``low`` to ``high``."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


class CurvePlot(QWidget):
    """Curves over a common x axis.

    Parameters
    ----------
    x_label, y_label
        Axis names with their unit, e.g. ``"resolution (Å)"``.
    empty
        What stands in the middle while there is nothing to show.
    """

    def __init__(self, x_label: str, y_label: str, empty: str = "") -> None:
        super().__init__()
        self._marks: tuple[float, ...] = ()
        self._labels = (x_label, y_label)
        self._empty = empty
        self._series: tuple[Series, ...] = ()
        self.setMinimumHeight(110)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(f"{y_label} over {x_label}")

    def sizeHint(self) -> QSize:
        """Wide and low: two of them fit a dock of a laptop."""
        return QSize(190, 150)

    @property
    def series(self) -> tuple[Series, ...]:
        """What is drawn now."""
        return self._series

    def name_values(self, y_label: str) -> None:
        """Give the y axis another name."""
        self._labels = (self._labels[0], y_label)
        self.update()

    def mark(self, *values: float) -> None:
        """Draw dashed lines across at these values of y, which the axis then reaches."""
        self._marks = values
        self.update()

    def show_series(self, *series: Series) -> None:
        """Replace all curves; points that are not finite are left out."""
        kept = []
        for one in series:
            good = np.isfinite(one.x) & np.isfinite(one.y)
            if good.any():
                kept.append(Series(one.label, one.x[good], one.y[good]).thinned(MAX_POINTS))
        self._series = tuple(kept)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw frame, ticks, curves and legend."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPointSizeF(max(7.0, font.pointSizeF() * 0.85))
        painter.setFont(font)
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        if not self._series:
            painter.setPen(_faded(ink, 150))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(12, 8, -12, -8), int(flags), self._empty)
            return
        view = self._bounds()
        frame = self._frame(painter, view)
        self._paint_axes(painter, frame, view, ink)
        painter.save()
        painter.setClipRect(frame.adjusted(-2, -2, 2, 2))
        for number, one in enumerate(self._series):
            _paint_curve(painter, frame, view, one, QColor(COLOURS[number % len(COLOURS)]))
        painter.restore()
        self._paint_legend(painter, frame, ink)

    def _bounds(self) -> tuple[float, float, float, float]:
        """Data limits ``x0, x1, y0, y1`` with a little air above and below."""
        x = np.concatenate([one.x for one in self._series])
        y = np.concatenate([*(one.y for one in self._series), np.array(self._marks)])
        x0, x1, y0, y1 = float(x.min()), float(x.max()), float(y.min()), float(y.max())
        air = 0.06 * (y1 - y0) or 0.05 * abs(y1) or 1.0
        return x0, x1 if x1 > x0 else x0 + 1.0, y0 - air, y1 + air

    def _frame(self, painter: QPainter, view: tuple[float, float, float, float]) -> QRectF:
        """Where the curves go: what the tick labels and axis names leave."""
        metrics = painter.fontMetrics()
        widest = max(metrics.horizontalAdvance(f"{t:g}") for t in [*round_ticks(*view[2:], 4), 0])
        left = widest + metrics.height() + 12
        bottom = 2 * metrics.height() + 6
        return QRectF(left, 8, self.width() - left - 12, self.height() - bottom - 8)

    def _paint_axes(
        self,
        painter: QPainter,
        frame: QRectF,
        view: tuple[float, float, float, float],
        ink: QColor,
    ) -> None:
        height = painter.fontMetrics().height()
        grid, text = QPen(_faded(ink, 40)), QPen(_faded(ink, 200))
        across = int(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
        beside = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for tick in round_ticks(view[0], view[1], max(2, int(frame.width() / 48))):
            x = _place(QPointF(tick, view[2]), frame, view).x()
            painter.setPen(grid)
            painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
            painter.setPen(text)
            painter.drawText(QRectF(x - 40, frame.bottom() + 2, 80, height), across, f"{tick:g}")
        for tick in round_ticks(view[2], view[3], max(2, int(frame.height() / 30))):
            y = _place(QPointF(view[0], tick), frame, view).y()
            painter.setPen(grid)
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            painter.setPen(text)
            box = QRectF(0, y - height / 2, frame.left() - 5, height)
            painter.drawText(box, beside, f"{tick:g}")
        painter.setPen(QPen(_faded(ink, 120), 1, Qt.PenStyle.DashLine))
        for mark in self._marks:
            y = _place(QPointF(view[0], mark), frame, view).y()
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
        painter.setPen(text)
        foot = QRectF(frame.left(), frame.bottom() + height + 3, frame.width(), height)
        painter.drawText(foot, across, self._labels[0])
        painter.save()
        painter.translate(2, frame.center().y())
        painter.rotate(-90)
        side = QRectF(-frame.height() / 2 - 20, 0, frame.height() + 40, height)
        painter.drawText(side, across, self._labels[1])
        painter.restore()

    def _paint_legend(self, painter: QPainter, frame: QRectF, ink: QColor) -> None:
        """Names of the curves at the top right; a single curve is named by its axis."""
        if len(self._series) < 2:
            return
        height = painter.fontMetrics().height()
        widest = max(painter.fontMetrics().horizontalAdvance(s.label) for s in self._series)
        left = frame.right() - widest - 26
        for number, one in enumerate(self._series):
            y = frame.top() + 4 + number * height
            painter.setPen(QPen(QColor(COLOURS[number % len(COLOURS)]), 2))
            painter.drawLine(QPointF(left, y + height / 2), QPointF(left + 14, y + height / 2))
            painter.setPen(ink)
            where = QRectF(left + 20, y, widest + 4, height)
            painter.drawText(where, int(Qt.AlignmentFlag.AlignVCenter), one.label)


def _faded(colour: QColor, alpha: int) -> QColor:
    faded = QColor(colour)
    faded.setAlpha(alpha)
    return faded


def _place(point: QPointF, frame: QRectF, view: tuple[float, float, float, float]) -> QPointF:
    """Data coordinates to widget coordinates (Qt's y points down)."""
    u = (point.x() - view[0]) / (view[1] - view[0])
    v = (point.y() - view[2]) / (view[3] - view[2])
    return QPointF(frame.left() + u * frame.width(), frame.bottom() - v * frame.height())


def _paint_curve(
    painter: QPainter,
    frame: QRectF,
    view: tuple[float, float, float, float],
    one: Series,
    colour: QColor,
) -> None:
    points = [_place(QPointF(x, y), frame, view) for x, y in zip(one.x, one.y, strict=True)]
    painter.setPen(QPen(colour, 1.8))
    painter.drawPolyline(QPolygonF(points))
    painter.setBrush(colour)
    painter.drawEllipse(points[-1], 2.5, 2.5)
    painter.setBrush(Qt.BrushStyle.NoBrush)
