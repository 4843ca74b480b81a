"""Pictures of n points at screen resolution: pure numpy, no Qt.

Every point is counted in the pixel it falls on, so a picture of a million points costs tens of
milliseconds and hides none. Where few are in view they are stamped as dots instead. Row 0 of a
picture is its top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Picture = NDArray[np.uint8]  # (height, width, 4) RGBA

UNKNOWN = 255
_BLOCK = 32_768  # points at once: what is computed on the way stays in the cache of a core
FAINTEST = 0.4


@dataclass(frozen=True)
class Extent:
    """The part of the plane in view, in data units."""

    left: float
    right: float
    bottom: float
    top: float

    @property
    def width(self) -> float:
        """Length of the x axis."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Length of the y axis."""
        return self.top - self.bottom

    @property
    def centre(self) -> tuple[float, float]:
        """The place in the middle."""
        return self.left + self.width / 2, self.bottom + self.height / 2

    def moved(self, dx: float, dy: float) -> Extent:
        """The extent shifted by data units."""
        return Extent(self.left + dx, self.right + dx, self.bottom + dy, self.top + dy)

    def zoomed(self, factor: float, x: float, y: float) -> Extent:
        """The extent with both axes `factor` times as long about the place (x, y)."""
        return Extent(
            x + (self.left - x) * factor,
            x + (self.right - x) * factor,
            y + (self.bottom - y) * factor,
            y + (self.top - y) * factor,
        )


def enclosing(x: Floats, y: Floats, margin: float = 0.04) -> Extent:
    """The extent around all finite points, with a margin; never of no size."""
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return Extent(-1.0, 1.0, -1.0, 1.0)
    sides = []
    for values in (x, y):
        low, high = (
            float(v)
            for v in (
                np.min(values, where=known, initial=np.inf),
                np.max(values, where=known, initial=-np.inf),
            )
        )
        pad = margin * (high - low) or max(abs(low), 1.0) * 0.5
        sides += [low - pad, high + pad]
    return Extent(*sides)


@dataclass(frozen=True, eq=False)
class Bins:
    """Pixel of each point ``(n,)``, and counts ``([2,] height, width)``: see `split`.

    The pixels of a picture are followed by one for what is out of view.
    """

    pixel: NDArray[np.intp]
    width: int
    height: int
    counts: NDArray[np.intp]

    @property
    def in_view(self) -> int:
        """How many points are in view."""
        return int(self.counts.sum())

    def sums(self, weights: NDArray[Any]) -> Floats:
        """Sum of a weight per point ``(n,)`` in each pixel ``([2,] height, width)``."""
        return _summed(self.pixel, weights, self.counts.shape)

    def split(self, mask: NDArray[np.bool_]) -> Bins:
        """Two pictures of one: of the points not marked ``(n,)``, and of the marked ones.

        What is summed over both then costs what it costs over one.
        """
        pixel = self.pixel + mask * (self.width * self.height + 1)
        counts = _summed(pixel, None, (2, self.height, self.width))
        return Bins(pixel, self.width, self.height, counts)

    def only(self, mask: NDArray[np.bool_]) -> Bins:
        """The marked points ``(n,)`` alone: the others are out of view."""
        # to pick their pixels out by the mask takes three times as long
        pixel = np.where(mask, self.pixel, self.width * self.height)
        counts = _summed(pixel, None, self.counts.shape)
        return Bins(pixel, self.width, self.height, counts)

    def visible_rows(self) -> NDArray[np.intp]:
        """Rows of the points in view."""
        return np.flatnonzero(self.pixel < self.width * self.height)


def bin_points(x: Floats, y: Floats, extent: Extent, width: int, height: int) -> Bins:
    """Sort points ``(n,)`` into the pixels of a picture; not-finite points are out of view."""
    left, across = x.dtype.type(extent.left), x.dtype.type(width / extent.width)
    top, down = y.dtype.type(extent.top), y.dtype.type(height / extent.height)
    pixel = np.empty(len(x), np.intp)
    for start in range(0, len(x), _BLOCK):
        part = slice(start, start + _BLOCK)
        column, row = (x[part] - left) * across, (top - y[part]) * down
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        with np.errstate(invalid="ignore"):  # what is not finite or far away: not inside
            place = row.astype(np.intp) * width + column.astype(np.intp)
        pixel[part] = np.where(inside, place, width * height)
    return Bins(pixel, width, height, _summed(pixel, None, (height, width)))


def _summed(
    pixel: NDArray[np.intp], weights: NDArray[Any] | None, shape: tuple[int, ...]
) -> NDArray[Any]:
    """Points, or their weights, in each pixel of one picture or two ``([2,] height, width)``."""
    *pictures, height, width = shape
    length = height * width + 1  # the last is out of view
    flat = np.bincount(pixel, weights, math.prod(pictures) * length)
    return flat.reshape(*pictures, length)[..., :-1].reshape(shape)


