"""A picture of a view of the latents with some groups of particles in colour: PNG and SVG.

All particles are there as grey levels of their density, so that millions make no large file.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from napari_cryodeco.explore.palette import category
from napari_cryodeco.explore.partition import Clustering
from napari_cryodeco.explore.projection import Projection
from napari_cryodeco.explore.raster import dots, places, shades, span

_SIDE = 720  # pixels of the plot; twice as many in the picture
_LEFT, _TOP, _RIGHT, _BOTTOM = 70, 20, 240, 60
_INK, _FRAME = "#202020", "#808080"


@dataclass(frozen=True, eq=False)
class Group:
    """Particles to be shown: a name for the legend, `rows` ``(m,)`` and a colour ``#RRGGBB``."""

    name: str
    rows: np.ndarray
    colour: str


def cluster_groups(clusters: Clustering) -> tuple[Group, ...]:
    """Each cluster that has particles, by name or number, in its colour."""
    return tuple(
        Group(title, clusters.members([place + 1]), category(place))
        for place, title in enumerate(clusters.titles)
        if clusters.counts[place]
    )


@dataclass(frozen=True, eq=False)
class Figure:
    """A drawn view.

    `plot` ``(h, w, 3)`` uint8 with all particles; `x`, `y` the ranges it spans; `labels` of the
    axes; `legend` names with their colours.
    """

    plot: np.ndarray
    x: tuple[float, float]
    y: tuple[float, float]
    labels: tuple[str, str]
    legend: tuple[tuple[str, str], ...]


def draw(projection: Projection, groups: Sequence[Group], axes: tuple[int, int] = (0, 1)) -> Figure:
    """Draw a view: all particles in grey, the groups over them in their colours.

    Parameters
    ----------
    projection
        Its coordinates ``(n, c)``; a view of one dimension is drawn along x.
    axes
        Which of them, from 0.
    """
    table = projection.coordinates
    second = axes[1] if table.shape[1] > axes[1] else None
    x = table[:, axes[0]]
    y = np.zeros(len(table)) if second is None else table[:, second]
    known = np.isfinite(x) & np.isfinite(y)  # the others are not of this view
    ranges = span(x[known]), span(y[known])
    side = 2 * _SIDE
    at = places(np.where(known, x, 0), np.where(known, y, 0), ranges, side)
    spread = dots(at[:, known], side, len(table))
    grey = 235 - 135 * shades(spread)
    plot = np.repeat(np.where(spread > 0, grey, 255).astype(np.uint8)[..., None], 3, axis=2)
    for group in groups:
        shown = group.rows[known[group.rows]]
        there = dots(at[:, shown], side, len(table)) > 0
        plot[there] = ImageColor.getrgb(group.colour)[:3]
    method = {"pca": "PC", "umap": "UMAP "}.get(projection.method, f"{projection.method} ")
    names = f"{method}{axes[0] + 1}", "" if second is None else f"{method}{second + 1}"
    n = len(table)
    legend = [(f"{g.name}: {len(g.rows):,} ({len(g.rows) / n:.1%})", g.colour) for g in groups]
    return Figure(plot, *ranges, names, (*legend, (f"all: {n:,}", "#A0A0A0")))


def write_png(figure: Figure, path: Path) -> None:
    """Write the figure as PNG, two pixels a point."""
    width, height = (2 * v for v in _size())
    picture = Image.new("RGB", (width, height), "white")
    picture.paste(Image.fromarray(figure.plot), (2 * _LEFT, 2 * _TOP))
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(24)
    box = (2 * _LEFT, 2 * _TOP, 2 * (_LEFT + _SIDE), 2 * (_TOP + _SIDE))
    pen.rectangle(box, outline=_FRAME, width=2)
    for x, y, text, anchor in _texts(figure):
        pen.text((2 * x, 2 * y), text, fill=_INK, font=font, anchor=anchor)
    for x, y, colour in _swatches(figure):
        pen.rectangle((2 * x, 2 * y, 2 * x + 24, 2 * y + 24), fill=colour)
    picture.save(path)


def write_svg(figure: Figure, path: Path) -> None:
    """Write the figure as SVG: text and frame as such, the particles as one image in it."""
    width, height = _size()
    data = io.BytesIO()
    Image.fromarray(figure.plot).save(data, "PNG")
    image = base64.b64encode(data.getvalue()).decode()
    anchors = {"m": "middle", "l": "start", "r": "end"}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<image x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}"'
        f' href="data:image/png;base64,{image}"/>',
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" fill="none"'
        f' stroke="{_FRAME}"/>',
    ]
    for x, y, text, anchor in _texts(figure):
        lines.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchors[anchor[0]]}" fill="{_INK}"'
            f' dominant-baseline="middle">{escape(text)}</text>'
        )
    for x, y, colour in _swatches(figure):
        lines.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>')
    path.write_text("\n".join([*lines, "</svg>"]) + "\n", encoding="utf-8")


def _size() -> tuple[int, int]:
    return _LEFT + _SIDE + _RIGHT, _TOP + _SIDE + _BOTTOM


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers in a range, five or so."""
    rough = (high - low) / 7
    decade = 10.0 ** np.floor(np.log10(rough))
    step = next(decade * factor for factor in (1, 2, 5, 10) if decade * factor >= rough)
    first = int(np.ceil(low / step))
    return [i * step for i in range(first, int(np.floor(high / step)) + 1)]


def _texts(figure: Figure) -> list[tuple[float, float, str, str]]:
    """Place (points from the upper left), text and anchor of all words."""
    (x0, x1), (y0, y1) = figure.x, figure.y
    bottom = _TOP + _SIDE
    found = [
        (_LEFT + _SIDE * (v - x0) / (x1 - x0), bottom + 14.0, f"{v:g}", "mm")
        for v in _ticks(x0, x1)
    ]
    found.append((_LEFT + _SIDE / 2, bottom + 40.0, figure.labels[0], "mm"))
    if figure.labels[1]:
        found += [
            (_LEFT - 8.0, bottom - _SIDE * (v - y0) / (y1 - y0), f"{v:g}", "rm")
            for v in _ticks(y0, y1)
        ]
        found.append((10.0, _TOP + 8.0, figure.labels[1], "lm"))
    names = enumerate(name for name, _ in figure.legend)
    return [*found, *((_LEFT + _SIDE + 34.0, _TOP + 12.0 + 22 * i, n, "lm") for i, n in names)]


def _swatches(figure: Figure) -> list[tuple[int, int, str]]:
    colours = enumerate(colour for _, colour in figure.legend)
    return [(_LEFT + _SIDE + 14, _TOP + 6 + 22 * i, colour) for i, colour in colours]
