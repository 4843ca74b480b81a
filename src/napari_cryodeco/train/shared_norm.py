"""Batch norms whose batch is that of all processes.

With a batch of its own in each process, an encoder could tell by its statistics which images came
together, and a contrastive loss would reward it for that.
"""

from __future__ import annotations

from types import MethodType

import torch
from torch import Tensor, nn

from napari_cryodeco.train import distributed

_BatchNorm = nn.modules.batchnorm._BatchNorm


def share_norms(module: nn.Module) -> None:
    """Let every batch norm in `module` learn and use the statistics of all processes."""
    if distributed.size() == 1:
        return
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.forward = MethodType(_normalise, part)  # type: ignore[method-assign]


def _normalise(norm: _BatchNorm, x: Tensor) -> Tensor:
    """Batch norm of ``(b, c)``, tokens ``(b, t, c)`` or images ``(b, c, s, s)``."""
    if not norm.training:
        forward = type(norm).forward
        return forward(norm, x)
    rows = x.movedim(1, -1) if x.ndim == 4 else x
    flat = rows.flatten(0, -2).float()
    # sums and their counts: the parts of a batch need not be of one size
    own = torch.cat([flat.sum(0), flat.new_full((1,), len(flat))])
    sums, count = distributed.mean(own).split([flat.shape[1], 1])
    mean = sums / count
    variance = distributed.mean((flat - mean).square().sum(0)) / count
    _remember(norm, mean.detach(), variance.detach(), count.detach() * distributed.size())
    result = (rows.float() - mean) * (variance + norm.eps).rsqrt()
    if norm.affine:
        result = result * norm.weight + norm.bias
    return (result.movedim(-1, 1) if x.ndim == 4 else result).to(x.dtype)


@torch.no_grad()
def _remember(norm: _BatchNorm, mean: Tensor, variance: Tensor, count: Tensor) -> None:
    if norm.running_mean is None or norm.running_var is None or norm.momentum is None:
        return
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance * (count / (count - 1).clamp_min(1)), norm.momentum)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1
