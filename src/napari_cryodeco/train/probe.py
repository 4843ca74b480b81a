"""Labelled sets that show along the way what an encoder has learnt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.data.stack import ParticleStack
from napari_cryodeco.imaging.preprocess import encoder_view
from napari_cryodeco.train.stored_views import SmallViews

_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class ProbeSet:
    """Particles whose species is known.

    Parameters
    ----------
    name
        Name of the folder.
    particles
        n particles.
    labels
        ``(n,)`` int64, the species of each.
    """

    name: str
    particles: Particles
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def vit_views(self, rows: Tensor) -> Tensor:
        """Views ``(b, 1, 224, 224)`` of Cryo-IEF's encoder, in the contrast of the file."""
        return encoder_view(ParticleStack(self.particles).read(rows))

    def small_views(self) -> Tensor:
        """Views ``(n, 1, 32, 32)`` of the small encoder, kept after the first call."""
        return self._small_views

    @cached_property
    def _small_views(self) -> Tensor:
        views = SmallViews(self.particles)
        return torch.cat([views(rows) for rows in torch.arange(len(self)).split(_CHUNK)])


def read_probe(folder: Path | str) -> ProbeSet:
    """Read a simulated folder: ``particles.star`` and the labels of ``gt/ground_truth.npz``.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing or the labels are not one a particle.
    """
    folder = Path(folder)
    truth = folder / "gt" / "ground_truth.npz"
    if not truth.is_file():
        raise FileNotFoundError(
            f"{folder} is no labelled set: {truth} is missing; make one with `cryodeco simulate`."
        )
    particles = read_particles(folder / "particles.star")
    with np.load(truth, allow_pickle=False) as arrays:
        labels = torch.from_numpy(arrays["label"].astype(np.int64))
    if len(labels) != len(particles):
        raise ValueError(
            f"{truth} has {len(labels)} labels for {len(particles)} particles: simulate it anew."
        )
    return ProbeSet(folder.resolve().name, particles, labels)


@torch.no_grad()
def knn(features: Tensor, labels: Tensor, k: int = 10) -> float:
    """Share of images whose species the k nearest others tell, 0…1.

    Neighbours by cosine; each votes by the exponential of it. Source: algorithm.md §6.3.

    Parameters
    ----------
    features
        ``(n, f)``.
    labels
        ``(n,)`` int64 from 0.
    """
    unit = torch.nn.functional.normalize(features.float(), dim=1)
    labels = labels.to(unit.device)
    votes_of = torch.nn.functional.one_hot(labels).float()
    right = 0
    for rows in torch.arange(len(unit), device=unit.device).split(_CHUNK):
        likeness = unit[rows] @ unit.T
        likeness.scatter_(1, rows[:, None], -torch.inf)  # nobody votes for oneself
        best, neighbours = likeness.topk(min(k, len(unit) - 1), dim=1)
        votes = (best.exp()[..., None] * votes_of[neighbours]).sum(1)
        right += int((votes.argmax(1) == labels[rows]).sum())
    return right / len(unit)
