"""The map of viewing directions: a scatter plot over the sphere."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QFontMetricsF, QPainter, QPolygonF
from qtpy.QtWidgets import QWidget

from napari_cryodeco.explore import sphere
from napari_cryodeco.gui.aggregate import Extent, Floats
from napari_cryodeco.gui.plot_axes import Frame
from napari_cryodeco.gui.scatter import Mode, ScatterWidget
from napari_cryodeco.gui.style import Theme

MARGIN = 10.0
_TILTS, _AZIMUTHS = (30, 60, 90, 120, 150), (-120, -60, 60, 120)


class DirectionMap(ScatterWidget):
    """Directions ``(n,)`` on Hammer's equal-area map, with the tools of the scatter plot."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.mode = Mode.LASSO
        self._lines = sphere.graticule()
        across, up = 1.04 * sphere.WIDTH / 2, 1.04 * sphere.HEIGHT / 2
        self._home = self._extent = Extent(-across, across, -up, up)
        self.setAccessibleName("Map of the particles' viewing directions")

    def set_directions(self, x: Floats, y: Floats) -> None:
        """Show other places ``(n,)`` that `sphere.project` gave; what is in view stays."""
        home = self._home
        self.set_points(x, y, ("", ""), fit=False)
        self._home = home

    def frame(self) -> Frame:
        """The largest rectangle in which the map keeps its shape."""
        scale = min(
            (self.width() - 2 * MARGIN) / self._home.width,
            (self.height() - 2 * MARGIN) / self._home.height,
        )
        wide, tall = (
            max(round(side * scale), 20) for side in (self._home.width, self._home.height)
        )
        left, top = (self.width() - wide) // 2, (self.height() - tall) // 2
        return Frame(QRectF(left, top, wide, tall), self._extent)

    def category_at(self, place: QPointF) -> int | None:
        """None: the legend is that of the Explorer."""
        return None

    def _point(self, place: QPointF, final: bool) -> None:
        """A click shows no map here: directions are no places in z."""

    def _paint_grid(self, painter: QPainter, frame: Frame, theme: Theme) -> None:
        painter.save()
        painter.setClipRect(frame.rect)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(theme.faint)
        for line in self._lines:
            if line is self._lines[-1]:
                painter.setPen(theme.frame)
            painter.drawPolyline(QPolygonF([frame.to_screen(float(x), float(y)) for x, y in line]))
        painter.restore()

    def _paint_axes(self, painter: QPainter, frame: Frame, theme: Theme) -> None:
        painter.save()
        painter.setClipRect(frame.rect)
        painter.setPen(theme.text)
        painter.setOpacity(0.75)
        high = QFontMetricsF(painter.font()).height()
        places = [(0.0, float(t), f"{t}°") for t in _TILTS]
        places += [(float(a), 90.0, f"{a}°".replace("-", "−")) for a in _AZIMUTHS]
        for azimuth, tilt, words in places:
            x, y = sphere.project(np.array([azimuth]), np.array([tilt]))
            at = frame.to_screen(float(x[0]), float(y[0]))
            painter.drawText(QPointF(at.x() + 3, at.y() - 2), words)
        corner = frame.rect.adjusted(4, 2, -4, -2)
        painter.drawText(corner, int(Qt.AlignmentFlag.AlignLeft), "tilt 0° at the top")
        below = QRectF(corner.left(), corner.bottom() - high, corner.width(), high)
        painter.drawText(below, int(Qt.AlignmentFlag.AlignLeft), "180°")
        painter.drawText(below, int(Qt.AlignmentFlag.AlignRight), "azimuth ±180° at the rim")
        painter.restore()
