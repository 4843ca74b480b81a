"""The frame of the scatter plot: ticks, axis names, colour bar and legend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QFontMetricsF, QImage, QPainter

from napari_cryodeco.explore import sphere
from napari_cryodeco.explore.palette import OTHER, category
from napari_cryodeco.gui.aggregate import Extent
from napari_cryodeco.gui.colouring import Categorical, Colouring, Continuous, Directional, title_of
from napari_cryodeco.gui.curves import round_ticks
from napari_cryodeco.gui.style import Theme, direction_colours, ramp_of

LEFT, RIGHT, TOP, BOTTOM = 58.0, 10.0, 10.0, 42.0
SWATCH = 10.0
BAR = 12.0
KEY = 84.0  # width of the map that explains the colours of directions
MOST_ENTRIES = 14


@dataclass(frozen=True)
class Frame:
    """Where the data rectangle lies in the widget, and which part of the plane it shows."""

    rect: QRectF
    extent: Extent

    def to_screen(self, x: float, y: float) -> QPointF:
        """Widget position of a place in data units."""
        across = (x - self.extent.left) / self.extent.width
        down = (self.extent.top - y) / self.extent.height
        return QPointF(
            self.rect.left() + across * self.rect.width(),
            self.rect.top() + down * self.rect.height(),
        )

    def to_data(self, position: QPointF) -> tuple[float, float]:
        """Place in data units of a widget position."""
        across = (position.x() - self.rect.left()) / self.rect.width()
        down = (position.y() - self.rect.top()) / self.rect.height()
        return (
            self.extent.left + across * self.extent.width,
            self.extent.top - down * self.extent.height,
        )


def margin_right(colouring: Colouring, metrics: QFontMetricsF) -> float:
    """Room that the legend or the colour bar takes, pixels."""
    if isinstance(colouring, Categorical):
        texts = [*(name for name, _ in entries(colouring)), title_of(colouring)]
        widest = max(metrics.horizontalAdvance(text[:16]) for text in texts)
        return float(min(widest, 120) + SWATCH + 22)
    if isinstance(colouring, Continuous):
        texts = [number(v) for v in bar_ticks(colouring)]
        widest = max((metrics.horizontalAdvance(text) for text in texts), default=20)
        return float(widest + BAR + metrics.height() + 26)
    return KEY + 2 * RIGHT if isinstance(colouring, Directional) else RIGHT


def entries(colouring: Categorical) -> list[tuple[str, int]]:
    """Names and codes of the legend, shortened where there are too many; −1 is what has no name."""
    listed = [(name, code) for code, name in enumerate(colouring.names)][:MOST_ENTRIES]
    if bool((colouring.codes < 0).any()):
        listed.append((colouring.rest, -1))
    return listed


def number(value: float) -> str:
    """A tick's number without useless digits; a real minus sign."""
    text = f"{value:.6g}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.3g}"
    return text.replace("-", "−")


def bar_ticks(colouring: Continuous) -> list[float]:
    """Round numbers along the colour bar."""
    return round_ticks(colouring.low, colouring.high, 5)


def draw_message(painter: QPainter, frame: Frame, theme: Theme, text: str) -> None:
    """Words in an empty frame."""
    painter.setPen(theme.frame)
    painter.drawRect(frame.rect)
    painter.setPen(theme.text)
    flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
    painter.drawText(frame.rect.adjusted(16, 16, -16, -16), int(flags), text)


def ticks(frame: Frame, metrics: QFontMetricsF) -> tuple[list[float], list[float]]:
    """Round numbers on the two axes, as many as have room."""
    wide = frame.rect.width() / (1.2 * metrics.horizontalAdvance("−0.00"))
    tall = frame.rect.height() / (3 * metrics.height())
    across, up = (max(3, min(7, int(count))) for count in (wide, tall))
    extent = frame.extent
    return (
        round_ticks(extent.left, extent.right, across),
        round_ticks(extent.bottom, extent.top, up),
    )


def draw_grid(painter: QPainter, frame: Frame, theme: Theme) -> None:
    """Faint lines at the ticks, under the points."""
    painter.setPen(theme.faint)
    columns, rows = ticks(frame, QFontMetricsF(painter.font()))
    for x in columns:
        across = frame.to_screen(x, frame.extent.top).x()
        painter.drawLine(QPointF(across, frame.rect.top()), QPointF(across, frame.rect.bottom()))
    for y in rows:
        down = frame.to_screen(frame.extent.left, y).y()
        painter.drawLine(QPointF(frame.rect.left(), down), QPointF(frame.rect.right(), down))


