"""Where in its box a molecule lies, told from its map."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BLUR, LEVEL = 1.0, 0.15
"""Standard deviation in voxels of the blur before a voxel counts, and the share of the highest
density (99.9 %) from which it does: low, for a domain that moves is weak in the mean map."""
ROOM, EDGE = 1.5, 2.0  # voxels that are kept around what counts, and in which the mask falls to 0
SPECK = 0.05  # share of the largest piece's volume under which a piece is noise


def support(volume: Tensor) -> Tensor:
    """Soft mask ``(s, s, s)`` of 0 … 1 around the molecule in a map ``(s, s, s)``.

    Voxels should be about half the resolution. Density may be dark on light. 1 everywhere if the
    map is empty.
    """
    from scipy import ndimage

    smooth = _blurred(volume.float().cpu())
    if -float(smooth.min()) > float(smooth.max()):
        smooth = -smooth
    inside = (smooth > LEVEL * max(_highest(smooth), 0.0)).numpy()
    pieces, count = ndimage.label(inside)
    if not count:
        return torch.ones_like(volume)
    sizes = ndimage.sum_labels(inside, pieces, range(count + 1))
    kept = (sizes >= SPECK * sizes.max())[pieces] & inside
    away = torch.from_numpy(ndimage.distance_transform_edt(~kept))
    falling = ((away - ROOM) / EDGE).clamp(0, 1)
    return (0.5 + 0.5 * torch.cos(math.pi * falling)).to(volume)


def _highest(volume: Tensor) -> float:
    """Density that one voxel of a thousand exceeds: the strongest may be a single one."""
    return float(volume.flatten().topk(max(1, volume.numel() // 1000)).values[-1])


def _blurred(volume: Tensor) -> Tensor:
    frequency = torch.fft.fftfreq(volume.shape[-1])
    line = torch.exp(-2 * (math.pi * BLUR * frequency) ** 2)
    soft = line[:, None, None] * line[:, None] * line
    return torch.fft.ifftn(torch.fft.fftn(volume) * soft).real
