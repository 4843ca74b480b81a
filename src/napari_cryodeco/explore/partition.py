"""A partition of the particles into clusters, as a value: computed, or changed by hand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from napari_cryodeco.explore.cluster_edit import Edit


@dataclass(frozen=True)
class Clustering:
    """A partition of all particles into k groups, numbered from 0 along the tree of centres.

    Parameters
    ----------
    labels
        ``(n,)`` int64; −1: unassigned (HDBSCAN only).
    posteriors
        ``(n, k)`` float32. Of a mixture they add up to 1; of k-means: 1 for the particle's own
        cluster; of HDBSCAN: strength of membership 0…1 in its own cluster, all 0 if unassigned.
    centres
        ``(k, d)`` float32: mean z of the members. A cluster that is nobody's first choice keeps the
        centre of its own fit, so that nothing is ever NaN.
    rows
        ``(k,)`` int64: the particle nearest to each centre (a member, if there is one).
    method, seed, epoch
        How it was made.
    names
        Names given by hand, one a cluster and empty where none; or none at all.
    edits, before, computed
        What was then done by hand (`regroup`), the `fingerprint` of the clustering that the last of
        it was done to, and how many clusters there were at first. Posteriors of a cluster that was
        merged add up, those of one that was split are shared out.
    """

    labels: np.ndarray
    posteriors: np.ndarray
    centres: np.ndarray
    rows: np.ndarray
    method: str = "gmm"
    seed: int = 0
    epoch: int | None = None
    names: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()
    before: str = ""
    computed: int = 0

    @property
    def counts(self) -> np.ndarray:
        """``(k,)`` particles in each cluster."""
        return np.bincount(self.labels[self.labels >= 0], minlength=len(self.centres))

    @property
    def unassigned(self) -> int:
        """Particles in no cluster."""
        return int((self.labels < 0).sum())

    @property
    def own(self) -> np.ndarray:
        """``(n,)`` posterior of the cluster that each particle is in; of an unassigned one 0."""
        own = np.take_along_axis(self.posteriors, np.maximum(self.labels, 0)[:, None], 1)[:, 0]
        return np.where(self.labels >= 0, own, np.float32(0))

    @property
    def shown(self) -> tuple[str, ...]:
        """What the legend says of each cluster: its name, or its number from 1."""
        given = self.names or ("",) * len(self.centres)
        return tuple(name or str(number) for number, name in enumerate(given, 1))

    @property
    def titles(self) -> tuple[str, ...]:
        """The same where nothing else says that it is a cluster: its name, or "cluster 1"."""
        given = self.names or ("",) * len(self.centres)
        return tuple(name or f"cluster {number}" for number, name in enumerate(given, 1))

    @property
    def fingerprint(self) -> str:
        """A hash of who is in which cluster, how surely, and of the names."""
        found = hashlib.sha256(str(self.names or None).encode())
        for table in (self.labels, self.posteriors):
            found.update(np.ascontiguousarray(table).tobytes())
        return found.hexdigest()

    def members(self, numbers: list[int]) -> np.ndarray:
        """Rows ``(m,)`` of the particles in clusters named from 1, as shown; 0: unassigned.

        Raises
        ------
        ValueError
            For a number that no cluster has.
        """
        least = 0 if self.unassigned else 1
        for number in numbers:
            if not least <= number <= len(self.centres):
                zero = ", and 0 for the unassigned particles" if not least else ""
                raise ValueError(
                    f"There is no cluster {number}: they are numbered from 1 to"
                    f" {len(self.centres)}{zero}."
                )
        return np.flatnonzero(np.isin(self.labels, np.array(numbers) - 1))

    def core(self, rows: np.ndarray, threshold: float) -> np.ndarray:
        """Those of `rows` ``(m,)`` whose posterior of their own cluster is at least `threshold`."""
        return rows[(self.own[rows] >= threshold) & (self.labels[rows] >= 0)]
