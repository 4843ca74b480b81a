"""The first layer of a field on whole-number points, a plane of constant kz at a time.

The phase of a feature ξ at k is ``½ (kx ξx + ky ξy) + ½ kz ξz = a + b``, so

``Wc cos(a + b) + Ws sin(a + b) = (Wc cos b + Ws sin b) cos a + (Ws cos b - Wc sin b) sin a``:

cosines and sines of `a` serve every plane, and `b` only turns the weights. The first term is even
in (kx, ky), the second odd, so half a plane is enough. Exact, as far as float32 goes.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball


def planes(
    weight: Tensor, frequencies: Tensor, ball: Ball, radius: int, rows: int, dtype: torch.dtype
) -> Iterator[tuple[Tensor, Tensor]]:
    """What the first layer gives, without z and bias, at all points of a ball, block by block.

    Parameters
    ----------
    weight
        ``(w, 2 f)`` of the sines, then of the cosines.
    frequencies
        ``(f, 3)`` vectors ξ.
    ball
        Three-dimensional; its device is that of the weights.
    radius
        How far points are wanted.
    rows
        Most pairs of points in a block.
    dtype
        Of the products and of what is given; phases are float32 throughout.

    Yields
    ------
    where, first
        ``(g, 2, q)`` index of each point in the ball, -1 where there is none, and ``(g, 2, q, w)``.
    """
    half = _half_plane(radius, ball.points.device)
    angle = 0.5 * half.float() @ frequencies[:, :2].T
    cosine, sine = angle.cos().to(dtype), angle.sin().to(dtype)
    squared = (half**2).sum(1)
    for heights, count in _groups(squared, radius, rows):
        even, odd = _turned(weight, 0.5 * heights[:, None] * frequencies[:, 2], dtype)
        for block in torch.arange(count, device=half.device).split(rows):
            cut = slice(int(block[0]), int(block[-1]) + 1)
            a, b = cosine[cut] @ even, sine[cut] @ odd
            yield _find(ball, radius, half[cut], heights), torch.stack([a + b, a - b], 1)


def _half_plane(radius: int, device: torch.device) -> Tensor:
    """Points ``(q, 2)``: the origin and one of each pair (kx, ky), (-kx, -ky), by radius."""
    disc = Ball(radius, 2, device)
    half = disc.points[torch.arange(len(disc), device=device) < disc.mirror]
    return torch.cat([half.new_zeros(1, 2), half])


def _groups(squared: Tensor, radius: int, rows: int) -> Iterator[tuple[Tensor, int]]:
    """Heights kz ``(g,)`` of the planes of a block, and how many points the widest has."""
    heights = sorted(range(-radius, radius + 1), key=abs)
    while heights:
        limit = torch.tensor(radius**2 - heights[0] ** 2, device=squared.device)
        count = int(torch.searchsorted(squared, limit, right=True))
        taken = max(1, rows // count)
        yield torch.tensor(heights[:taken], device=squared.device), count
        heights = heights[taken:]


def _turned(weight: Tensor, phase: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weights ``(g, f, w)`` of the cosines and of the sines, turned by phases ``(g, f)``."""
    of_sine, of_cosine = weight.T.chunk(2)  # (f, w) each
    cosine, sine = phase.cos()[:, :, None], phase.sin()[:, :, None]
    even = of_cosine * cosine + of_sine * sine
    odd = of_sine * cosine - of_cosine * sine
    return even.to(dtype), odd.to(dtype)


def _find(ball: Ball, radius: int, half: Tensor, heights: Tensor) -> Tensor:
    """Index ``(g, 2, q)`` in the ball of the points above and below a half-plane."""
    g, q = len(heights), len(half)
    pair = torch.stack([half, -half])[None].expand(g, 2, q, 2)
    points = torch.cat([pair, heights[:, None, None, None].expand(g, 2, q, 1)], 3)
    inside = (points**2).sum(3) <= radius**2
    return torch.where(inside, ball.find(points.reshape(-1, 3)).reshape(g, 2, q), -1)
