"""The free energy −ln p of a view of the latents, in kT, and its minima.

The density p of all particles in the plane is a histogram smoothed by a Gaussian. A minimum counts
if one has to climb so many kT out of it before the way goes down to a deeper one: its persistence,
which noise and bandwidth hardly change.

Source: persistence-based clustering, Chazal, Guibas, Oudot & Skraba 2013, J. ACM 60:41; bandwidth,
Scott 1992, Multivariate Density Estimation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

DEPTH = 1.0  # kT: less is no barrier to thermal motion
SMOOTHING = 0.5  # of Scott's bandwidth, which takes all particles for one lump
FEWEST = 4.0  # particles under the kernel, from which a density is known
CAVEAT = (
    "−ln p counts the particles that were imaged and picked, on the grid: freezing, the air-water "
    "interface and picking shift populations. It is no free energy of molecules in solution."
)
OF_UMAP = "UMAP does not keep densities: read depths over PCA axes."
PREFIX = "free energy of "


@dataclass(frozen=True)
class Minimum:
    """A minimum of the free energy.

    Parameters
    ----------
    x, y
        Its place in the view.
    energy
        kT above the deepest minimum.
    depth
        kT that one has to climb out of it to reach a deeper one; where no particles lie between,
        or there is no deeper one, `closed`: at least so much.
    share
        Of the particles that have a place in the view, those in its basin.
    row
        The particle nearest to it in the view.
    """

    x: float
    y: float
    energy: float
    depth: float
    closed: bool
    share: float
    row: int


@dataclass(frozen=True, eq=False)
class FreeEnergy:
    """Of a view: `x` ``(c,)``, `y` ``(r,)`` the centres of cells.

    `density` ``(r, c)`` is 1 at the deepest minimum, known where it is at least `floor`; `basin`
    ``(r, c)`` counts minima from 0, −1: none. `minima` begin with the deepest.
    """

    x: np.ndarray
    y: np.ndarray
    density: np.ndarray
    floor: float
    basin: np.ndarray
    minima: tuple[Minimum, ...]

    @property
    def energy(self) -> np.ndarray:
        """Energy ``(r, c)``, kT; NaN where there are too few particles."""
        known = np.maximum(self.density, self.floor)
        return np.where(self.density >= self.floor, -np.log(known), np.nan)

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Energy ``(n,)`` float32, kT, at places of the view; NaN where it is not known."""
        from scipy.ndimage import map_coordinates  # scipy takes long to import

        places = [_cells(values, ends) for values, ends in ((y, self.y), (x, self.x))]
        known = np.isfinite(places[0]) & np.isfinite(places[1])
        found = np.zeros(len(known))
        inside = [np.where(known, place, 0) for place in places]
        found = map_coordinates(self.density, inside, order=1, cval=0.0)
        known &= found >= self.floor
        return np.where(known, -np.log(np.maximum(found, self.floor)), np.nan).astype(np.float32)

    def contours(self, step: float = 1.0) -> tuple[tuple[float, np.ndarray], ...]:
        """Lines of equal energy: kT and places ``(m, 2)``, from `step` upwards."""
        from skimage.measure import find_contours

        energy = -np.log(np.maximum(self.density, 1e-3 * self.floor))  # lines end nowhere
        highest = -float(np.log(self.floor))
        spacing = self.x[1] - self.x[0], self.y[1] - self.y[0]
        found = []
        for level in np.arange(step, highest, step).tolist():
            for line in find_contours(energy, level):
                places = self.x[0] + line[:, 1] * spacing[0], self.y[0] + line[:, 0] * spacing[1]
                found.append((level, np.column_stack(places)))
        return tuple(found)

    def record(self) -> list[dict[str, Any]]:
        """The minima as plain values for JSON, numbered from 1."""
        return [
            {
                "number": number,
                "x": one.x,
                "y": one.y,
                "energy_kT": one.energy,
                "depth_kT": one.depth,
                "depth_is_at_least": one.closed,
                "share": one.share,
                "row": one.row,
            }
            for number, one in enumerate(self.minima, 1)
        ]


def free_energy(
    x: np.ndarray, y: np.ndarray, depth: float = DEPTH, smoothing: float = SMOOTHING
) -> FreeEnergy:
    """Free energy of all particles at places ``(n,)``, ``(n,)`` of a view.

    Parameters
    ----------
    x, y
        Particles that have no finite place are not of this view. A view of one dimension has one y.
    depth
        kT that a minimum must be deep to count.
    smoothing
        Standard deviation of the kernel, in units of Scott's bandwidth.

    Raises
    ------
    ValueError
        When fewer than 20 particles have a place, or a number is not positive.
    """
    from scipy.ndimage import gaussian_filter

    if not depth > 0 or not smoothing > 0:
        raise ValueError(f"Depth {depth:g} kT, smoothing {smoothing:g}: both must be above 0.")
    known = np.isfinite(x) & np.isfinite(y)
    count = int(known.sum())
    if count < 20:
        raise ValueError(f"{count} particles are too few for a free energy: 20 are needed.")
    places = [np.asarray(values, float)[known] for values in (x, y)]
    axes = [_axis(values, count, smoothing) for values in places]
    (columns, wide), (rows, tall) = axes
    counts, _, _ = np.histogram2d(places[1], places[0], bins=[rows, columns])
    step_x, step_y = columns[1] - columns[0], rows[1] - rows[0]
    smooth = gaussian_filter(counts, (tall / step_y, wide / step_x), mode="constant")
    # Of a Gaussian kernel 4π h_x h_y p n is the number of particles that a density rests on.
    resting = smooth / (step_x * step_y) * 4 * np.pi * wide * tall
    highest = float(smooth.max())
    density = smooth / highest
    floor = max(FEWEST / float(resting.max()), 1e-12)
    basin, found = _basins(density, min(floor, 0.5), depth)
    x_centres, y_centres = ((edges[1:] + edges[:-1]) / 2 for edges in (columns, rows))
    shares = np.bincount(basin[basin >= 0], counts[basin >= 0], len(found)) / count
    minima = tuple(
        _minimum(x, y, (x_centres[column], y_centres[row]), energy, climb, closed, share)
        for ((row, column), energy, climb, closed), share in zip(found, shares, strict=True)
    )
    return FreeEnergy(x_centres, y_centres, density, min(floor, 0.5), basin, minima)


