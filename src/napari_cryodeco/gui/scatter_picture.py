"""The points of the scatter plot as one picture: what to draw, and the cache of what is dear."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cryodeco.explore.history import combined
from napari_cryodeco.gui import aggregate, style
from napari_cryodeco.gui.aggregate import Bins, Extent, Floats, Ink, Picture
from napari_cryodeco.gui.colouring import Categorical, Colouring, Continuous, Density, Directional

DOTS_BELOW = 20_000
PIXELS_BELOW = 200_000
DIMMED = 0.3

Overlay = tuple[NDArray[np.bool_], str]  # points (n,) and the colour #RRGGBB they are drawn in


class ScatterPicture:
    """Points, their colours and their selection, drawn for any extent.

    Binning is kept until extent or size change, so a new colour or selection costs only its own
    part.
    """

    def __init__(self) -> None:
        nothing = np.empty(0, np.float32)
        self.x: Floats = nothing
        self.y: Floats = nothing
        self.selected: NDArray[np.bool_] | None = None
        self.overlays: tuple[Overlay, ...] = ()
        self._colouring: Colouring = Density()
        self._inks: dict[bool, Ink] = {}
        self._bins: tuple[Any, Bins] | None = None

    def set_points(self, x: Floats, y: Floats) -> None:
        """Take other points ``(n,)``; colours and selection stay if their number does."""
        if len(x) != len(self.x):
            self.selected, self.overlays, self._colouring = None, (), Density()
            self._inks = {}
        self.x, self.y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        self._bins = None

    def set_colouring(self, colouring: Colouring) -> None:
        """Take other colours.

        Raises
        ------
        ValueError
            When there is not one value for each point.
        """
        given = _values(colouring)
        if given is not None and len(given) != len(self.x):
            raise ValueError(
                f"Colour '{colouring.label}': {len(given):,} values, {len(self.x):,} particles."
            )
        self._colouring, self._inks = colouring, {}

    @property
    def colouring(self) -> Colouring:
        """What the points are coloured by."""
        return self._colouring

    def would_select(self, inside: NDArray[np.bool_], operation: str) -> int:
        """How many points are selected after a lasso around those `inside` ``(n,)``."""
        before = np.zeros_like(inside) if self.selected is None else self.selected
        return int(np.count_nonzero(combined(operation, before, inside)))

    def nearest(self, x: float, y: float, scale: tuple[float, float], reach: float) -> int | None:
        """Row of the point nearest to a place, if within `reach`; `scale` is pixels a unit."""
        distance = ((self.x - x) * scale[0]) ** 2 + ((self.y - y) * scale[1]) ** 2
        if not np.isfinite(distance).any():
            return None
        row = int(np.nanargmin(distance))
        return row if distance[row] <= reach**2 else None

    def bins(self, extent: Extent, width: int, height: int) -> Bins:
        """Points sorted into the pixels of a picture."""
        key = (extent, width, height)
        if self._bins is None or self._bins[0] != key:
            self._bins = (key, aggregate.bin_points(self.x, self.y, extent, width, height))
        return self._bins[1]

    def draw(self, extent: Extent, width: int, height: int, ratio: float, dark: bool) -> Picture:
        """The picture ``(height · s, width · s, 4)``; s is 2 where dots are drawn smooth, else 1.

        Parameters
        ----------
        extent
            The part of the plane in view.
        width, height
            Device pixels.
        ratio
            Device pixels per logical pixel: dots have the same size on every screen.
        dark
            Whether the background is dark.
        """
        bins = self.bins(extent, width, height)
        marked = self.selected if self.selected is not None and self.selected.any() else None
        if bins.in_view < DOTS_BELOW:
            return self._dots(bins, extent, ratio, marked, dark)
        cell = round(ratio) if bins.in_view >= PIXELS_BELOW else 2 * round(ratio)
        return self._density(bins, marked, dark, cell)

    def _ink(self, dark: bool) -> Ink | None:
        if isinstance(self._colouring, Density):
            return None
        if dark not in self._inks:
            self._inks[dark] = style.ink_of(self._colouring, dark)
        return self._inks[dark]

    def _density(
        self, bins: Bins, marked: NDArray[np.bool_] | None, dark: bool, cell: int
    ) -> Picture:
        ink = self._ink(dark)
        counts = aggregate.pooled(bins.counts, cell)
        parts = bins if marked is None else bins.split(marked)
        # Of the picture of all, one sees no pixel that has a marked point: the colour of the others
        # will do.
        colours = None if ink is None else ink.mean_colours(parts, cell)
        if colours is None:
            back = aggregate.density_picture(counts, style.density_ramp(dark))
        else:
            back = aggregate.colour_picture(colours if marked is None else colours[0], counts)
        if marked is None and not self.overlays:
            return back
        back = aggregate.dimmed(back, DIMMED)
        if self.overlays:
            back = aggregate.over(self._overlay_picture(bins, cell), back)
        if marked is None:
            return back
        chosen = aggregate.pooled(parts.counts[1], cell)
        if colours is None:
            front = aggregate.density_picture(chosen, style.selection_ramp(dark))
        else:
            front = aggregate.colour_picture(colours[1], chosen)
        return aggregate.over(front, back)

    def _overlay_picture(self, bins: Bins, cell: int) -> Picture:
        """The overlays in their colours; in a pixel of several, that of the last."""
        counts = np.zeros((bins.height, bins.width), np.intp)
        top = np.zeros_like(counts)
        for place, (mask, _) in enumerate(self.overlays):
            some = aggregate.pooled(bins.only(mask).counts, cell)
            counts = np.where(some > 0, some, counts)
            top[some > 0] = place
        table = np.array([style.rgb(colour) for _, colour in self.overlays], float)
        return aggregate.colour_picture(table[top], counts)

    def _dots(
        self,
        bins: Bins,
        extent: Extent,
        ratio: float,
        marked: NDArray[np.bool_] | None,
        dark: bool,
    ) -> Picture:
        smooth = 2 if ratio < 2 else 1
        height, width = bins.height * smooth, bins.width * smooth
        rows = bins.visible_rows()
        for mask in (*(mask for mask, _ in self.overlays), *([] if marked is None else [marked])):
            rows = np.concatenate([rows[~mask[rows]], rows[mask[rows]]])  # marked ones on top
        colours = self._dot_colours(rows, marked, dark)
        right = ((self.x[rows] - extent.left) * (width / extent.width)).astype(np.intp)
        down = ((extent.top - self.y[rows]) * (height / extent.height)).astype(np.intp)
        size = (3.4 if len(rows) < 2_000 else 2.6 if len(rows) < 8_000 else 1.9) * ratio * smooth
        return aggregate.stamp_dots(down, right, colours, (height, width), size)

    def _dot_colours(
        self, rows: NDArray[np.intp], marked: NDArray[np.bool_] | None, dark: bool
    ) -> Picture:
        ink = self._ink(dark)
        colours = np.empty((len(rows), 4), np.uint8)
        colours[:, 3] = 235
        if ink is None:
            colours[:, :3] = style.density_ramp(dark)[150]
        else:
            colours[:, :3] = ink.table[ink.index[rows]]
        if marked is None and not self.overlays:
            return colours
        chosen = np.zeros(len(rows), bool) if marked is None else marked[rows]
        grey = colours[~chosen, :3].mean(1, keepdims=True)
        colours[~chosen] = np.concatenate(
            [np.repeat(grey, 3, 1), np.full_like(grey, 255 * DIMMED)], 1
        )
        for mask, colour in self.overlays:
            colours[mask[rows] & ~chosen] = (*style.rgb(colour), 235)
        if ink is None:
            colours[chosen, :3] = style.selection_ramp(dark)[128]
        return colours


def _values(colouring: Colouring) -> NDArray[Any] | None:
    if isinstance(colouring, Continuous):
        return colouring.values
    if isinstance(colouring, Directional):
        return colouring.tilt
    return colouring.codes if isinstance(colouring, Categorical) else None
