"""A small objective for tests of the loop; as a program, it trains in one of several processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_cryodeco.pretrain_config import PretrainConfig
from napari_cryodeco.runs.store import write_tensors
from napari_cryodeco.train import distributed
from napari_cryodeco.train.pretrain import pretrain
from napari_cryodeco.train.probe import ProbeSet
from napari_cryodeco.train.stages import generator as numbers

SPECIES, SIDE = 4, 12
SETTINGS: dict[str, Any] = {
    "device": "cpu",
    "threads": 1,
    "precision": "fp32",
    "batch": 16,
    "rate": 1e-2,
    "steps": 12,
    "seed": 5,
}


class Toy:
    """Supervised contrast of noisy images of four species.

    Has what makes resuming hard: batch norm, dropout, momentum in the optimiser, convolutions.
    """

    def __init__(self, config: PretrainConfig) -> None:
        self._batch = config.batch
        self._centres = torch.randn(SPECIES, 1, SIDE, SIDE, generator=numbers(config.seed, "", 0))
        self.module = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=False),  # Adam would blow its zero gradient up
            nn.BatchNorm2d(8),
            nn.GELU(),
            nn.Conv2d(8, 16, 3, stride=2),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(400, 6),
        )

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor, slice]:
        """Images ``(b, 1, s, s)`` and labels of all processes, and which are ours."""
        labels = torch.randint(SPECIES, (self._batch,), generator=generator)
        noise = torch.randn(self._batch, 1, SIDE, SIDE, generator=generator)
        return self._centres[labels] + noise, labels, slice(0, self._batch)

    def loss(self, step: int, steps: int, generator: torch.Generator) -> Tensor:
        images, labels, mine = self.draw(generator)
        unit = nn.functional.normalize(self.module(images[mine]), dim=1)
        alike = (labels[mine, None] == labels).float()
        scores = (unit @ distributed.gather(unit).T / 0.5).log_softmax(1)
        return -(scores * alike).sum(1).div(alike.sum(1)).mean()

    def after_step(self, step: int, steps: int) -> None:
        """Nothing follows; tests put something here."""

    def embed(self, probe: ProbeSet) -> Tensor:
        return nn.functional.one_hot(probe.labels).float()

    def export(self, path: Path, header: dict[str, Any], draft: bool) -> None:
        write_tensors(path, self.module.state_dict(), header)


class Shared(Toy):
    """The same batch however many processes share it; batch norm and loss need all of it."""

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__(config)
        self.module[5] = nn.Identity()
        self._step = 0

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor, slice]:
        images, labels, _ = super().draw(numbers(3, "shared", self._step))
        self._step += 1
        first = distributed.rank() * distributed.local(self._batch)
        return images, labels, slice(first, first + distributed.local(self._batch))


def make_toy(config: PretrainConfig, device: torch.device) -> Toy:
    return Toy(config)


def make_shared(config: PretrainConfig, device: torch.device) -> Toy:
    return Shared(config)


if __name__ == "__main__":
    pretrain(sys.argv[1], PretrainConfig.of({**SETTINGS, "rate": 1e-3}, "toy"), make=make_shared)
