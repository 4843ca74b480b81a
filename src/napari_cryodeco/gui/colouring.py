"""What the dots of a scatter plot are coloured by: values of n particles, without any Qt."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_cryodeco.explore.replay import category_name

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
        Name of the column: recipes refer to it.
    values
        ``(n,)`` float32, NaN where unknown.
    low, high
        Values at the two ends of the palette.
    title
        What is shown in place of the label, with the unit.
    cyclic
        Whether both ends are the same colour, as for an angle.
    """

    label: str
    values: NDArray[np.float32]
    low: float
    high: float
    title: str = ""
    cyclic: bool = False


@dataclass(frozen=True, eq=False)
class Categorical:
    """A class per particle.

    Parameters
    ----------
    label
        Name of the column: recipes refer to it.
    codes
        ``(n,)`` integers; −1 means other or unknown.
    names
        Name of code 0, 1, ….
    rest
        Name of code −1.
    title
        What is shown above the legend in place of the label.
    """

    label: str
    codes: NDArray[np.int32]
    names: tuple[str, ...]
    rest: str = "other"
    title: str = ""


@dataclass(frozen=True, eq=False)
class Directional:
    """A viewing direction per particle: `azimuth` and `tilt` ``(n,)`` float32, degrees."""

    azimuth: NDArray[np.float32]
    tilt: NDArray[np.float32]
    label: str = "viewing direction"
    title: str = ""


Colouring = Density | Continuous | Categorical | Directional


def title_of(colouring: Continuous | Categorical | Directional) -> str:
    """What is shown at the colour bar, the legend and the axis."""
    return colouring.title or colouring.label


def by_angle(label: str, values: NDArray[np.generic], period: float, title: str = "") -> Continuous:
    """Colour by an angle that comes round after `period`, in the unit of the values."""
    numbers = np.asarray(values, np.float32)
    low = 0.0 if np.nanmin(numbers, initial=0.0) >= 0 else -period / 2
    return Continuous(label, numbers, low, low + period, title, cyclic=True)


def by_value(label: str, values: NDArray[np.generic], title: str = "") -> Continuous:
    """Colour by a number, from its 1st to its 99th percentile: outliers do not flatten it."""
    numbers = np.asarray(values, np.float32)
    finite = np.isfinite(numbers)
    known = numbers if finite.all() else numbers[finite]
    low, high = (float(v) for v in np.percentile(known, (1, 99))) if len(known) else (0.0, 1.0)
    if low == high:
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    return Continuous(label, numbers, low, high if high > low else low + 1.0, title)


def by_label(
    label: str, labels: NDArray[np.integer], names: tuple[str, ...] | None = None
) -> Categorical:
    """Colour by labels from 0, shown from 1 as in ``rlnClassNumber``, or by `names` of theirs.

    −1 is unassigned.
    """
    codes = np.asarray(labels, np.int32)
    count = int(codes.max(initial=-1)) + 1
    numbers = tuple(f"{i + 1}" for i in range(count))
    return Categorical(label, codes, numbers if names is None else names, "unassigned")


def by_column(label: str, values: NDArray[np.generic], title: str = "") -> Colouring:
    """Colour by a column of the particles.

    Text, and whole numbers of at most twelve kinds (class, optics group), become categories: the
    twelve commonest get a colour, the rest is *other*. All else is a number.
    """
    values = np.asarray(values)
    if np.issubdtype(values.dtype, np.number) and not _few_whole_numbers(values):
        return by_value(label, values, title)
    counts = Counter(values.tolist())
    kinds = sorted(kind for kind, _ in counts.most_common(MAX_NAMED_CATEGORIES))
    place = {kind: code for code, kind in enumerate(kinds)}
    codes = np.fromiter((place.get(v, -1) for v in values.tolist()), np.int32, len(values))
    return Categorical(label, codes, tuple(map(category_name, kinds)), title=title)


def _few_whole_numbers(values: NDArray[np.generic]) -> bool:
    numbers = np.asarray(values, float)
    if not np.isfinite(numbers).all():
        return False
    kinds = np.unique(numbers[:1000])
    if len(kinds) > MAX_NAMED_CATEGORIES or bool(np.any(kinds != np.round(kinds))):
        return False
    kinds = np.unique(numbers)
    return len(kinds) <= MAX_NAMED_CATEGORIES and bool(np.all(kinds == np.round(kinds)))
