"""The Hartley transform with its origin at the image centre (algorithm.md §1.3)."""

from __future__ import annotations

import torch
from torch import Tensor


def hartley(x: Tensor, ndim: int) -> Tensor:
    """Hartley transform over the last `ndim` axes: ``Re F - Im F``, unnormalised.

    Parameters
    ----------
    x
        ``(..., D, D)`` or ``(..., D, D, D)``, real; origin at ``D // 2``.

    Returns
    -------
    Tensor
        Same shape; frequency zero at ``D // 2``.
    """
    axes = tuple(range(-ndim, 0))
    spectrum = torch.fft.fftn(torch.fft.ifftshift(x, dim=axes), dim=axes)
    return torch.fft.fftshift(spectrum.real - spectrum.imag, dim=axes)


def inverse_hartley(h: Tensor, ndim: int) -> Tensor:
    """Inverse of :func:`hartley`: the same transform divided by the number of points."""
    size = 1
    for side in h.shape[-ndim:]:
        size *= side
    return hartley(h, ndim) / size
