"""Two maps of unknown frames laid over each other: turned, moved, of either hand.

Every coarse rotation of both hands is scored at a few shifts, on coefficients whose shells all
weigh the same; the best are refined by octree steps with growing radius, as poses are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging import fsc, so3
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.fourier import Cube

COARSE_RADIUS = 6  # the grid's 15 degrees resolve no more
NSIDE = 4
SPACING = 0.055  # of the coarse shifts, in box sides
REACH = 0.1  # maps from nothing wander by less
KEPT = 12
LEVELS = 4


@dataclass(frozen=True)
class Superposition:
    """How the second map lies over the first.

    ``moved`` ``(p,)`` are the second's coefficients in the frame of the first: mirrored through the
    origin if `mirrored`, turned by `rotation` ``(3, 3)``, then moved by `shift` ``(3,)`` in box
    sides. `fsc` ``(radius,)`` is their correlation shell by shell.
    """

    rotation: Tensor
    shift: Tensor
    mirrored: bool
    moved: Tensor
    fsc: Tensor

    def apply(self, volume: Tensor, ball: Ball) -> Tensor:
        """Move another map ``(p,)`` of the second's frame, on any 3-D `ball`, likewise."""
        return _laid(volume, ball, self.rotation, self.shift, self.mirrored)


def superpose(first: Tensor, second: Tensor, ball: Ball) -> Superposition:
    """Find the rotation, shift and hand of `second` at which it is most like `first`.

    Parameters
    ----------
    first, second
        ``(m,)`` working coefficients of the maps, at least those of `ball`.
    ball
        The 3-D ball up to which they are compared; it decides the radius.
    """
    count = len(ball)
    fixed, free = whitened(first[:count], ball), whitened(second[:count], ball)
    found = [_best_of_hand(fixed, hand, ball) for hand in (free, free[ball.mirror])]
    mirrored = float(found[1][0]) > float(found[0][0])
    _, rotation, shift = found[mirrored]
    moved = _laid(second[:count], ball, rotation, shift, mirrored)
    return Superposition(
        rotation, shift, mirrored, moved, fsc.of_coefficients(first[:count], moved, ball)
    )


def _laid(volume: Tensor, ball: Ball, rotation: Tensor, shift: Tensor, mirrored: bool) -> Tensor:
    cube = Cube((volume[ball.mirror] if mirrored else volume)[None], ball, ball.radius)
    turned = cube.sample(0, (ball.points.float() @ rotation)[None])[0]
    return ball.shift(turned[None], shift[None])[0]


def whitened(volume: Tensor, ball: Ball) -> Tensor:
    """Coefficients with the same power in every shell."""
    power = torch.zeros(int(ball.shells.max()) + 1, device=volume.device)
    power.index_add_(0, ball.shells, volume**2)
    members = torch.bincount(ball.shells, minlength=len(power)).clamp_min(1)
    return volume / (power / members).sqrt().clamp_min(1e-12)[ball.shells]


def _best_of_hand(fixed: Tensor, free: Tensor, ball: Ball) -> tuple[Tensor, Tensor, Tensor]:
    """Score, rotation ``(3, 3)`` and shift ``(3,)`` of the best way to lay one over the other."""
    cube = Cube(free[None], ball, ball.radius)
    radius, spacing = float(min(COARSE_RADIUS, ball.radius)), SPACING
    rotations = so3.ring_grid(NSIDE).to(fixed.device)
    offsets = _offsets(REACH, spacing).to(fixed)
    targets = ball.shift(fixed[None, : ball.count(radius)], -offsets)
    scores, which = (_turned(cube, ball, rotations, radius) @ targets.T).max(1)
    shifts = offsets[which]
    step = so3.grid_spacing(NSIDE) / 4 * 1.3
    for level in range(LEVELS):
        best = scores.topk(min(KEPT, len(scores))).indices
        rotations = so3.octree_children(rotations[best], step).reshape(-1, 3, 3)
        spacing, step = spacing / 2, step / 2
        offsets = _offsets(1.8 * spacing, spacing).to(fixed)
        tried = shifts[best].repeat_interleave(8, 0)[:, None] + offsets
        reached = radius + (ball.radius - radius) * (level + 1) / LEVELS
        turned = _turned(cube, ball, rotations, reached)
        target = fixed[None, : turned.shape[1]]
        scores, which = torch.stack(
            [(ball.shift(target, -some) * turned).sum(1) for some in tried.unbind(1)], 1
        ).max(1)
        shifts = tried[torch.arange(len(tried)), which]
    best = scores.argmax()
    return scores[best], rotations[best], shifts[best]


def _offsets(reach: float, spacing: float) -> Tensor:
    """Shifts ``(T, 3)`` of a cubic grid within `reach`, the origin among them."""
    steps = int(reach / spacing)
    axis = torch.arange(-steps, steps + 1) * spacing
    points = torch.cartesian_prod(axis, axis, axis)
    return points[points.norm(dim=1) <= reach]


def _turned(cube: Cube, ball: Ball, rotations: Tensor, radius: float) -> Tensor:
    """The map turned by each rotation, of length one: ``(m, ball.count(radius))``."""
    points = ball.points[: ball.count(radius)].float()
    parts = [cube.sample(0, points @ some) for some in rotations.split(512)]
    return torch.nn.functional.normalize(torch.cat(parts), dim=1)
