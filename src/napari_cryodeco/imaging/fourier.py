"""Explicit Fourier volumes: slices out, images in, Wiener filter (algorithm.md §8.3 S1).

A map lives as Hartley coefficients of a :class:`Ball`. For slicing it is put on a cube padded twice
through real space, so that trilinear interpolation errs by about 2 % of a slice; the interpolation
kernel is divided out in real space. Insertion is the adjoint of slicing.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.hartley import hartley, inverse_hartley

# Points of the padded cube for each of the map's own. They share what an image tells of the map, so
# each is drawn to zero by as much less than a coefficient of the map would be: else maps of few
# images are too weak (400 images of 32 px: by two thirds at a shell where their FSC is 0.95).
_FINER = 8


def _tight_box(radius: int) -> int:
    return 2 * (radius + 2)


@lru_cache(maxsize=16)
def _kernel(box: int) -> Tensor:
    """What trilinear interpolation on the padded cube does to the map: ``(box, box, box)``."""
    axis = (torch.arange(box) - box // 2).float() / (2 * box)
    line = torch.sinc(axis) ** 2
    return line[:, None, None] * line[:, None] * line


@lru_cache(maxsize=16)
def solvent_mask(box: int, radius: float = 0.9, soft: float = 0.1) -> Tensor:
    """Soft sphere ``(box, box, box)``: 1 inside `radius`, then a cosine edge `soft` wide.

    Both are shares of half the side.
    """
    axis = (torch.arange(box) - box // 2).float() / (box / 2)
    r = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt()
    return 0.5 + 0.5 * torch.cos(torch.pi * ((r - radius) / soft).clamp(0, 1))


def _flatten_solvent(maps: Tensor) -> Tensor:
    """Set the unknown mean of each map so that it is zero outside the sphere.

    The mean is in no image (the origin is left out), but a padded cube needs it: without it the
    values between the origin and the first shell are wrong by tens of per cent.
    """
    outside = _outside(maps.shape[-1]).to(maps.device)
    return maps - maps[..., outside].mean(-1)[..., None, None, None]


@lru_cache(maxsize=16)
def _outside(box: int) -> Tensor:
    return solvent_mask(box, 0.9, 0.1) < 0.5


def slice_points(ball: Ball, rotations: Tensor, count: int) -> Tensor:
    """Place the first `count` points of the 2-D `ball` in the map: ``(..., count, 3)``."""
    return ball.points[:count].to(rotations.dtype) @ rotations[..., :2, :]


def _check_reach(ball: Ball, count: int, radius: int) -> None:
    """Compiled loops look at no bounds."""
    if count and float(ball.radii[count - 1]) > radius:
        raise ValueError(f"Slices to radius {ball.radii[count - 1]:.1f} of a cube to {radius}.")


class Cube:
    """Volumes made ready for slicing up to `radius`.

    Parameters
    ----------
    volumes
        ``(K, m)`` working coefficients, at least as many as ``ball.count(radius)``.
    ball
        The 3-D ball of the coefficients.
    radius
        Largest frequency that will be asked.
    """

    def __init__(self, volumes: Tensor, ball: Ball, radius: int) -> None:
        self.radius = radius
        box = _tight_box(radius)
        maps = _flatten_solvent(ball.to_map(volumes[:, : ball.count(radius)], box)) / _kernel(
            box
        ).to(volumes)
        self.side = 2 * box
        padded = torch.nn.functional.pad(maps, [box // 2] * 6)
        self.grid = hartley(padded, 3)[:, None].contiguous()

    def slice(
        self, index: int, rotations: Tensor, ball: Ball, radius: float | None = None
    ) -> Tensor:
        """Slices ``(m, count)`` of volume `index` at `rotations` ``(m, 3, 3)`` on a 2-D `ball`."""
        count = ball.count(self.radius if radius is None else radius)
        if self.grid.device.type == "cpu":
            return self._compiled(index, rotations, ball, count)
        # the scale from k to grid_sample's units goes into the small matrices, not the many points
        where = slice_points(ball, rotations * (4 / (self.side - 1)), count)
        return self._look_up(index, where.add_(1 / (self.side - 1)))

    def slice_all(self, rotations: Tensor, ball: Ball) -> Tensor:
        """Slices ``(K, m, count)`` of all volumes up to ``self.radius``, at once."""
        if self.grid.device.type == "cpu":
            count = ball.count(self.radius)
            found = [self._compiled(k, rotations, ball, count) for k in range(len(self.grid))]
            return torch.stack(found)
        where = slice_points(ball, rotations * (4 / (self.side - 1)), ball.count(self.radius))
        return torch.nn.functional.grid_sample(
            self.grid.transpose(0, 1),
            where.add_(1 / (self.side - 1))[None, None],
            mode="bilinear",
            align_corners=True,
        )[0, :, 0]

    def _compiled(self, index: int, rotations: Tensor, ball: Ball, count: int) -> Tensor:
        from napari_cryodeco.imaging import kernels  # numba: only who slices pays for it

        _check_reach(ball, count, self.radius)
        return kernels.slices(self.grid[index, 0], 2 * rotations, ball.points[:count].float())

    def sample(self, index: int, points: Tensor) -> Tensor:
        """Values of volume `index` at `points` ``(m, p, 3)`` in units of k: ``(m, p)``."""
        return self._look_up(index, points * (4 / (self.side - 1)) + 1 / (self.side - 1))

    def _look_up(self, index: int, where: Tensor) -> Tensor:
        return torch.nn.functional.grid_sample(
            self.grid[index : index + 1], where[None, None], mode="bilinear", align_corners=True
        )[0, 0, 0]


@dataclass
class Accumulator:
    """Sums of a back-projection on the padded cube: CTF-weighted data and squared CTF."""

    numerator: Tensor
    denominator: Tensor
    radius: int

    @classmethod
    def empty(cls, radius: int, device: torch.device | str = "cpu") -> Accumulator:
        """Return sums of zero for slices up to `radius`."""
        size = (2 * _tight_box(radius)) ** 3
        return cls(torch.zeros(size, device=device), torch.zeros(size, device=device), radius)

    def insert(self, values: Tensor, weights: Tensor, rotations: Tensor, ball: Ball) -> None:
        """Add slices at `rotations` ``(m, 3, 3)``.

        `values` ``(m, p)`` = Σ CTF·image, `weights` ``(m, p)`` = Σ CTF².
        """
        if self.numerator.device.type == "cpu":
            from napari_cryodeco.imaging import kernels

            _check_reach(ball, values.shape[1], self.radius)
            points = ball.points[: values.shape[1]].float()
            sums = self.numerator, self.denominator
            kernels.insert(sums, 2 * rotations, points, values, weights)
            return
        chunk = max(1, 400_000 // values.shape[1])
        for start in range(0, len(values), chunk):
            rows = slice(start, start + chunk)
            points = slice_points(ball, 2 * rotations[rows], values.shape[1]).reshape(-1, 3)
            self._scatter(points, values[rows].reshape(-1), weights[rows].reshape(-1))

    def _scatter(self, points: Tensor, values: Tensor, weights: Tensor) -> None:
        """Share ``(q,)`` values and weights among the eight corners around points ``(q, 3)``."""
        side = 2 * _tight_box(self.radius)
        corner = points.floor()
        upper = (points - corner).unbind(1)
        lower = [1 - part for part in upper]
        x0, y0, z0 = (corner.long() + side // 2).unbind(1)
        base = (z0 * side + y0) * side + x0
        for z, y in itertools.product((0, 1), repeat=2):
            plane = (upper if z else lower)[2] * (upper if y else lower)[1]
            for x in (0, 1):
                share = plane * (upper if x else lower)[0]
                index = base + (z * side * side + y * side + x)
                self.numerator.index_add_(0, index, share * values)
                self.denominator.index_add_(0, index, share * weights)

    def decay(self, keep: float) -> None:
        """Forget a part: multiply both sums by `keep`."""
        self.numerator *= keep
        self.denominator *= keep

    def solve(
        self, power: Tensor, mask: Tensor | None = None, around: Accumulator | None = None
    ) -> Tensor:
        """Wiener estimate of the map: coefficients ``(p,)`` of ``Ball(self.radius, 3)``.

        Parameters
        ----------
        power
            ``(radius + 1,)`` expected squared coefficient of the map per shell (index 0 unused).
        mask
            ``(box, box, box)`` real-space mask on the tight box; a soft sphere when None.
        around
            Sums of all particles of whose kinds this is one: where its own tell nothing it is as
            their map, not zero.
        """
        box = _tight_box(self.radius)
        side = 2 * box
        prior = _shell_lookup(power.to(self.numerator), side, self.radius)
        numerator = self.numerator
        if around is not None:
            numerator = numerator + prior * (around.numerator / (around.denominator + prior))
        grid = (numerator / (self.denominator + prior)).reshape(side, side, side)
        full = inverse_hartley(grid, 3)
        inner = slice(box // 2, box // 2 + box)
        shape = (solvent_mask(box) if mask is None else mask).to(full)
        # the cube is twice as fine as the map's own grid: only the scale of frequencies changes
        volume = _flatten_solvent(full[inner, inner, inner]) / _kernel(box).to(full) * shape
        return Ball(self.radius, 3, volume.device).from_map(volume)


def _shell_lookup(power: Tensor, side: int, radius: int) -> Tensor:
    """What draws each point of the padded cube to zero, flat; huge outside the radius."""
    shells = _shell_index(side).to(power.device)
    inverse = torch.full((int(shells.max()) + 1,), 1e12, dtype=power.dtype, device=power.device)
    inverse[1 : radius + 1] = 1 / (_FINER * power[1 : radius + 1].clamp_min(1e-12))
    inverse[0] = inverse[1]
    return inverse[shells]


@lru_cache(maxsize=8)
def _shell_index(side: int) -> Tensor:
    axis = (torch.arange(side) - side // 2).float() / 2
    r = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt()
    return (r + 0.5).floor().long().reshape(-1)
