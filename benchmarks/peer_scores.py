"""One code that scores both programs: latents, poses and maps against the truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from abinitio import pose_errors
from feature_scores import knn, nearest, points
from peer_sets import Truth
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from napari_cryodeco.explore.clustering import cluster
from napari_cryodeco.imaging import fsc
from napari_cryodeco.runs.store import read_mrc

Decode = Callable[[np.ndarray], list[np.ndarray]]
"""Latent points ``(m, d)`` to maps ``(D, D, D)``."""


def groups(z: np.ndarray, truth: Truth) -> np.ndarray:
    """Gaussian mixture of z ``(n, d)`` with the true number of species: labels ``(n,)``."""
    return cluster(z.astype(np.float32), len(truth.names), "gmm", 0).labels


def of_latents(z: np.ndarray, truth: Truth) -> dict[str, float]:
    """ARI of the mixture, 15-NN (five folds) and 1-NN (leave one out) labels."""
    where = points(torch.from_numpy(z.astype(np.float32)))
    return {
        "ari": round(float(adjusted_rand_score(truth.labels, groups(z, truth))), 4),
        "knn15": round(knn(where, truth.labels), 4),
        "knn1": round(nearest(where, truth.labels), 4),
    }


def of_poses(where: Path, rotations: Tensor, z: np.ndarray) -> dict[str, Any]:
    """Median pose errors, species by species, after the best global rotation of either hand.

    Of each true species its largest group counts, as two groups may have two frames.
    """
    truth = Truth.of(where)
    found = pose_errors(where, rotations.float(), truth.labels, groups(z, truth))
    return {"poses": found, "median_degrees": [one["median_degrees"] for one in found]}


def medoids(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of each group the particle nearest to its mean: ``(k, d)``."""
    chosen = []
    for label in range(int(labels.max()) + 1):
        mine = z[labels == label]
        chosen.append(mine[((mine - mine.mean(0)) ** 2).sum(1).argmin()])
    return np.stack(chosen)


def of_maps(decode: Decode, z: np.ndarray, where: Path) -> dict[str, Any]:
    """Mean FSC with the true map of every species: at the true groups, and at the found ones.

    A found group is compared with the species that most of its particles are; a species that no
    group is has no FSC.
    """
    truth = Truth.of(where)
    found = groups(z, truth)
    count = len(truth.names)
    maps = decode(np.concatenate([medoids(z, truth.labels), medoids(z, found)]))
    true = [read_mrc(where / "gt" / f"vol_{k:03d}.mrc")[0] for k in range(count)]
    by_truth = [_alike(one, known) for one, known in zip(maps[:count], true, strict=True)]
    by_group: list[float | None] = [None] * count
    for group, one in enumerate(maps[count:]):
        species = int(np.bincount(truth.labels[found == group]).argmax())
        by_group[species] = max(_alike(one, true[species]), by_group[species] or -1.0)
    return {
        "fsc_of_true_groups": [round(value, 4) for value in by_truth],
        "fsc_of_found_groups": [value if value is None else round(value, 4) for value in by_group],
    }


def _alike(first: np.ndarray, second: np.ndarray) -> float:
    return fsc.mean(torch.from_numpy(first), torch.from_numpy(second))
