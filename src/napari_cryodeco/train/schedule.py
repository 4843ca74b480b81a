"""Learning rate and averaging of the weights over a training, as functions of its progress."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def share_done(
    step: float, steps: int, seconds: float = 0.0, minutes: float | None = None
) -> float:
    """Share 0…1 of a training that is behind `step`, counted from 0.

    With `minutes` the time counts too, whichever is further.
    """
    done = step / steps
    if minutes is not None:
        done = max(done, seconds / (60 * minutes))
    return min(done, 1.0)


def rate_factor(share: float, warmup: float, floor: float) -> float:
    """Learning rate over its peak: a line from 0 up to 1 over `warmup`, a cosine down to `floor`.

    All are shares 0…1. Source: SGDR (Loshchilov & Hutter 2017) with one cycle.
    """
    if share < warmup:
        return share / warmup
    fall = (share - warmup) / (1 - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0)))


def momentum(share: float, start: float) -> float:
    """Momentum of MoCo v3's key encoder: from `start` to 1 by half a cosine."""
    return 1 - (1 - start) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Trained parameters for AdamW: matrices and kernels decay, vectors and scalars do not."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [
        {
            "params": [one for one in trained if (one.squeeze().ndim >= 2) is decays],
            "weight_decay": weight_decay if decays else 0.0,
        }
        for decays in (True, False)
    ]


class WeightAverage:
    """Exponential moving average of all parameters and buffers of a module.

    The first steps count more, so that the start is soon forgotten: step t keeps at most
    ``(1 + t) / (10 + t)``.

    Parameters
    ----------
    module
        What is trained.
    keep
        Share 0…1 that the average keeps of itself in a step.
    """

    def __init__(self, module: nn.Module, keep: float) -> None:
        self._keep = keep
        self.tensors: dict[str, Tensor] = {
            name: tensor.detach().clone() for name, tensor in module.state_dict().items()
        }

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after `step`, counted from 0; whole numbers are copied."""
        keep = min(self._keep, (1 + step) / (10 + step))
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, 1 - keep)
            else:
                self.tensors[name].copy_(tensor)

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take back what was saved of `tensors`."""
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])

    @contextmanager
    def inside(self, module: nn.Module) -> Iterator[None]:
        """Let the module evaluate with the averaged weights; then all is as it was."""
        training = {name: part.training for name, part in module.named_modules()}
        self._exchange(module)
        module.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self._exchange(module)
            for name, part in module.named_modules():
                part.training = training[name]

    def _exchange(self, module: nn.Module) -> None:
        for name, tensor in module.state_dict(keep_vars=True).items():
            mine = self.tensors[name]
            self.tensors[name], tensor.data = tensor.data, mine
