"""How much of Fourier space the views of a map measure."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_cryodeco.imaging import so3

_DIRECTIONS, _ACROSS = 1000, 0.2  # points of a Fibonacci sphere; sine of 12°


def fourier_coverage(rotations: Tensor, weights: Tensor) -> float:
    """Share of the directions of Fourier space that views measure, 0…1.

    A view measures what lies across it. Particles that are all seen from one side leave most of
    space empty, and a map of them is drawn out, however well its halves agree.

    Parameters
    ----------
    rotations, weights
        ``(m, 3, 3)`` and ``(m,)``.

    Notes
    -----
    A direction counts as measured with a tenth of the views that it would have were they spread
    evenly. The number of views of a direction is the sampling of Baldwin & Lyumkis (2020).
    """
    directions = so3.spiral(1 - 2 * (torch.arange(_DIRECTIONS) + 0.5) / _DIRECTIONS)
    views = torch.zeros(_DIRECTIONS)
    for seen, share in zip(rotations[:, 2].split(20_000), weights.split(20_000), strict=True):
        views += ((directions @ seen.T).abs() < _ACROSS).float() @ share
    even = _ACROSS * float(weights.sum())  # the band's share of the sphere
    return float((views > 0.1 * even).float().mean())
