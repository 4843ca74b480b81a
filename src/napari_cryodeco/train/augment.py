"""Random views of particle images for contrastive learning, whole batches on any device.

A particle turned in the plane, mirrored, moved a little or blurred is the same species. Every
setting is ours: Cryo-IEF's are not released (algorithm.md §5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_REFERENCE = 224  # pixels of the views for which blurs are given


@dataclass(frozen=True)
class Changes:
    """What is drawn for each of b images.

    `angles` ``(b,)`` rad, counter-clockwise; `flips` ``(b,)`` bool, mirrored left to right before
    turning; `shifts` ``(b, 2)`` of the content along x and y, as shares of the side; `zooms`
    ``(b,)`` magnification; `blurs` ``(b,)`` Gaussian σ in pixels; `contrasts` ``(b,)`` factor of
    the differences from the mean.
    """

    angles: Tensor
    flips: Tensor
    shifts: Tensor
    zooms: Tensor
    blurs: Tensor
    contrasts: Tensor


def draw(count: int, side: int, generator: torch.Generator, device: torch.device) -> Changes:
    """Draw the changes of `count` views of `side` pixels.

    Any rotation; mirrored or not; moved by up to 5 % of the side; a crop of 60 to 100 % of the area
    enlarged to the whole; half of them blurred by up to 2 of 224 pixels; contrast ±20 %.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        numbers = torch.rand(count, *shape, generator=generator)
        return (low + (high - low) * numbers).to(device)

    return Changes(
        angles=uniform(0, 2 * math.pi),
        flips=uniform(0, 1) < 0.5,
        shifts=uniform(-0.05, 0.05, 2),
        zooms=uniform(0.6, 1.0).rsqrt(),
        blurs=uniform(0.1, 2.0) * side / _REFERENCE * (uniform(0, 1) < 0.5),
        contrasts=uniform(0.8, 1.2),
    )


def change(images: Tensor, changes: Changes) -> Tensor:
    """Apply `changes` to images ``(b, 1, s, s)``: one interpolation, then blur and contrast."""
    moved = move(images, changes)
    blurred = blur(moved, changes.blurs)
    mean = blurred.mean((1, 2, 3), keepdim=True)
    return mean + (blurred - mean) * changes.contrasts[:, None, None, None]


def move(images: Tensor, changes: Changes) -> Tensor:
    """Mirror, turn, enlarge and shift, in this order, about the middle of ``(b, 1, s, s)``.

    Pixels from beyond the rim are mirrored there.
    """
    cosine, sine = changes.angles.cos(), changes.angles.sin()
    flip = 1 - 2 * changes.flips.to(images.dtype)
    # grid_sample asks where an output pixel comes from: the inverse of what is done to the content.
    # y points down in an image, so that counter-clockwise is from x to -y.
    back = torch.stack(
        [torch.stack([cosine * flip, -sine * flip], 1), torch.stack([sine, cosine], 1)], 1
    )
    back = back / changes.zooms[:, None, None]
    start = -back @ (2 * changes.shifts)[:, :, None]  # the side is 2 in grid_sample's units
    grid = functional.affine_grid(
        torch.cat([back, start], 2).to(images.dtype), list(images.shape), align_corners=False
    )
    return functional.grid_sample(
        images, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )


def blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Convolve each of ``(b, 1, s, s)`` with a Gaussian of its own σ ``(b,)`` in pixels."""
    side = images.shape[-1]
    fy = torch.fft.fftfreq(side, device=images.device)[:, None]
    fx = torch.fft.rfftfreq(side, device=images.device)
    spread = 2 * (math.pi * sigmas[:, None, None, None]) ** 2
    gain = torch.exp(-spread * (fy**2 + fx**2))
    return torch.fft.irfft2(torch.fft.rfft2(images) * gain, s=(side, side))