def energy_column(name: str, column: Callable[[str], np.ndarray]) -> np.ndarray | None:
    """Energy ``(n,)``, kT, of a column "free energy of PC1, PC2"; None for any other name."""
    named = re.fullmatch(rf"{PREFIX}(.+?)(?:, (.+))?", name)
    if named is None:
        return None
    x = column(named[1])
    y = column(named[2]) if named[2] else np.zeros_like(x)
    return free_energy(x, y).at(x, y)


def _axis(values: np.ndarray, count: int, smoothing: float) -> tuple[np.ndarray, float]:
    """Edges of cells along an axis, and the standard deviation of the kernel."""
    low, quarter, three, high = np.quantile(values, (0.0005, 0.25, 0.75, 0.9995))
    spread = min(float(values.std()), float(three - quarter) / 1.349 or np.inf)
    width = smoothing * count ** (-1 / 6) * spread
    if not width > 0:  # all at one value
        return np.linspace(low - 0.5, low + 0.5, 34), 3 / 33
    low, high = low - 4 * width, high + 4 * width
    cells = int(np.clip(2 * (high - low) / width, 48, 320))
    return np.linspace(low, high, cells + 1), max(width, (high - low) / cells)


def _cells(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    cells: np.ndarray = (np.asarray(values, float) - centres[0]) / (centres[1] - centres[0])
    return cells


def _minimum(
    x: np.ndarray,
    y: np.ndarray,
    at: tuple[float, float],
    energy: float,
    climb: float,
    closed: bool,
    share: float,
) -> Minimum:
    distance = (x - at[0]) ** 2 + (y - at[1]) ** 2
    row = int(np.nanargmin(distance))
    return Minimum(float(at[0]), float(at[1]), energy, climb, closed, float(share), row)


def _basins(
    density: np.ndarray, floor: float, depth: float
) -> tuple[np.ndarray, list[tuple[tuple[int, int], float, float, bool]]]:
    """Basin of each cell, and cell, energy, depth and whether it is closed, of each minimum."""
    rows, columns = density.shape
    wide = columns + 2
    energy = np.pad(-np.log(np.maximum(density, floor)), 1).ravel()
    known = np.pad(density >= floor, 1).ravel()
    order = np.flatnonzero(known)
    order = order[np.argsort(energy[order], kind="stable")]
    limit = -float(np.log(floor))
    home, heir, saddle = _flooded(energy, order, wide, depth)
    roots = [
        root
        for root in sorted(heir, key=lambda r: (energy[r], r))
        if heir[root] == root and saddle.get(root, limit) - energy[root] >= depth
    ] or [int(order[0])]
    number = {root: place for place, root in enumerate(roots)}
    basin = np.full(len(energy), -1)
    basin[order] = [number.get(_root(heir, int(home[cell])), -1) for cell in order.tolist()]
    found = [
        (
            (root // wide - 1, root % wide - 1),
            abs(float(energy[root])),  # no −0
            saddle.get(root, limit) - float(energy[root]),
            root not in saddle,
        )
        for root in roots
    ]
    return basin.reshape(rows + 2, wide)[1:-1, 1:-1], found


def _flooded(
    energy: np.ndarray, order: np.ndarray, wide: int, depth: float
) -> tuple[np.ndarray, dict[int, int], dict[int, float]]:
    """The minimum that each cell flows to at first, the heirs of minima that end, and saddles.

    Cells are flooded from the deepest upwards, in `order`. Where two lakes meet, the shallower one
    has its saddle: the way from it to a deeper minimum, which may lead through basins of others.
    Unless it is deep enough, its basin ends there; it is then the only one of its lake.
    """
    home = np.full(len(energy), -1)
    heir: dict[int, int] = {}
    lake: dict[int, int] = {}  # of minima: a deeper one that they have met, ended or not
    saddle: dict[int, float] = {}
    around = [-wide - 1, -wide, -wide + 1, -1, 1, wide - 1, wide, wide + 1]
    for cell in order.tolist():
        wet = [cell + step for step in around if home[cell + step] >= 0]
        if not wet:
            home[cell] = heir[cell] = lake[cell] = cell
            continue
        lowest = min(wet, key=lambda other: (energy[other], other))
        home[cell] = _root(heir, int(home[lowest]))
        basins = {_root(heir, int(home[other])) for other in wet}
        met = sorted({_root(lake, root) for root in basins}, key=lambda r: (energy[r], r))
        deepest = [root for root in basins if _root(lake, root) == met[0]]
        for shallow in met[1:]:
            saddle[shallow] = float(energy[cell])
            if energy[cell] - energy[shallow] < depth:
                heir[shallow] = min(deepest, key=lambda r: (energy[r], r))
        lake.update(dict.fromkeys(met, met[0]))
    return home, heir, saddle


def _root(heir: dict[int, int], root: int) -> int:
    while heir[root] != root:
        root = heir[root]
    return root
