"""Unlabelled images to learn from: particle sets on disk and simulated ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from napari_cryodeco.data.episodes import Episode, EpisodeSimulator
from napari_cryodeco.imaging.preprocess import unit_range
from napari_cryodeco.model.encoder import VIEW
from napari_cryodeco.train import distributed
from napari_cryodeco.train.episodic import small_views
from napari_cryodeco.train.stages import generator
from napari_cryodeco.train.views import Views


class Source(Protocol):
    """Images before augmentation."""

    def draw(self, step: int, count: int, random: torch.Generator) -> Tensor:
        """Views ``(count, 1, s, s)`` of this process in `step`."""


@dataclass(frozen=True)
class ParticleSet:
    """`count` particles and what makes views of their rows."""

    count: int
    views: Views


class SetSource:
    """Draws evenly from particle sets: an epoch holds at most `per_set` particles of each.

    The next batch is read while the present one is learnt from.

    Parameters
    ----------
    sets
        Where the particles are.
    per_set
        Particles of a large set in an epoch.
    batch
        Particles of all processes in a step.
    seed
        An epoch's particles and their order follow from it.
    """

    def __init__(self, sets: Sequence[ParticleSet], per_set: int, batch: int, seed: int) -> None:
        self._sets, self._per_set, self._batch, self._seed = tuple(sets), per_set, batch, seed
        self.epoch_size = sum(min(one.count, per_set) for one in sets)
        if self.epoch_size < batch:
            raise ValueError(
                f"The sets hold {self.epoch_size} particles, fewer than a batch of {batch}: add "
                "sets or choose a smaller --batch."
            )
        self._epoch = -1
        self._plan = torch.empty(0, 2, dtype=torch.long)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read")
        self._coming: tuple[int, Future[Tensor]] | None = None

    def draw(self, step: int, count: int, random: torch.Generator) -> Tensor:
        """Views ``(count, 1, s, s)`` of `step`; its part of the batch if there are processes."""
        if self._coming is not None and self._coming[0] == step:
            batch = self._coming[1].result()
        else:
            batch = self._read(self.chosen(step, count))
        ahead = self.chosen(step + 1, count)
        self._coming = (step + 1, self._reader.submit(self._read, ahead))
        return batch

    def chosen(self, step: int, count: int) -> Tensor:
        """``(count, 2)`` set and row of each particle of `step`."""
        per_epoch = self.epoch_size // self._batch
        epoch, place = divmod(step, per_epoch)
        if epoch != self._epoch:
            self._epoch, self._plan = epoch, self._planned(epoch)
        first = place * self._batch + distributed.rank() * count
        return self._plan[first : first + count]

    def _planned(self, epoch: int) -> Tensor:
        random = generator(self._seed, "moco/epoch", epoch)
        parts = []
        for number, one in enumerate(self._sets):
            rows = torch.randperm(one.count, generator=random)[: self._per_set]
            parts.append(torch.stack([torch.full_like(rows, number), rows], 1))
        everything = torch.cat(parts)
        return everything[torch.randperm(len(everything), generator=random)]

    def _read(self, chosen: Tensor) -> Tensor:
        order = chosen[:, 0].argsort(stable=True)
        sets, counts = chosen[order, 0].unique_consecutive(return_counts=True)
        rows = chosen[order, 1].split(counts.tolist())
        views = [
            self._sets[number].views(some) for number, some in zip(sets.tolist(), rows, strict=True)
        ]
        return torch.cat(views)


class SimulatedSource:
    """Images of simulated species, one of each in an episode.

    Parameters
    ----------
    simulator
        Draws episodes.
    views
        Makes views ``(b, 1, s, s)`` of an episode.
    """

    def __init__(
        self,
        simulator: EpisodeSimulator,
        views: Callable[[Episode, torch.Generator], Tensor],
    ) -> None:
        self._simulator, self._views = simulator, views

    def draw(self, step: int, count: int, random: torch.Generator) -> Tensor:
        """Views ``(count, 1, s, s)``, of as many episodes as that takes."""
        parts: list[Tensor] = []
        while sum(map(len, parts)) < count:
            parts.append(self._views(self._simulator.draw(random), random))
        return torch.cat(parts)[:count]


def as_small(episode: Episode, random: torch.Generator) -> Tensor:
    """Views ``(b, 1, 32, 32)`` of the small encoder; nothing of them is random."""
    return small_views(episode)


def as_unit(episode: Episode, random: torch.Generator) -> Tensor:
    """Images ``(b, 1, 224, 224)`` of 0…1, half of them dark on light: a file may be either."""
    views = unit_range(episode.images, VIEW)[:, None]
    dark = (torch.rand(len(views), generator=random) < 0.5).to(views.device)
    return torch.where(dark[:, None, None, None], 1 - views, views)
