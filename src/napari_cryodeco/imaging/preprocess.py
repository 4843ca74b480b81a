"""From stored images to working coefficients and encoder views (algorithm.md §1.2, §1.4, §2.3)."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.hartley import hartley, inverse_hartley

VIEW_MEAN, VIEW_STD = 0.549995056189533, 0.11784453744259035


@lru_cache(maxsize=8)
def _radii(box: int) -> Tensor:
    axis = (torch.arange(box) - box // 2).float() / (box / 2)
    return (axis[:, None] ** 2 + axis**2).sqrt()


@lru_cache(maxsize=8)
def window(box: int) -> Tensor:
    """``(box, box)`` window: 1 inside 0.85 of the half side, a linear ramp to 0 at 0.99."""
    return ((0.99 - _radii(box)) / (0.99 - 0.85)).clamp(0, 1)


def _background(box: int) -> Tensor:
    return _radii(box) > 0.9


def noise_level(images: Tensor) -> float:
    """Noise of a *windowed* Hartley coefficient over the box: the `sigma` of :func:`observe`.

    Measured on the pixels outside 0.9 of the half side of ``(n, D, D)`` images. The window keeps
    only a part of the noise, which is counted in.
    """
    box = images.shape[-1]
    outside = images[:, _background(box)].float()
    spread = (outside - outside.mean(1, keepdim=True)).pow(2).mean().sqrt()
    return float(spread * window(box).pow(2).mean().sqrt())


def observe(images: Tensor, ball: Ball, sigma: float) -> Tensor:
    """Working coefficients ``(n, p)`` of raw images ``(n, D, D)``.

    Background off, window, Hartley, noise to 1.
    """
    box = images.shape[-1]
    images = images.float()
    background = images[:, _background(box).to(images.device)].mean(1)
    centred = (images - background[:, None, None]) * window(box).to(images.device)
    return ball.from_grid(hartley(centred, 2)) / (box * sigma)


def windowed(images: Tensor) -> Tensor:
    """Background off and window on images ``(n, D, D)`` whose noise is 1 a pixel, and stays so."""
    mask = window(images.shape[-1]).to(images.device)
    rim = _background(images.shape[-1]).to(images.device)
    background = images[:, rim].mean(1)
    return (images - background[:, None, None]) * mask / mask.square().mean().sqrt()


def working_scale(source_box: int, box: int, sigma: float) -> float:
    """`Geometry.scale`: from working coefficients to the Hartley transform in a cropped box."""
    return box * box / source_box * sigma


def fourier_crop(images: Tensor, box: int) -> Tensor:
    """Fourier-crop ``(n, D, D)`` to ``(n, box, box)``, keeping pixel means.

    The Nyquist row and column are dropped.
    """
    source = images.shape[-1]
    if box > source:
        raise ValueError(f"Cannot crop images of {source} px to {box} px.")
    ball_free = hartley(images.float(), 2)
    start = source // 2 - box // 2
    grid = ball_free[..., start : start + box, start : start + box].clone()
    if box < source and box % 2 == 0:
        grid[..., 0, :] = 0
        grid[..., :, 0] = 0
    return inverse_hartley(grid, 2) * (box / source) ** 2


def encoder_view(images: Tensor, size: int = 224) -> Tensor:
    """What the Cryo-IEF encoder sees: ``(n, 1, size, size)`` of raw images ``(n, D, D)``.

    Resized (Fourier crop when larger, cubic spline when smaller), per-image min-max to 0…1, black
    outside 0.85 of the radius, then the corpus constants. Source: algorithm.md §2.3.
    """
    return as_encoder_view(unit_range(images, size)[:, None])


def unit_range(images: Tensor, size: int = 224) -> Tensor:
    """First half of :func:`encoder_view`: resized, min-max to 0…1 ``(n, size, size)``."""
    box = images.shape[-1]
    images = images.float()
    if box > size:
        images = fourier_crop(images, size)
    elif box < size:
        zoom = _spline(box, size).to(images.device)
        images = zoom @ images @ zoom.T
    low = images.amin((1, 2), keepdim=True)
    span = (images.amax((1, 2), keepdim=True) - low).clamp_min(1e-12)
    return (images - low) / span


@lru_cache(maxsize=8)
def _spline(box: int, size: int) -> Tensor:
    """``(size, box)``: cubic spline through `box` samples, read at `size` places, corner on corner.

    Zooming is linear, so a matrix from each side does it on any device.
    """
    import numpy as np  # scipy takes a second to load, and few runs have a ViT
    from scipy.ndimage import zoom

    return torch.from_numpy(zoom(np.eye(box), (size / box, 1), order=3)).float()


def as_encoder_view(images: Tensor) -> Tensor:
    """Second half of :func:`encoder_view`: black rim and constants, ``(n, 1, s, s)`` of 0…1."""
    size = images.shape[-1]
    axis = torch.arange(size, device=images.device) - (size - 1) / 2
    inside = (axis[:, None] ** 2 + axis**2).sqrt() <= int((size - 1) / 2 * 0.85)
    return (images * inside - VIEW_MEAN) / VIEW_STD