def draw_axes(painter: QPainter, frame: Frame, theme: Theme, names: tuple[str, str]) -> None:
    """Frame, tick numbers and axis names."""
    rect, metrics = frame.rect, QFontMetricsF(painter.font())
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(theme.frame)
    painter.drawRect(rect)
    painter.setPen(theme.text)
    columns, rows = ticks(frame, metrics)
    beside = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
    for x in columns:
        across = frame.to_screen(x, 0).x()
        box = QRectF(across - 60, rect.bottom() + 3, 120, metrics.height())
        painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, number(x))
    for y in rows:
        down = frame.to_screen(0, y).y()
        box = QRectF(0, down - metrics.height() / 2, rect.left() - 5, metrics.height())
        painter.drawText(box, beside, number(y))
    under = QRectF(
        rect.left(), rect.bottom() + 5 + metrics.height(), rect.width(), metrics.height()
    )
    painter.drawText(under, Qt.AlignmentFlag.AlignHCenter, names[0])
    _draw_upright(painter, QPointF(metrics.height() * 0.62, rect.center().y()), names[1])


def _draw_upright(painter: QPainter, centre: QPointF, text: str) -> None:
    painter.save()
    painter.translate(centre)
    painter.rotate(-90)
    painter.drawText(QRectF(-200, -12, 400, 24), Qt.AlignmentFlag.AlignCenter, text)
    painter.restore()


def draw_colour_bar(painter: QPainter, frame: Frame, theme: Theme, colouring: Continuous) -> None:
    """A bar with round numbers and the name of what is shown."""
    rect, metrics = frame.rect, QFontMetricsF(painter.font())
    bar = QRectF(rect.right() + 10, rect.top() + 2, BAR, rect.height() - 4)
    colours = np.ascontiguousarray(
        np.repeat(ramp_of(colouring, theme.dark)[254::-1, None, :], 4, 1)
    )
    image = QImage(colours.data, 4, len(colours), 12, QImage.Format.Format_RGB888)
    painter.drawImage(bar, image)
    painter.setPen(theme.frame)
    painter.drawRect(bar)
    painter.setPen(theme.text)
    widest = 0.0
    for value in bar_ticks(colouring):
        share = (value - colouring.low) / (colouring.high - colouring.low)
        down = bar.bottom() - share * bar.height()
        painter.drawText(QPointF(bar.right() + 5, down + metrics.ascent() / 2 - 1), number(value))
        widest = max(widest, metrics.horizontalAdvance(number(value)))
    place = QPointF(bar.right() + 5 + widest + metrics.height() * 0.6, rect.center().y())
    _draw_upright(painter, place, title_of(colouring))


def draw_direction_key(painter: QPainter, frame: Frame, theme: Theme) -> None:
    """A small map of directions in their colours."""
    metrics, side = QFontMetricsF(painter.font()), int(KEY)
    down, across = np.mgrid[: side // 2, :side]
    x, y = (across + 0.5) / side * 2 - 1, 1 - (down + 0.5) / side * 4
    azimuth, tilt = sphere.directions(x * sphere.WIDTH / 2, y * sphere.HEIGHT / 2)
    known = np.isfinite(tilt)
    picture = np.zeros((side // 2, side, 4), np.uint8)
    picture[known, :3] = direction_colours(azimuth[known], tilt[known])
    picture[known, 3] = 255
    image = QImage(picture.data, side, side // 2, 4 * side, QImage.Format.Format_RGBA8888)
    box = QRectF(frame.rect.right() + RIGHT, frame.rect.top() + metrics.height(), KEY, KEY / 2)
    painter.drawImage(box, image)
    painter.setPen(theme.text)
    middle, high = Qt.AlignmentFlag.AlignHCenter, metrics.height()
    words = (
        ("tilt 0°", box.top() - high),
        ("180°", box.bottom()),
        ("azimuth", box.bottom() + high),
    )
    for text, top in (*words, ("−180° to 180°", box.bottom() + 2 * high)):
        painter.drawText(QRectF(box.left() - 8, top, KEY + 16, high), middle, text)


def legend_boxes(
    frame: Frame, metrics: QFontMetricsF, colouring: Categorical
) -> list[tuple[QRectF, str, int]]:
    """Where each entry of the legend stands: box, name, code."""
    high = metrics.height() + 4
    top = frame.rect.top() + high + 2
    left = frame.rect.right() + 8
    fitting = max(1, int((frame.rect.bottom() - top) / high))
    return [
        (QRectF(left, top + i * high, 160, high), name, code)
        for i, (name, code) in enumerate(entries(colouring)[:fitting])
    ]


def draw_legend(painter: QPainter, frame: Frame, theme: Theme, colouring: Categorical) -> None:
    """A swatch and a name for each category."""
    metrics = QFontMetricsF(painter.font())
    painter.setPen(theme.text)
    title = QRectF(frame.rect.right() + 8, frame.rect.top(), 160, metrics.height() + 2)
    painter.drawText(title, Qt.AlignmentFlag.AlignLeft, title_of(colouring)[:18])
    for box, name, code in legend_boxes(frame, metrics, colouring):
        swatch = QRectF(box.left(), box.center().y() - SWATCH / 2, SWATCH, SWATCH)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(category(code) if code >= 0 else OTHER))
        painter.drawRoundedRect(swatch, 2, 2)
        painter.setPen(theme.text)
        text = box.adjusted(SWATCH + 6, 0, 0, 0)
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter, name[:16])
