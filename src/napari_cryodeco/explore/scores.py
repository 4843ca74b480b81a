"""How well labels, latents and poses agree with the truth, as CryoBench and the paper score them.

Row i is particle i in every table. Maps are scored in :mod:`napari_cryodeco.explore.map_scores`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.imaging.poses import Poses, align

_TABLE = 2**25  # numbers in one block of likenesses: 128 MB
NEIGHBOURHOODS = tuple(range(200, 4100, 200))  # CryoBench's


@dataclass(frozen=True)
class LabelScores:
    """Agreement of two partitions.

    Parameters
    ----------
    ari
        Adjusted Rand index: 1 for the same partition, 0 on average for a random one.
    ami_max, ami_arithmetic
        Mutual information adjusted for chance, over the larger and over the mean of the two
        entropies. The paper's formula is the first, sklearn's default the second.
    nmi
        Mutual information over the mean entropy, not adjusted.
    accuracy
        Share of particles in the right class after the best one-to-one naming of the clusters.
    """

    ari: float
    ami_max: float
    ami_arithmetic: float
    nmi: float
    accuracy: float


def label_scores(true: np.ndarray, found: np.ndarray) -> LabelScores:
    """Compare labels ``(n,)``; unassigned particles (−1) are a group of their own.

    In `accuracy` they count as wrong.
    """
    from sklearn.metrics import (  # a second to import
        adjusted_mutual_info_score,
        normalized_mutual_info_score,
    )

    _same_length(true, found)
    return LabelScores(
        ari=rand_index(true, found),
        ami_max=float(adjusted_mutual_info_score(true, found, average_method="max")),
        ami_arithmetic=float(adjusted_mutual_info_score(true, found)),
        nmi=float(normalized_mutual_info_score(true, found)),
        accuracy=accuracy(true, found),
    )


def rand_index(true: np.ndarray | Tensor, found: np.ndarray | Tensor) -> float:
    """Adjusted Rand index of labels ``(n,)``."""
    from sklearn.metrics import adjusted_rand_score  # a second to import

    return float(adjusted_rand_score(np.asarray(true), np.asarray(found)))


def accuracy(true: np.ndarray, found: np.ndarray) -> float:
    """Share of particles in the right class after the best one-to-one naming (Hungarian)."""
    _same_length(true, found)
    classes, rows = np.unique(true, return_inverse=True)
    assigned = np.asarray(found) >= 0
    clusters, columns = np.unique(np.asarray(found)[assigned], return_inverse=True)
    together = contingency(rows[assigned], columns, len(classes), len(clusters))
    named = best_naming(together)
    return float(together[named].sum() / len(true))


def contingency(first: np.ndarray, second: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Counts ``(rows, columns)`` of pairs of labels from 0."""
    pairs = np.asarray(first, np.int64) * columns + np.asarray(second, np.int64)
    return np.bincount(pairs, minlength=rows * columns).reshape(rows, columns)


