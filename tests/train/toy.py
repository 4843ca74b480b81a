"""A small objective for tests of the loop: it tells noisy points of four species apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_cryodeco.pretrain_config import PretrainConfig
from napari_cryodeco.runs.store import write_tensors
from napari_cryodeco.train import distributed
from napari_cryodeco.train.probe import ProbeSet
from napari_cryodeco.train.stages import generator

SPECIES, SIZE = 4, 12


class Toy:
    """Supervised contrast of 1×SIZE images, with batch norm, dropout and a convolution.

    The batch of a step is the same however many processes share it.
    """

    def __init__(self, batch: int, seed: int, dropout: float = 0.0, norm: bool = True) -> None:
        self._batch, self._seed = batch, seed
        self._centres = torch.randn(
            SPECIES, 1, SIZE, SIZE, generator=generator(seed, "toy/centres", 0)
        )
        self.module = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8) if norm else nn.GroupNorm(2, 8),
            nn.GELU(),
            nn.Conv2d(8, 16, 3, stride=2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.LazyLinear(6),
        )
        self.module(self._centres)
        self.steps_seen: list[tuple[int, int]] = []

    def loss(self, step: int, steps: int, generator: torch.Generator) -> Tensor:
        random = torch.Generator().manual_seed(self._seed * 1000 + step)
        labels = torch.randint(SPECIES, (self._batch,), generator=random)
        noise = torch.randn(self._batch, 1, SIZE, SIZE, generator=random)
        size, rank = self._batch // distributed.size(), distributed.rank()
        mine = slice(rank * size, (rank + 1) * size)
        if distributed.size() == 1:
            noise = noise + 0.1 * torch.randn(noise.shape, generator=generator)
        features = self.module((self._centres[labels] + noise)[mine])
        unit = nn.functional.normalize(features, dim=1)
        everyone = distributed.gather(unit)
        alike = (labels[mine, None] == labels).float()
        scores = (unit @ everyone.T / 0.5).log_softmax(1)
        return -(scores * alike).sum(1).div(alike.sum(1)).mean()

    def after_step(self, step: int, steps: int) -> None:
        self.steps_seen.append((step, steps))

    def embed(self, probe: ProbeSet) -> Tensor:
        return torch.nn.functional.one_hot(probe.labels).float()

    def export(self, path: Path, header: dict[str, Any]) -> None:
        write_tensors(path, self.module.state_dict(), header)


def make_toy(config: PretrainConfig, device: torch.device) -> Toy:
    return Toy(config.batch, config.seed, dropout=0.2)
