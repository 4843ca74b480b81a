"""Hartley coefficients at the integer points of a ball, sorted by radius.

Any lower resolution is a prefix: ``h[..., : ball.count(r)]``. The origin (the mean) is left out
everywhere.
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from napari_cryodeco.imaging.hartley import hartley, inverse_hartley


@lru_cache(maxsize=32)
def _sorted_points(radius: int, ndim: int) -> Tensor:
    axis = torch.arange(-radius, radius + 1)
    points = torch.cartesian_prod(*[axis] * ndim).flip(-1)  # x is the fastest column
    squared = (points**2).sum(-1)
    inside = (squared <= radius**2) & (squared > 0)
    points, squared = points[inside], squared[inside]
    return points[torch.argsort(squared, stable=True)].contiguous()


class Ball:
    """The integer points ``0 < |k| <= radius`` in two or three dimensions.

    Parameters
    ----------
    radius
        Largest frequency, in cycles per box.
    ndim
        2 for images, 3 for maps.
    """

    def __init__(self, radius: int, ndim: int, device: torch.device | str = "cpu") -> None:
        if radius < 1 or ndim not in (2, 3):
            raise ValueError(
                f"A ball needs radius >= 1 and 2 or 3 dimensions, not {radius} and {ndim}."
            )
        self.radius, self.ndim = radius, ndim
        self.points = _sorted_points(radius, ndim).to(device)

    def __len__(self) -> int:
        return len(self.points)

    def to(self, device: torch.device | str) -> Ball:
        """Return the same ball on another device."""
        return Ball(self.radius, self.ndim, device)

    @cached_property
    def radii(self) -> Tensor:
        """``(p,)`` float lengths of the points."""
        return (self.points**2).sum(-1).double().sqrt().float()

    @cached_property
    def shells(self) -> Tensor:
        """``(p,)`` int64: shell i holds ``i - 0.5 <= |k| < i + 0.5``."""
        return (self.radii + 0.5).floor().long()

    @cached_property
    def _squared(self) -> Tensor:
        return (self.points**2).sum(-1)

    @cached_property
    def mirror(self) -> Tensor:
        """``(p,)`` index of the point ``-k``."""
        index = self._lattice(-self.points)
        place = torch.empty(
            (2 * self.radius + 1) ** self.ndim, dtype=torch.long, device=self.points.device
        )
        place[self._lattice(self.points)] = torch.arange(len(self), device=self.points.device)
        return place[index]

    def _lattice(self, points: Tensor) -> Tensor:
        side = 2 * self.radius + 1
        index = torch.zeros(len(points), dtype=torch.long, device=points.device)
        for column in range(self.ndim - 1, -1, -1):  # z slowest
            index = index * side + points[:, column] + self.radius
        return index

    def count(self, radius: float) -> int:
        """Count the points with ``|k| <= radius``: the length of the prefix."""
        limit = torch.tensor(math.floor(radius * radius + 1e-9), device=self.points.device)
        return int(torch.searchsorted(self._squared, limit, right=True))

    def soft_edge(self, radius: float, count: int) -> Tensor:
        """Low-pass ``(count,)`` of the first points: a raised cosine, for a hard edge would ring.

        It falls over two shells about `radius`.
        """
        beyond = self.radii[:count] - radius
        return 0.5 - 0.5 * torch.sin(math.pi / 2 * beyond.clamp(-1, 1))

    def extend(self, h: Tensor) -> Tensor:
        """Coefficients ``(..., p)`` of a prefix ``(..., m)``: zero where nothing is known."""
        return torch.nn.functional.pad(h, (0, len(self) - h.shape[-1]))

    def frequencies(self, box: int, pixel_size: float) -> Tensor:
        """``(p, ndim)`` frequencies in cycles/Å for this box (px) and pixel size (Å)."""
        return self.points.float() / (box * pixel_size)

    def _grid_index(self, box: int, count: int) -> Tensor:
        if count and float(self.radii[count - 1]) > (box - 1) // 2:
            raise ValueError(
                f"Points up to radius {float(self.radii[count - 1]):.0f} do not fit a box of {box}."
            )
        index = torch.zeros(count, dtype=torch.long, device=self.points.device)
        for column in range(self.ndim - 1, -1, -1):
            index = index * box + (self.points[:count, column] + box // 2) % box
        return index

    def to_grid(self, h: Tensor, box: int) -> Tensor:
        """Coefficients ``(..., m)``, or a prefix, as a centred ``(..., box, box[, box])`` grid."""
        count = h.shape[-1]
        grid = h.new_zeros(*h.shape[:-1], box**self.ndim)
        grid[..., self._grid_index(box, count)] = h
        return grid.reshape(*h.shape[:-1], *([box] * self.ndim))

    def from_grid(self, grid: Tensor) -> Tensor:
        """Coefficients ``(..., p)`` of a centred Hartley grid."""
        box = grid.shape[-1]
        flat = grid.reshape(*grid.shape[: -self.ndim], -1)
        return flat[..., self._grid_index(box, len(self))]

    def to_map(self, h: Tensor, box: int, scale: float = 1.0) -> Tensor:
        """Image or map ``(..., box, box[, box])`` of working coefficients times `scale`."""
        return inverse_hartley(self.to_grid(h, box) * scale, self.ndim)

    def from_map(self, volume: Tensor, scale: float = 1.0) -> Tensor:
        """Working coefficients ``(..., p)`` of a real-space image or map."""
        return self.from_grid(hartley(volume, self.ndim)) / scale

    def shift(self, h: Tensor, shifts: Tensor) -> Tensor:
        """Move the content by `shifts` ``(n, ndim)``, in units of the box side; `h` is ``(n, m)``.

        ``H'(k) = cos(2π k·t) H(k) + sin(2π k·t) H(-k)``.
        """
        count = h.shape[-1]
        phase = 2 * math.pi * shifts @ self.points[:count].to(shifts.dtype).T
        mirror = self.mirror[:count]
        return h * phase.cos() + h[..., mirror] * phase.sin()
