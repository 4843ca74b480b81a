"""The figures of the prior's proofs, drawn from what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napari_cryodeco.atomic import replacing

matplotlib.use("Agg")
# told apart by the colour-blind, too: Okabe and Ito's colours
GREY, BLUE, ORANGE, GREEN, PURPLE = "#9a9a9a", "#0072b2", "#d55e00", "#009e73", "#cc79a7"
LINES = (ORANGE, BLUE, GREEN, PURPLE, GREY)


@dataclass(frozen=True)
class Bar:
    """One bar: its name, mean and spread, and whether it is what is being shown."""

    name: str
    mean: float
    spread: float
    ours: bool


@dataclass(frozen=True)
class Line:
    """One curve with the range of its seeds: `y` ``(seeds, x)``."""

    name: str
    x: Sequence[float]
    y: np.ndarray


def figure(width: float, height: float) -> Figure:
    """An empty figure, inches."""
    return Figure(figsize=(width, height), layout="constrained", dpi=130)


def save(drawn: Figure, path: Path) -> None:
    """Write it as a whole."""
    with replacing(path) as part:
        drawn.savefig(part)
    print(f"wrote {path}", flush=True)


def tidy(axes: Axes, title: str = "", x: str = "", y: str = "") -> Axes:
    """Titles, and no frame where there is nothing to read."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(labelsize=7)
    return axes


def bars(axes: Axes, rows: Sequence[Bar], title: str, label: str, chance: float | None) -> None:
    """Horizontal bars with error bars, each with its figure."""
    place = np.arange(len(rows))[::-1]
    colours = [ORANGE if row.ours else GREY for row in rows]
    means = [row.mean for row in rows]
    axes.barh(place, means, xerr=[row.spread for row in rows], color=colours, ecolor="black")
    for height, row in zip(place, rows, strict=True):
        end = row.mean + row.spread + 0.015
        axes.text(end, height, f"{row.mean:.2f}", va="center", fontsize=7)
    if chance is not None:
        axes.axvline(chance, color="black", linewidth=0.8, linestyle=":")
    axes.set_yticks(place, [row.name for row in rows])
    axes.set_xlim(0, 1.08)
    tidy(axes, title, label)


def scatter(axes: Axes, where: np.ndarray, labels: np.ndarray, title: str) -> None:
    """Points ``(n, 2)`` coloured by species."""
    colours = matplotlib.colormaps["tab20"](labels % 20)
    axes.scatter(*where.T, s=1.5, c=colours, linewidths=0, rasterized=True)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=9, loc="left")


def curves(axes: Axes, lines: Sequence[Line], title: str, x: str, y: str) -> None:
    """Means of the seeds with their range."""
    for line, colour in zip(lines, LINES, strict=False):
        axes.plot(line.x, line.y.mean(0), color=colour, label=line.name, marker="o", markersize=3)
        axes.fill_between(line.x, line.y.min(0), line.y.max(0), color=colour, alpha=0.2, lw=0)
    tidy(axes, title, x, y)
    axes.legend(fontsize=7, frameon=False)


def embedded(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """UMAP ``(n, 2)`` of features ``(n, f)``."""
    from umap import UMAP

    return UMAP(n_neighbors=20, min_dist=0.2, random_state=seed, n_jobs=1).fit_transform(points)
