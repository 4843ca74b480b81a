"""Where parallel rays meet the surface of a map. Pure tensors, any device.

Every fourth ray walks first, in long steps where the map is empty. Where nine neighbours agree the
rays between them are interpolated; elsewhere they look about the depths that the neighbours found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.ndimage import distance_transform_cdt
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, max_pool2d, max_pool3d

_STEP = 0.8  # voxels
_REACH = math.sqrt(3) + 0.5  # voxels: a trilinear surface lies this near to a voxel above the level
_COARSE = 4  # every fourth ray goes first
_SMOOTH = 2.0  # voxels between neighbours on one unbroken surface
_LOOKS = 12  # steps about a neighbour's depth: a surface falls away fast at its rim


@dataclass(frozen=True)
class Field:
    """A scalar field on a grid, and where a picture's axes lie in it.

    Parameters
    ----------
    values
        ``(z, y, x)``; zero is below any level.
    rotation
        ``(3, 3)``: grid directions (xyz) to the picture's right, up, and towards the viewer.
    origin
        ``(3,)`` grid position, xyz in voxels, of the picture's origin.
    paint
        ``(3, z, y, x)`` colours of the grid from 0 to 1, or None.
    """

    values: Tensor
    rotation: Tensor
    origin: Tensor
    paint: Tensor | None = None

    def place(self, points: Tensor) -> Tensor:
        """Grid positions ``(m, 3)`` xyz of picture points ``(m, 3)``."""
        return torch.addmm(self.origin, points, self.rotation)

    def picture(self, positions: Tensor) -> Tensor:
        """Picture points ``(m, 3)`` of grid positions ``(m, 3)``: the inverse of :meth:`place`."""
        return (positions - self.origin) @ self.rotation.T


def sample(channels: Tensor, positions: Tensor) -> Tensor:
    """Trilinear values ``(c, m)`` of ``(c, z, y, x)`` at `positions` ``(m, 3)`` xyz; 0 outside."""
    last = torch.tensor(channels.shape[:0:-1], device=positions.device) - 1
    unit = positions * (2 / last) - 1
    return grid_sample(channels[None], unit[None, None, None], align_corners=True)[0, :, 0, 0]


def first_hits(field: Field, level: float, right: Tensor, up: Tensor) -> Tensor:
    """Depth of the surface ``field = level`` seen along parallel rays.

    Parameters
    ----------
    right, up
        ``(w,)`` and ``(h,)`` picture coordinates of the rays, in voxels, equally spaced; `up` from
        the top down.

    Returns
    -------
    Tensor
        ``(h, w)`` coordinate towards the viewer, in voxels; ``-inf`` where there is nothing.
    """
    coarse = _walk(field, level, _every_fourth(right), _every_fourth(up))
    nearest = max_pool2d(coarse[None], 3, 1, 1)[0]
    farthest = -max_pool2d(torch.where(coarse > -math.inf, -coarse, -math.inf)[None], 3, 1, 1)[0]
    gaps = max_pool2d((coarse == -math.inf).to(coarse)[None], 3, 1, 1)[0] > 0
    smooth = ~gaps & (nearest - farthest < _SMOOTH)
    between = interpolate(
        coarse.clamp(min=-1e6)[None, None], scale_factor=_COARSE, mode="bilinear"
    )[0, 0, : len(up), : len(right)]
    depth = torch.where(_repeated(smooth, between), between, -math.inf)
    guesses = [_repeated(guess, depth).reshape(-1) for guess in (nearest, coarse, farthest)]
    return _looked(field, level, right, up, depth, guesses)


def _every_fourth(axis: Tensor) -> Tensor:
    """Middles of blocks of four coordinates; the last block may reach beyond the end."""
    spacing = axis[1] - axis[0]
    blocks = torch.arange(math.ceil(len(axis) / _COARSE), device=axis.device)
    return axis[0] + spacing * (_COARSE * blocks + (_COARSE - 1) / 2)


def _repeated(coarse: Tensor, like: Tensor) -> Tensor:
    """Each value for its block of rays, cut to the picture."""
    whole = coarse.repeat_interleave(_COARSE, 0).repeat_interleave(_COARSE, 1)
    return whole[: like.shape[0], : like.shape[1]]


def _looked(
    field: Field, level: float, right: Tensor, up: Tensor, depth: Tensor, guesses: list[Tensor]
) -> Tensor:
    """Fill the rays of `depth` that have none yet, from the nearest of the guesses on."""
    found = depth.reshape(-1).clone()
    for guess in guesses:
        rays = torch.nonzero((found == -math.inf) & guess.isfinite())[:, 0]
        points = torch.stack([right[rays % len(right)], up[rays // len(right)], guess[rays]], 1)
        points[:, 2] += _STEP
        for _ in range(_LOOKS):
            above = sample(field.values[None], field.place(points))[0] >= level
            found[rays[above]] = _crossing(field, level, points[above])
            rays, points = rays[~above], points[~above]
            points[:, 2] -= _STEP
    return found.reshape(depth.shape)


def _walk(field: Field, level: float, right: Tensor, up: Tensor) -> Tensor:
    """Depth ``(h, w)`` where each ray first meets the surface, found by walking all the way."""
    begin, end = _bounds(field, level, right, up)
    free = _clearance(field.values, level)
    rays = torch.nonzero((begin > end).reshape(-1))[:, 0]
    points = torch.stack(
        [right[rays % len(right)], up[rays // len(right)], begin.reshape(-1)[rays]], 1
    )
    stop = end.reshape(-1)[rays]
    depth = torch.full_like(begin, -math.inf).reshape(-1)
    while len(rays):
        positions = field.place(points)
        step = _look_up(free, positions)
        close = torch.nonzero(step <= _STEP)[:, 0]
        hits = close[sample(field.values[None], positions[close])[0] >= level]
        depth[rays[hits]] = _crossing(field, level, points[hits])
        points[:, 2] -= step
        going = points[:, 2] > stop
        going[hits] = False
        rays, points, stop = rays[going], points[going], stop[going]
    return depth.reshape(begin.shape)


def _crossing(field: Field, level: float, inside: Tensor) -> Tensor:
    """Depth ``(m,)`` of the crossing within one step in front of points above the level."""
    ahead = inside + torch.tensor([0.0, 0.0, _STEP], device=inside.device)
    low, high = (sample(field.values[None], field.place(points))[0] for points in (ahead, inside))
    share = ((high - level) / (high - low)).nan_to_num(0.0).clamp(0, 1)
    return inside[:, 2] + share * _STEP


def _clearance(values: Tensor, level: float) -> Tensor:
    """Safe step in voxels from anywhere in each block of 2³ voxels; ``_STEP`` at the surface."""
    blocks = max_pool3d(values[None], 2, ceil_mode=True)[0] >= level
    distance = distance_transform_cdt((~blocks).cpu().numpy(), "chessboard")
    # A block d away is 2d - 1 voxels away; one more for the surface's own cell, half for rounding.
    return (2.0 * torch.from_numpy(distance).to(values) - 2.5).clamp(min=_STEP)


def _look_up(free: Tensor, positions: Tensor) -> Tensor:
    """Entry of the block that holds each position, of the nearest block for positions outside."""
    block = (positions.round() / 2).floor().long()
    for axis, side in enumerate(free.shape[::-1]):
        block[:, axis].clamp_(0, side - 1)
    index = (block[:, 2] * free.shape[1] + block[:, 1]) * free.shape[2] + block[:, 0]
    return free.reshape(-1)[index]


def _bounds(field: Field, level: float, right: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Depths ``(h, w)`` between which each ray can meet the surface; begin < end: nowhere."""
    voxels = torch.nonzero(field.values >= level).flip(-1).to(right.dtype)
    points = field.picture(voxels)
    cells = math.ceil(float(right[-1] - right[0])) + 2, math.ceil(float(up[0] - up[-1])) + 2
    column = (points[:, 0] - right[0]).round().long()
    row = (up[0] - points[:, 1]).round().long()
    seen = (column >= 0) & (column < cells[0]) & (row >= 0) & (row < cells[1])
    index, depth = (row * cells[0] + column)[seen], points[seen, 2]
    near, far = _spread(index, depth, cells), _spread(index, -depth, cells)
    rows = (up[0] - up).round().long()
    columns = (right - right[0]).round().long()
    return near[rows][:, columns], -far[rows][:, columns]


def _spread(index: Tensor, depth: Tensor, cells: tuple[int, int]) -> Tensor:
    """Coarse map of the largest depth, widened by a voxel's reach; ``-inf`` where there is none."""
    coarse = depth.new_full((cells[0] * cells[1],), -math.inf)
    coarse.scatter_reduce_(0, index, depth, "amax")
    wide = 2 * math.ceil(_REACH + 1) + 1  # one cell more: rays and voxels are rounded to cells
    return max_pool2d(coarse.reshape(1, cells[1], cells[0]), wide, 1, wide // 2)[0] + _REACH