@dataclass(frozen=True, eq=False)
class Ink:
    """The colour of n points.

    Parameters
    ----------
    index
        ``(n,)`` uint8, row of `table`; `UNKNOWN` for points without a value.
    table
        ``(256, 3)`` uint8 colours; that of `UNKNOWN` is its last row.
    ordered
        Whether indices are steps of one scale, so that the mean of two is between them.
    """

    index: NDArray[np.uint8]
    table: NDArray[np.uint8]
    ordered: bool

    def mean_colours(self, bins: Bins, cell: int = 1) -> NDArray[Any]:
        """Colour ``([2,] height, width, 3)`` of the points in each cell of ``cell × cell`` pixels.

        Ordered indices are averaged before they become a colour, so the picture holds no colour
        that the colour bar has not.
        """
        if not self.ordered:
            weights = np.maximum(pooled(bins.counts, cell), 1)
            sums = [pooled(bins.sums(c[self.index]), cell) for c in self.table.T]
            return np.stack([channel / weights for channel in sums], -1)
        known = self.index != UNKNOWN
        every = bool(known.all())
        counts = pooled(bins.counts if every else bins.only(known).counts, cell)
        total = pooled(bins.sums(self.index if every else np.where(known, self.index, 0)), cell)
        mean = total / np.maximum(counts, 1)
        place = mean.astype(np.intp)
        place[counts == 0] = UNKNOWN
        return self.table.take(place, 0)


def heights(counts: NDArray[np.intp]) -> Floats:
    """Counts on a logarithmic scale from 0 (none) to 1 (the fullest pixel)."""
    return np.log1p(counts) / np.log1p(max(int(counts.max(initial=0)), 1))


def pooled(counts: NDArray[Any], cell: int) -> NDArray[Any]:
    """Sum ``(..., height, width)`` over cells of ``cell × cell`` pixels: dots for fewer points."""
    if cell == 1:
        return counts
    *pictures, height, width = counts.shape
    tall, wide = -(-height // cell) * cell, -(-width // cell) * cell
    beyond = [(0, 0)] * len(pictures) + [(0, tall - height), (0, wide - width)]
    cells = (*pictures, tall // cell, cell, wide // cell, cell)
    sums = np.pad(counts, beyond).reshape(cells).sum((-3, -1))
    return np.repeat(np.repeat(sums, cell, -2), cell, -1)[..., :height, :width]


def density_picture(counts: NDArray[np.intp], ramp: NDArray[np.uint8]) -> Picture:
    """A picture of counts in the colours of a ramp ``(256, 3)``; empty pixels are transparent."""
    height = heights(counts)
    colours = ramp[(height * 255).astype(np.intp)]
    alpha = np.where(counts > 0, 255, 0)
    return np.concatenate([colours, alpha[..., None].astype(np.uint8)], -1)


def colour_picture(colours: NDArray[Any], counts: NDArray[np.intp]) -> Picture:
    """A picture of mean colours ``(h, w, 3)``, less opaque where fewer points are."""
    picture = np.empty((*counts.shape, 4), np.uint8)
    picture[..., :3] = colours
    picture[..., 3] = np.where(counts > 0, FAINTEST + (1 - FAINTEST) * heights(counts), 0) * 255
    return picture


def dimmed(picture: Picture, share: float) -> Picture:
    """The picture in grey, with that share of its opacity: what is not selected."""
    faded = picture.copy()
    red, green, blue = (picture[..., channel].astype(np.uint16) for channel in range(3))
    faded[..., :3] = ((red + green + blue) // 3)[..., None]
    faded[..., 3] = picture[..., 3] * share
    return faded


def over(front: Picture, back: Picture) -> Picture:
    """The front picture where it has any ink, else the back one."""
    return np.where(front[..., 3:] > 0, front, back)


def disc(radius: float) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Row and column offsets of the pixels of a disc, and which of them are its rim."""
    reach = int(np.ceil(radius))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(rows, columns)
    inside = distance <= radius
    return rows[inside], columns[inside], distance[inside] > radius - max(1.0, radius / 4)


def stamp_dots(
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    colours: Picture,
    shape: tuple[int, int],
    radius: float,
) -> Picture:
    """A picture of dots with a darker rim; later dots lie over earlier ones.

    Parameters
    ----------
    rows, columns
        Pixel of each dot ``(m,)``.
    colours
        ``(m, 4)`` RGBA.
    shape
        Height and width of the picture.
    radius
        Of a dot, pixels.
    """
    height, width = shape
    down, right, edge = disc(radius)
    reach = int(np.max(down, initial=0))
    wide = width + 2 * reach  # a margin, so that no dot has to be cut
    centres = (rows + reach) * wide + columns + reach
    winner = np.zeros((height + 2 * reach) * wide, np.int64)
    # Of several values for one pixel numpy keeps the last: dot by dot, later ones lie on top.
    ink = 2 * np.arange(1, len(rows) + 1)[:, None] + edge
    winner[(centres[:, None] + (down * wide + right)).ravel()] = ink.ravel()
    inner = winner.reshape(-1, wide)[reach : reach + height, reach : reach + width]
    table = np.zeros((2 * len(rows) + 2, 4), np.uint8)
    table[2::2] = table[3::2] = colours
    table[3::2, :3] = colours[:, :3] * 0.6
    return table[inner]
