"""Whether clusters come back: the same made again from other seeds and parts of the particles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.explore.clustering import Clustering, partition_again
from napari_cryodeco.explore.projection import Progress
from napari_cryodeco.explore.scores import best_naming, contingency, rand_index
from napari_cryodeco.runs.store import read_tensors, write_tensors

SHARE = 0.8  # of the particles that each trial is fitted on
STABLE, DOUBTFUL = 0.75, 0.6
"""Mean Jaccard index of a cluster: above, it is a pattern; below the second, do not trust it.

Source: Hennig 2007, Cluster-wise assessment of cluster stability.
"""


@dataclass(frozen=True, eq=False)
class Stability:
    """How steady the clusters of a partition are.

    Parameters
    ----------
    confidence
        ``(n,)`` float32: mean posterior, over the trials, of the cluster that a particle is in; 0
        where it is in none.
    jaccard
        ``(k,)`` mean over the trials of common members over the members of either.
    agreement
        ``(trials,)`` adjusted Rand index of each trial with the partition.
    labels
        ``(n,)`` the partition that was tried, from 0.
    """

    confidence: np.ndarray
    jaccard: np.ndarray
    agreement: np.ndarray
    labels: np.ndarray

    def core(self, rows: np.ndarray, threshold: float) -> np.ndarray:
        """Those of `rows` ``(m,)`` whose confidence is at least `threshold`."""
        return rows[self.confidence[rows] >= threshold]

    def sentences(self) -> list[str]:
        """One line a cluster, for people."""
        return [
            f"cluster {number}: comes back with a Jaccard index of {value:.2f}: {_word(value)}"
            for number, value in enumerate(self.jaccard.tolist(), 1)
        ]


def _word(jaccard: float) -> str:
    if jaccard >= STABLE:
        return "stable"
    return "doubtful" if jaccard >= DOUBTFUL else "not stable"


def stability(
    clusters: Clustering,
    space: np.ndarray,
    trials: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> Stability:
    """Make clusters again from other seeds, each on four fifths of the particles.

    The clusters of a trial are named as those of the partition so that most particles keep their
    name (Hungarian); a cluster that has no partner counts as lost.

    Parameters
    ----------
    clusters, space
        The partition, and ``(n, c)`` where it was sought.
    trials, seed
        How many, and the first of their seeds; that of the partition is never used again.
    progress
        Called with (done, in all); raising in it cancels.

    Raises
    ------
    ValueError
        For fewer than two trials, or clusters that were regrouped by hand.
    """
    if any(edit.regroups for edit in clusters.edits):
        raise ValueError(
            "These clusters were changed by hand, which no other seed does again: undo that, or "
            "cluster again, to see whether computed clusters come back."
        )
    if trials < 2:
        raise ValueError(f"{trials} trials say nothing about stability: take at least 2.")
    n, k = len(clusters.labels), len(clusters.centres)
    confidence, jaccard, agreement = np.zeros(n), np.zeros(k), np.zeros(trials)
    seeds = [s for s in range(seed + 1, seed + trials + 2) if s != clusters.seed][:trials]
    for trial, other in enumerate(seeds):
        labels, posteriors = partition_again(clusters, space, other, SHARE)
        named, found = _as_in(clusters.labels, labels, k, posteriors.shape[1])
        for cluster, partner in zip(named.tolist(), found.tolist(), strict=True):
            here, there = clusters.labels == cluster, labels == partner
            jaccard[cluster] += (here & there).sum() / max(1, (here | there).sum())
            confidence[here] += posteriors[here, partner]
        agreement[trial] = rand_index(clusters.labels, labels)
        if progress is not None:
            progress(trial + 1, trials)
    means = (confidence / trials).astype(np.float32), jaccard / trials
    return Stability(*means, agreement, clusters.labels)


def _as_in(
    labels: np.ndarray, others: np.ndarray, k: int, found: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a cluster and its partner in the other partition."""
    assigned = (labels >= 0) & (others >= 0)
    return best_naming(contingency(labels[assigned], others[assigned], k, found))


def save(found: Stability, folder: Path, epoch: int | None) -> Path:
    """Write into `folder` (``RUN/views``), in place of an older one of this epoch."""
    path = _place(folder, epoch)
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(getattr(found, name)))
        for name in ("confidence", "jaccard", "agreement", "labels")
    }
    write_tensors(path, tensors, {"kind": "stability"})
    return path


def latest(folder: Path, clusters: Clustering) -> Stability | None:
    """What was found for this partition, None if nothing (or for another one) was."""
    path = _place(folder, clusters.epoch)
    if not path.is_file():
        return None
    tensors, _ = read_tensors(path)
    found = Stability(**{name: tensor.numpy() for name, tensor in tensors.items()})
    return found if np.array_equal(found.labels, clusters.labels) else None


def _place(folder: Path, epoch: int | None) -> Path:
    return folder / f"{epoch or 0:04d}-stability.safetensors"
