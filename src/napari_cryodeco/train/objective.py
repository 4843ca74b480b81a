"""What pretraining minimises: an objective that draws its own batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from napari_cryodeco.pretrain_config import PretrainConfig

if TYPE_CHECKING:
    from napari_cryodeco.train.probe import ProbeSet


class Objective(Protocol):
    """An encoder and the loss that it learns by."""

    @property
    def module(self) -> nn.Module:
        """All that has parameters or buffers: encoder, projector, momentum encoder.

        What is not trained has ``requires_grad`` False when the objective is made.
        """

    def loss(self, step: int, steps: int, generator: torch.Generator) -> Tensor:
        """Loss of a batch drawn by `generator`, the mean over this process's images.

        ``step / steps`` is how far the training is, 0…1. `generator` is one of the CPU; nothing
        else may be random.
        """

    def after_step(self, step: int, steps: int) -> None:
        """Do what follows the optimiser: a momentum update, say."""

    def embed(self, probe: ProbeSet) -> Tensor:
        """Frozen features ``(n, f)`` of a labelled set."""

    def export(self, path: Path, header: dict[str, Any], draft: bool) -> None:
        """Write the encoder's weights as `model.weights.load_encoder` reads them.

        A `draft` is to be quick: the training goes on.
        """


Make = Callable[[PretrainConfig, torch.device], Objective]
