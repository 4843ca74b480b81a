"""What the dots of a scatter plot are coloured by: values of n particles, without any Qt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_NAMED_CATEGORIES = 12


@dataclass(frozen=True, eq=False)
class Density:
    """No colour but the number of particles in a pixel."""

    label: str = "particles"


@dataclass(frozen=True, eq=False)
class Continuous:
    """A number per particle.

    Parameters
    ----------
    label
        Name with unit, shown at the colour bar.
    values
        ``(n,)`` float32, NaN where unknown.
    low, high
        Values at the two ends of the palette.
    """

    label: str
    values: NDArray[np.float32]
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Categorical:
    """A class per particle.

    Parameters
    ----------
    label
        Name, shown above the legend.
    codes
        ``(n,)`` integers; −1 means other or unknown.
    names
        Name of code 0, 1, ….
    """

    label: str
    codes: NDArray[np.int32]
    names: tuple[str, ...]


Colouring = Density | Continuous | Categorical


def by_value(label: str, values: NDArray[np.generic]) -> Continuous:
    """Colour by a number; the palette spans the 1st to the 99th percentile, so outliers cannot flatten it."""
    numbers = np.asarray(values, np.float32)
    known = numbers[np.isfinite(numbers)]
    low, high = (float(v) for v in np.percentile(known, (1, 99))) if len(known) else (0.0, 1.0)
    if low == high:
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    return Continuous(label, numbers, low, high if high > low else low + 1.0)


def by_label(label: str, labels: NDArray[np.integer], prefix: str = "") -> Categorical:
    """Colour by labels that count from 0, shown from 1 as in ``rlnClassNumber``."""
    codes = np.asarray(labels, np.int32)
    count = int(codes.max(initial=-1)) + 1
    return Categorical(label, codes, tuple(f"{prefix}{i + 1}" for i in range(count)))


def by_column(label: str, values: NDArray[np.generic]) -> Colouring:
    """Colour by a column of the user's file.

    Text, and whole numbers of at most twelve kinds (class, optics group), become categories: the twelve
    commonest get a colour, the rest is *other*. All else is a number.
    """
    values = np.asarray(values)
    numeric = np.issubdtype(values.dtype, np.number) or values.dtype == np.bool_
    if numeric and not _few_whole_numbers(values):
        return by_value(label, values)
    kinds, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(kinds) <= MAX_NAMED_CATEGORIES:
        return Categorical(label, codes.astype(np.int32), tuple(_name(kind) for kind in kinds))
    common = np.sort(np.argsort(-counts, kind="stable")[:MAX_NAMED_CATEGORIES])
    place = np.full(len(kinds), -1, np.int32)
    place[common] = np.arange(len(common), dtype=np.int32)
    return Categorical(label, place[codes], tuple(_name(kinds[i]) for i in common))


def _few_whole_numbers(values: NDArray[np.generic]) -> bool:
    if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
        return False
    kinds = np.unique(values)
    return len(kinds) <= MAX_NAMED_CATEGORIES and bool(
        np.all(kinds == np.round(kinds.astype(float)))
    )


def _name(kind: np.generic) -> str:
    return f"{float(kind):g}" if np.issubdtype(kind.dtype, np.number) else str(kind)
