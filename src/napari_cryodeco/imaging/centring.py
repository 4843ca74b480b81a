"""Where in its box a particle sits, told from one noisy image, and images centred by it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

WIDTH = 1 / 8
SPREAD = 1 / 16
REACH = 0.17
"""Box sides: standard deviation of the blob that is matched, of where particles sit, and the
farthest that one is looked for."""

_STRENGTH = 3.0  # that of a faint particle, in units of the matched filter's noise


def positions(images: Tensor) -> Tensor:
    """Most likely place of the particle in ``(n, s, s)`` light on dark: pixels ``(n, 2)`` (x, y).

    Relative to pixel ``s // 2``, whole pixels. A broad round blob is matched, so a long particle is
    found by its middle and not by an end; the middle of the box is likelier where the image says
    little. The noise is taken to be about 1 a pixel.
    """
    side, device = images.shape[-1], images.device
    fy = torch.fft.fftfreq(side, device=device)[:, None]
    fx = torch.fft.rfftfreq(side, device=device)
    width = WIDTH * side
    blob = torch.exp(-2 * (math.pi * width) ** 2 * (fy**2 + fx**2))
    smooth = torch.fft.irfft2(torch.fft.rfft2(images.float()) * blob, s=(side, side))
    axis = torch.arange(side, device=device) - side // 2
    squared = (axis[:, None] ** 2 + axis**2) / side**2
    unlikely = (squared / (2 * SPREAD**2)).masked_fill(squared > REACH**2, torch.inf)
    match = _STRENGTH * 2 * math.sqrt(math.pi) * width * smooth - unlikely
    best = match.flatten(1).argmax(1)
    return torch.stack([axis[best % side], axis[best // side]], 1)


def centred(images: Tensor) -> Tensor:
    """Images ``(n, s, s)`` moved by whole pixels, around the rim, to the middle of the box."""
    side = images.shape[-1]
    move = positions(images)
    axis = torch.arange(side, device=images.device)
    rows = (axis + move[:, 1:]) % side
    columns = (axis + move[:, :1]) % side
    picked = images.gather(1, rows[:, :, None].expand(-1, -1, side))
    return picked.gather(2, columns[:, None, :].expand(-1, side, -1))
