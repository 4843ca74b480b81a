"""How much a quantity differs between some particles and the rest: 0 not at all, 1 entirely.

Every quantity is sorted into bins first. The distance of the two histograms is compared with those
of random selections of the same size (multivariate hypergeometric draws of the bins: exactly what
shuffling the selection gives, ties included). At large n everything is significant, so that is not
asked; what counts is the size of the distance beyond the one by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch

from napari_cryodeco.imaging import so3

Statistic = Literal["KS distance", "Kuiper distance", "Cramér's V", "cap distance"]
Grade = Literal["none", "weak", "clear", "strong"]
WEAK, CLEAR, STRONG = 0.1, 0.25, 0.5  # of the distance beyond chance
SURE = 4.0  # standard deviations of the distances of random selections
FEWEST = 10  # particles in the selection, and in the rest
_BINS = 1000
_DRAWS = 200
_PIXELS, _CENTRES = 3000, 300  # directions: 4° apart, and cap centres 12° apart


@dataclass(frozen=True)
class Difference:
    """A distance between the histograms of a selection and of the rest.

    Parameters
    ----------
    statistic
        Which one.
    distance
        0…1.
    expected, spread
        Mean and standard deviation of that of random selections of the same size.
    chance
        Share of random selections with at least this distance; 1/201 is the least that is told.
    """

    statistic: Statistic
    distance: float
    expected: float
    spread: float
    chance: float

    @property
    def excess(self) -> float:
        """The distance beyond the one by chance, 0…1."""
        return max(0.0, (self.distance - self.expected) / max(1 - self.expected, 1e-12))

    @property
    def grade(self) -> Grade:
        """How much it is, "none" where random selections could have it too."""
        if self.distance <= self.expected + SURE * self.spread or self.excess < WEAK:
            return "none"
        if self.excess < CLEAR:
            return "weak"
        return "clear" if self.excess < STRONG else "strong"


@dataclass(frozen=True)
class Cap:
    """Where a selection is seen from much more, or much less, than the rest.

    `direction` ``(3,)``, `radius` of the cap about it in rad, and the shares of the selection and
    of the rest within.
    """

    direction: np.ndarray
    radius: float
    inside: float
    rest: float


def of_numbers(values: np.ndarray, chosen: np.ndarray, seed: int = 0) -> Difference:
    """Kolmogorov-Smirnov distance: the largest difference of the two cumulative shares.

    Exact for up to a thousand different values; else within a thousandth.

    Parameters
    ----------
    values, chosen
        ``(n,)`` finite numbers, and whether they are of the selection.
    """
    return _compared("KS distance", _quantile_bins(values), chosen, seed, _largest_step)


def of_angles(values: np.ndarray, period: float, chosen: np.ndarray, seed: int = 0) -> Difference:
    """Kuiper distance, the one of Kolmogorov and Smirnov that does not ask where a turn begins."""
    return _compared("Kuiper distance", _quantile_bins(values % period), chosen, seed, _both_steps)


def of_kinds(codes: np.ndarray, chosen: np.ndarray, seed: int = 0) -> Difference:
    """Cramér's V of kind and membership, selection and rest weighing the same.

    Unweighted it could not reach 1 for a selection much smaller than the rest.

    Parameters
    ----------
    codes
        ``(n,)`` kinds from 0.
    """
    return _compared("Cramér's V", codes, chosen, seed, _cramer)


def of_directions(
    directions: np.ndarray, chosen: np.ndarray, seed: int = 0
) -> tuple[Difference, Cap]:
    """Cap distance: the largest difference of the shares within any cap of the sphere.

    The likeness of Kolmogorov and Smirnov on the sphere: no frame is preferred. Directions are
    taken to 4°, the centres of caps 12° apart.

    Parameters
    ----------
    directions
        ``(n, 3)`` unit vectors.
    """
    pixels = _nearest(directions)
    found = _compared("cap distance", pixels, chosen, seed, _largest_cap, _PIXELS)
    inside, outside = (
        _shares(np.bincount(pixels[m], minlength=_PIXELS)) for m in (chosen, ~chosen)
    )
    return found, _cap_of(inside, outside)


def _cap_of(inside: np.ndarray, outside: np.ndarray) -> Cap:
    """The cap of the largest difference, or what is outside of it where that is the smaller."""
    steps = np.abs(_by_caps(inside - outside))
    centre, last = np.unravel_index(int(steps.argmax()), steps.shape)
    centres, order, cosines = _caps()
    within = order[centre, : last + 1]
    radius = float(np.arccos(np.clip(cosines[centre, last], -1, 1)))
    shares = float(inside[within].sum()), float(outside[within].sum())
    if radius <= np.pi / 2:
        return Cap(centres[centre], radius, *shares)
    return Cap(-centres[centre], np.pi - radius, 1 - shares[0], 1 - shares[1])


def _compared(
    statistic: Statistic,
    codes: np.ndarray,
    chosen: np.ndarray,
    seed: int,
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    bins: int | None = None,
) -> Difference:
    count, n = int(chosen.sum()), len(chosen)
    if min(count, n - count) < FEWEST:
        raise ValueError(
            f"{count:,} of {n:,} particles are selected: at least {FEWEST} in the selection and in "
            "the rest are needed to compare them."
        )
    totals = np.bincount(codes, minlength=bins or 0).astype(np.int64)
    own = np.bincount(codes[chosen], minlength=len(totals))

    def distances(counts: np.ndarray) -> np.ndarray:
        return measure(counts / count, (totals - counts) / (n - count))

    draw = np.random.default_rng(seed).multivariate_hypergeometric
    by_chance = distances(draw(totals, count, _DRAWS, method="marginals"))
    distance = float(distances(own[None])[0])
    as_large = int((by_chance >= distance - 1e-12).sum())
    return Difference(
        statistic,
        distance,
        float(by_chance.mean()),
        float(by_chance.std()),
        (1 + as_large) / (1 + _DRAWS),
    )


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts / max(1, counts.sum())


def _quantile_bins(values: np.ndarray) -> np.ndarray:
    """Bin of each value ``(n,)``: one a value, or a thousand of about equally many particles."""
    kinds = np.unique(values)
    if len(kinds) > _BINS:
        kinds = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:], method="nearest"))
    return np.searchsorted(kinds, values)


def _largest_step(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.abs((p - q).cumsum(1)).max(1)


def _both_steps(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    steps = (p - q).cumsum(1)
    return steps.max(1, initial=0) - steps.min(1, initial=0)


def _cramer(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    both = p + q
    parts = np.divide((p - q) ** 2, both, out=np.zeros_like(both), where=both > 0)
    return np.sqrt(parts.sum(1) / 2)


def _largest_cap(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    sums = (_by_caps(row) for row in p - q)
    return np.array([max(steps.max(), -steps.min()) for steps in sums], dtype=np.float64)


def _by_caps(difference: np.ndarray) -> np.ndarray:
    """Sums ``(centres, pixels)`` of values of the pixels ``(p,)`` over caps that grow."""
    _, order, _ = _caps()
    return difference.astype(np.float32)[order].cumsum(1)


@cache
def _caps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cap centres ``(c, 3)``; of each the pixels from the nearest on, and their cosines to it."""
    centres, pixels = _sphere(_CENTRES), _sphere(_PIXELS)
    cosines = centres @ pixels.T
    order = np.argsort(-cosines, axis=1, kind="stable")
    return centres, order, np.take_along_axis(cosines, order, 1)


@cache
def _sphere(count: int) -> np.ndarray:
    heights = 1 - 2 * (torch.arange(count, dtype=torch.float64) + 0.5) / count
    found: np.ndarray = so3.spiral(heights).numpy()
    return found


def _nearest(directions: np.ndarray) -> np.ndarray:
    """Pixel ``(n,)`` that each direction is nearest to."""
    from scipy.spatial import cKDTree  # half a second to import

    found: np.ndarray = cKDTree(_sphere(_PIXELS)).query(directions)[1]
    return found
