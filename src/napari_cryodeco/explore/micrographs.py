"""Particles by the micrograph they were picked from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_cryodeco.explore.replay import category_name


@dataclass(frozen=True, eq=False)
class Micrographs:
    """Micrographs of n particles.

    Parameters
    ----------
    names
        Of m micrographs, in the order of their first particle.
    place
        ``(n,)`` int32: that of each particle.
    counts
        ``(m,)`` particles in each.
    """

    names: tuple[str, ...]
    place: np.ndarray
    counts: np.ndarray

    def chosen(self, mask: np.ndarray) -> np.ndarray:
        """Count the marked particles ``(n,)`` bool in each micrograph ``(m,)``."""
        return np.bincount(self.place[mask], minlength=len(self.names))


NONE = Micrographs((), np.empty(0, np.int32), np.empty(0, np.int64))


def by_micrograph(values: np.ndarray) -> Micrographs:
    """Sort particles by a column ``(n,)``; names are as recipes write them."""
    known: dict[object, int] = {}
    texts = values.tolist()
    place = np.fromiter((known.setdefault(t, len(known)) for t in texts), np.int32, len(texts))
    names = tuple(category_name(name) for name in known)
    return Micrographs(names, place, np.bincount(place, minlength=len(names)))
