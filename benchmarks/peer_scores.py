"""One code that scores both programs: latents, poses and maps against the truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from feature_scores import knn, nearest, points
from peer_sets import Truth
from species_scores import pose_errors
from torch import Tensor

from napari_cryodeco.explore.clustering import cluster
from napari_cryodeco.explore.scores import rand_index
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
        "ari": round(rand_index(truth.labels, groups(z, truth)), 4),
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


def of_true_groups(decode: Decode, z: np.ndarray, where: Path) -> list[float]:
    """Mean FSC with the true map of every species, of the maps at its own particles' z."""
    labels = Truth.of(where).labels
    maps = decode(medoids(z, labels))
    return [_alike(one, where, species) for species, one in enumerate(maps)]


def of_found_groups(decode: Decode, z: np.ndarray, where: Path) -> list[float | None]:
    """Mean FSC with the true map of every species, of the maps at the mixture's groups.

    A group is compared with the species that most of its particles are; a species that is no
    group's has None.
    """
    truth = Truth.of(where)
    found = groups(z, truth)
    best: list[float | None] = [None] * len(truth.names)
    for group, one in enumerate(decode(medoids(z, found))):
        species = int(np.bincount(truth.labels[found == group]).argmax())
        best[species] = max(_alike(one, where, species), best[species] or -1.0)
    return best


def _alike(one: np.ndarray, where: Path, species: int) -> float:
    true = read_mrc(where / "gt" / f"vol_{species:03d}.mrc")[0]
    return round(fsc.mean(torch.from_numpy(one), torch.from_numpy(true)), 4)
