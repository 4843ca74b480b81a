"""What the scatter plot draws: points, axes, legend and what lies over them. It hears no mouse."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Signal
from qtpy.QtGui import QFontMetricsF, QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_cryodeco.gui import plot_axes, scatter_overlays
from napari_cryodeco.gui.aggregate import Extent, Floats, enclosing
from napari_cryodeco.gui.colouring import Categorical, Colouring, Continuous, Directional
from napari_cryodeco.gui.plot_axes import BOTTOM, LEFT, TOP, Frame
from napari_cryodeco.gui.scatter_overlays import Contour, Mark
from napari_cryodeco.gui.scatter_picture import Overlay, ScatterPicture
from napari_cryodeco.gui.style import Theme, theme_of

FURTHEST_ZOOM = 1e4
HOVER_REACH = 7.0  # pixels


class ScatterCanvas(QWidget):
    """Points ``(n,)`` in the plane, and the part of the plane that is in view."""

    moved = Signal()  # another part of the plane is in view

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._picture = ScatterPicture()
        self._home = self._extent = Extent(-1.0, 1.0, -1.0, 1.0)
        self._names = ("", "")
        self._image: tuple[Any, QImage, Any] | None = None
        self._cursor: tuple[float, float] | None = None
        self._idle = False
        self._hovered: int | None = None
        self._path: Floats | None = None
        self._path_support: NDArray[np.bool_] | None = None
        self._path_position = 0.0
        self._anchors: Floats | None = None
        self._contours: tuple[Contour, ...] = ()
        self._marks: tuple[Mark, ...] = ()
        self.empty_text = "Nothing to show yet."
        self.setMinimumSize(220, 150)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Scatter plot of the particles' latent points")

    def sizeHint(self) -> QSize:
        """About square, with room for the legend."""
        return QSize(460, 400)

    # ---- what is shown

    def set_points(self, x: Floats, y: Floats, names: tuple[str, str], fit: bool = True) -> None:
        """Show other points ``(n,)`` with the names of their axes."""
        if x.shape != y.shape or x.ndim != 1:
            raise ValueError(f"x {x.shape} and y {y.shape}: two equally long columns are needed.")
        if len(x) != len(self._picture.x):
            self._hovered = None
        self._picture.set_points(x, y)
        self._names = names
        self._home = enclosing(self._picture.x, self._picture.y)
        if fit:
            self.fit()
        self._redraw()

    @property
    def points(self) -> tuple[Floats, Floats]:
        """Places x, y ``(n,)`` that are shown."""
        return self._picture.x, self._picture.y

    def set_colouring(self, colouring: Colouring) -> None:
        """Colour the points; one value for each."""
        self._picture.set_colouring(colouring)
        self._redraw()

    def set_selected(self, mask: NDArray[np.bool_] | None) -> None:
        """Show which points ``(n,)`` bool are selected: the others fade."""
        self._picture.selected = mask
        self._redraw()

    def set_overlays(self, overlays: tuple[Overlay, ...]) -> None:
        """Draw sets of points in colours of their own, the last on top; the others fade."""
        self._picture.overlays = overlays
        self._redraw()

    def set_hovered(self, row: int | None) -> None:
        """Ring a point that the mouse is on, here or in another view."""
        self._hovered = row
        self.update()

    def set_cursor(self, place: tuple[float, float] | None, idle: bool = False) -> None:
        """Show the cursor at data x, y, or none; faintly where the map is not that of its place."""
        self._cursor, self._idle = place, idle
        self.update()

    def set_path(self, places: Floats | None, supported: NDArray[np.bool_] | None = None) -> None:
        """Draw a trajectory through places ``(t, 2)``, or none; red where not `supported`."""
        self._path, self._path_support, self._path_position = places, supported, 0.0
        self.update()

    def set_anchors(self, places: Floats | None) -> None:
        """Draw numbered points ``(m, 2)`` that a trajectory goes through, or none."""
        self._anchors = places
        self.update()

    def set_landscape(self, lines: tuple[Contour, ...], marks: tuple[Mark, ...]) -> None:
        """Draw lines of equal free energy and mark minima, or neither."""
        self._contours, self._marks = lines, marks
        self.update()

    def minimum_at(self, place: QPointF) -> int | None:
        """Which marked minimum, from 0, is at a widget position, if any."""
        frame = self.frame()
        boxes = [scatter_overlays.mark_box(frame, mark) for mark in self._marks]
        return next((i for i, box in enumerate(boxes) if box.contains(place)), None)

    def set_path_position(self, frame: float) -> None:
        """Move the marker along the trajectory; frames count from 0."""
        self._path_position = frame
        self.update()

    @property
    def extent(self) -> Extent:
        """The part of the plane in view."""
        return self._extent

    @property
    def fitted(self) -> bool:
        """Whether all points are in view, as after `fit`."""
        return self._extent == self._home

    def set_extent(self, extent: Extent) -> None:
        """Show another part of the plane; too deep a zoom is not followed."""
        least = min(extent.width / self._home.width, extent.height / self._home.height)
        most = max(extent.width / self._home.width, extent.height / self._home.height)
        if least * FURTHEST_ZOOM < 1 or most > 50:
            return
        self._extent = extent
        self._redraw()
        self.moved.emit()

    def fit(self) -> None:
        """Show all points."""
        self.set_extent(self._home)

    def frame(self) -> Frame:
        """Where the data rectangle lies now."""
        metrics = QFontMetricsF(self.font())
        right = plot_axes.margin_right(self._picture.colouring, metrics)
        width = max(self.width() - LEFT - right, 20)
        height = max(self.height() - TOP - BOTTOM, 20)
        return Frame(QRectF(LEFT, TOP, round(width), round(height)), self._extent)

    def nearest(self, place: QPointF) -> int | None:
        """Row of the point within a few pixels of a widget position, if any."""
        frame = self.frame()
        per_x = frame.rect.width() / frame.extent.width
        per_y = frame.rect.height() / frame.extent.height
        return self._picture.nearest(*frame.to_data(place), (per_x, per_y), HOVER_REACH)

    def category_at(self, place: QPointF) -> int | None:
        """Code of the entry of the legend at a widget position, if any."""
        colouring = self._picture.colouring
        if not isinstance(colouring, Categorical):
            return None
        boxes = plot_axes.legend_boxes(self.frame(), QFontMetricsF(self.font()), colouring)
        return next((code for box, _, code in boxes if box.contains(place)), None)

    def _redraw(self) -> None:
        self._image = None
        self.update()

    # ---- painting

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint points, axes and overlays."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        theme, frame = theme_of(self), self.frame()
        painter.fillRect(frame.rect, theme.plot)
        if not len(self._picture.x):
            plot_axes.draw_message(painter, frame, theme, self.empty_text)
            return
        self._paint_grid(painter, frame, theme)
        painter.drawImage(frame.rect, self._points_image(frame, theme.dark))
        self._paint_axes(painter, frame, theme)
        painter.setClipRect(frame.rect)
        scatter_overlays.draw_contours(painter, frame, self._contours, theme)
        if self._path is not None:
            places, bare = self._path, self._path_support
            scatter_overlays.draw_path(painter, frame, places, bare, self._path_position, theme)
        if self._anchors is not None:
            scatter_overlays.draw_anchors(painter, frame, self._anchors, theme)
        scatter_overlays.draw_minima(painter, frame, self._marks, theme)
        if self._hovered is not None:
            x, y = (float(c[self._hovered]) for c in (self._picture.x, self._picture.y))
            scatter_overlays.draw_hovered(painter, frame, (x, y), theme)
        if self._cursor is not None:
            scatter_overlays.draw_cursor(painter, frame, self._cursor, theme, self._idle)
        self._paint_tool(painter, theme)

    def _paint_grid(self, painter: QPainter, frame: Frame, theme: Theme) -> None:
        """Paint what lies under the points."""
        plot_axes.draw_grid(painter, frame, theme)

    def _paint_axes(self, painter: QPainter, frame: Frame, theme: Theme) -> None:
        """Paint what names places and colours, over the points."""
        plot_axes.draw_axes(painter, frame, theme, self._names)
        if isinstance(colouring := self._picture.colouring, Continuous):
            plot_axes.draw_colour_bar(painter, frame, theme, colouring)
        elif isinstance(colouring, Categorical):
            plot_axes.draw_legend(painter, frame, theme, colouring)
        elif isinstance(colouring, Directional):
            plot_axes.draw_direction_key(painter, frame, theme)

    def _paint_tool(self, painter: QPainter, theme: Theme) -> None:
        """Paint what the mouse is drawing, over everything else."""

    def _points_image(self, frame: Frame, dark: bool) -> QImage:
        ratio = self.devicePixelRatioF()
        width, height = round(frame.rect.width() * ratio), round(frame.rect.height() * ratio)
        key = (frame.extent, width, height, dark)
        if self._image is None or self._image[0] != key:
            picture = np.ascontiguousarray(
                self._picture.draw(frame.extent, width, height, ratio, dark)
            )
            tall, wide = picture.shape[:2]
            image = QImage(picture.data, wide, tall, 4 * wide, QImage.Format.Format_RGBA8888)
            self._image = (key, image, picture)  # the image reads the array's memory: keep both
        return self._image[1]

    def changeEvent(self, event: QEvent) -> None:
        """Draw anew when the theme or the font changes."""
        kind = QEvent.Type
        if event.type() in (kind.PaletteChange, kind.StyleChange, kind.FontChange):
            self._redraw()
        super().changeEvent(event)