def best_naming(together: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a row and a column, each once, whose counts add up to most (Hungarian)."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(together, maximize=True)
    return rows, columns


def _same_length(true: np.ndarray, found: np.ndarray) -> None:
    if len(true) != len(found) or not len(true):
        raise ValueError(f"{len(true)} true labels and {len(found)} found ones: they must match.")


@dataclass(frozen=True)
class NearestScores:
    """Shares of particles whose class is the first, or among the first ten, of the neighbours'."""

    top1: float
    top10: float


@torch.no_grad()
def nearest_scores(
    latents: np.ndarray, labels: np.ndarray, k: int = 10, per_class: int = 1000, seed: int = 0
) -> NearestScores:
    """Let the k nearest others tell each particle's class, leaving it out itself.

    Rows of z are scaled to length one; the likeness of two is their dot product s, and a class gets
    ``Σ exp(s)`` from those of its members that are among the k. *top-10*: the class is one of the
    ten with the highest score, among those that got any. Both neighbours and judged particles are
    drawn from at most `per_class` random ones of each class, as in the paper's code.

    Source: algorithm.md §6.3.

    Raises
    ------
    ValueError
        For fewer than two particles, or labels of another length.
    """
    kept = _at_most(np.asarray(labels), per_class, seed)
    if len(latents) != len(labels) or len(kept) < 2:
        raise ValueError(f"{len(latents)} latents and {len(labels)} labels: at least two, paired.")
    z = torch.from_numpy(np.asarray(latents, np.float32)[kept])
    unit = torch.nn.functional.normalize(z, dim=1)
    names, codes = np.unique(np.asarray(labels)[kept], return_inverse=True)
    species = torch.from_numpy(codes.astype(np.int64))
    ranks = []
    for rows in torch.arange(len(unit)).split(max(1, _TABLE // len(unit))):
        likeness = unit[rows] @ unit.T
        likeness.scatter_(1, rows[:, None], -torch.inf)  # nobody votes for oneself
        best, voters = likeness.topk(min(k, len(unit) - 1), dim=1)
        votes = torch.zeros(len(rows), len(names)).scatter_add_(1, species[voters], best.exp())
        ranks.append(_rank(votes, species[rows]))
    rank = torch.cat(ranks)
    return NearestScores(float((rank < 1).float().mean()), float((rank < 10).float().mean()))


def _at_most(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Rows of at most so many random members of each class, in order."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    grouped = order[np.argsort(labels[order], kind="stable")]
    first = np.unique(labels[grouped], return_index=True)[1]
    sizes = np.diff(np.append(first, len(grouped)))
    place = np.arange(len(grouped)) - np.repeat(first, sizes)
    return np.sort(grouped[place < per_class])


def _rank(votes: Tensor, species: Tensor) -> Tensor:
    """Place ``(m,)`` of each one's own class, 0 the first; of a class without votes, the last."""
    own = votes.gather(1, species[:, None])
    earlier = (votes == own) & (torch.arange(votes.shape[1]) < species[:, None])
    rank = ((votes > own) | earlier).sum(1)
    return torch.where(own[:, 0] > 0, rank, torch.iinfo(torch.long).max)


def neighbourhood_similarity(
    true: np.ndarray,
    found: np.ndarray,
    ks: Sequence[int] = NEIGHBOURHOODS,
    stride: int = 5,
) -> dict[int, tuple[float, float]]:
    """Share of the k nearest others that two embeddings have in common: mean and spread for each k.

    Every `stride`-th particle is taken, once from each of the `stride` possible first ones; the
    spread is over these. A k that such a part does not hold is left out. A particle is no neighbour
    of itself here; CryoBench's counts have it in both lists.

    Parameters
    ----------
    true, found
        ``(n, a)`` and ``(n, b)``. Ties are broken at random, equally in both.
    """
    here, there = (torch.from_numpy(np.asarray(table, np.float32)) for table in (true, found))
    parts = [_shared(here[first::stride], there[first::stride], ks) for first in range(stride)]
    return {
        k: (float(np.mean(shares)), float(np.std(shares)))
        for k in ks
        if (shares := [part[k] for part in parts if k in part])
    }


@torch.no_grad()
def _shared(true: Tensor, found: Tensor, ks: Sequence[int]) -> dict[int, float]:
    n = len(true)
    fitting = [k for k in ks if k < n]
    if not fitting:
        return {}
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    true, found = true[order], found[order]  # states of a motion are sorted, and tie
    total = dict.fromkeys(fitting, 0.0)
    for rows in torch.arange(n).split(max(1, _TABLE // n)):
        places = [_places(table, rows) for table in (true, found)]
        for k in fitting:
            total[k] += float(((places[0] < k) & (places[1] < k)).sum())
    return {k: total[k] / (n * k) for k in fitting}


def _places(table: Tensor, rows: Tensor) -> Tensor:
    """How near each particle is to those of `rows`: 0 the nearest, itself the farthest."""
    exact = "donot_use_mm_for_euclid_dist"  # ties must stay ties
    distance = torch.cdist(table[rows], table, compute_mode=exact)
    distance.scatter_(1, rows[:, None], torch.inf)
    order = distance.argsort(dim=1, stable=True)
    return torch.empty_like(order).scatter_(1, order, torch.arange(len(table)).expand_as(order))


@dataclass(frozen=True)
class PoseScores:
    """Errors of orientations and shifts after the best common frame, either hand.

    `median_degrees`, `within_15` (share of particles within 15°), `mirrored`; `median_shift` Å, or
    None where no true shifts are known.
    """

    median_degrees: float
    within_15: float
    mirrored: bool
    median_shift: float | None


def pose_scores(
    found: Poses, rotations: Tensor, shifts: Tensor | None = None, symmetry: Tensor | None = None
) -> PoseScores:
    """Compare poses with true `rotations` ``(n, 3, 3)``, modulo `symmetry`, and `shifts` Å."""
    aligned = align(found.rotations, rotations, symmetry)
    shift = None
    if shifts is not None:
        shift = float(shift_errors(found, shifts).median())
    return PoseScores(aligned.median_degrees, aligned.share_within(15), aligned.mirrored, shift)


def shift_errors(found: Poses, true: Tensor) -> Tensor:
    """Lengths ``(n,)`` in Å of ``found − true``, one displacement of the map taken out.

    A map that sits at s, in the frame of the found rotations, changes the shift of particle i by
    the image of s, ``(R_i s)_xy``. The s that explains most is found by least squares.
    """
    seen = found.rotations[:, :2].double()
    offset = (found.shifts - true).double()
    best = torch.linalg.lstsq(seen.reshape(-1, 3), offset.reshape(-1, 1)).solution
    return (offset - (seen @ best)[..., 0]).norm(dim=1).float()
