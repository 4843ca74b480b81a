"""One volume from nothing: stochastic expectation-maximisation from a random start.

Each step draws a batch, scores it against slices on a randomly turned grid (a fixed one leaves
artefacts), spreads every image over its likely poses and moves running sums of the back-projection
a little. The radius grows slowly: starts that grow in fewer than about 60 steps lock into wrong
maps of nearly the same likelihood. Small batches with a long memory start right more often than
large ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging import so3
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.fourier import Accumulator, Cube
from napari_cryodeco.model.pose_search import Evidence, grid_scores, shift_disc


@dataclass(frozen=True)
class StartPlan:
    """Settings of a random start.

    `steps` of `batch` images; the radius grows from `first` to `last` over the first 85 % of them;
    `memory` is the share of the running sums that a step replaces; `extent` of shifts in box sides;
    `spread` poses per image.
    """

    steps: int = 250
    batch: int = 32
    first: int = 3
    last: int = 9
    memory: float = 0.07
    extent: float = 0.08
    spread: int = 64

    def radius(self, step: int) -> int:
        """Radius at `step`."""
        return round(self.first + (self.last - self.first) * min(1.0, step / (0.85 * self.steps)))


def _grown(sums: Accumulator | None, radius: int, device: torch.device) -> Accumulator:
    """Take the sums over to a larger radius."""
    larger = Accumulator.empty(radius, device)
    if sums is not None:
        small = round(sums.numerator.numel() ** (1 / 3))
        big = round(larger.numerator.numel() ** (1 / 3))
        inner = slice((big - small) // 2, (big - small) // 2 + small)
        for old, new in (
            (sums.numerator, larger.numerator),
            (sums.denominator, larger.denominator),
        ):
            new.view(big, big, big)[inner, inner, inner] = old.view(small, small, small)
    return larger


def _shifts(extent: float, radius: int) -> Tensor:
    return shift_disc(extent, 1 / (3 * radius) if radius > 4 else 0.08)


def _slices(volume: Tensor, rotations: Tensor, ball2: Ball, ball3: Ball, radius: int) -> Tensor:
    """Slices up to `radius`; shells that the volume does not have yet are zero."""
    reach = min(radius, int(ball3.radii[len(volume) - 1]))
    found = Cube(volume[None], ball3, reach).slice(0, rotations, ball2)
    return torch.nn.functional.pad(found, (0, ball2.count(radius) - found.shape[1]))


def _spread(
    evidence: Evidence, slices: Tensor, shifts: Tensor, spread: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Likely poses of the images: weighted data and CTF², and grid indices; one row per pose."""
    scores, which = grid_scores(evidence, slices, shifts).max(1)
    top, poses = scores.topk(min(spread, scores.shape[1]), dim=1)
    weights = top.softmax(1)
    rows, columns = torch.nonzero(weights > 1e-3, as_tuple=True)
    index = poses[rows, columns]
    share = weights[rows, columns][:, None]
    moved = evidence.shifted(shifts)[rows, which[rows, index]]
    return moved * share, evidence.ctf2[rows] * share, index


def random_start(
    evidence: Evidence,
    power: Tensor,
    plan: StartPlan,
    generator: torch.Generator,
    weights: Tensor | None = None,
    progress: Callable[[int], None] = lambda step: None,
) -> Tensor:
    """Volume ``(p,)`` up to ``plan.last`` from images alone.

    Parameters
    ----------
    evidence
        Images of (mostly) one species, at least up to ``plan.last``.
    power
        Expected squared coefficient of the map per shell, ``(radius + 1,)``.
    weights
        ``(n,)`` how much each image belongs to this species; batches are drawn by them.
    """
    n, device = len(evidence), evidence.data.device
    chance = torch.ones(n) if weights is None else weights.cpu()
    chance = chance.clamp_min(1e-6)
    total = float(chance.sum() / chance.max())
    ball3 = Ball(plan.last, 3, device)
    sums: Accumulator | None = None
    volume: Tensor | None = None
    for step in range(plan.steps):
        radius = plan.radius(step)
        if sums is None or radius != sums.radius:
            sums = _grown(sums, radius, device)
        rows = torch.multinomial(chance, min(plan.batch, n), generator=generator)
        seen = evidence[rows.to(device)].prefix(radius)
        turn = so3.random_rotations(1, generator)[0]
        grid = (so3.ring_grid(2 if radius <= 5 else 3) @ turn).to(device)
        gain = total / len(rows)
        if volume is None:
            first = torch.randint(0, len(grid), (len(rows),), generator=generator)
            sums.insert(seen.data * gain, seen.ctf2 * gain, grid[first.to(device)], evidence.ball)
        else:
            slices = _slices(volume, grid, evidence.ball, ball3, radius)
            moved, ctf2, index = _spread(
                seen, slices, _shifts(plan.extent, radius).to(device), plan.spread
            )
            sums.decay(1 - plan.memory)
            gain *= plan.memory
            sums.insert(moved * gain, ctf2 * gain, grid[index], evidence.ball)
        volume = sums.solve(power)
        progress(step + 1)
    assert volume is not None
    return volume


def held_out_score(evidence: Evidence, volume: Tensor, radius: int, extent: float) -> float:
    """Mean best log-likelihood of unused images at `radius`: what restarts are ranked by."""
    ball3 = Ball(radius, 3, volume.device)
    grid = so3.ring_grid(4).to(volume.device)
    slices = _slices(volume, grid, evidence.ball, ball3, radius)
    shifts = _shifts(extent, radius).to(volume.device)
    best = [
        grid_scores(evidence[start : start + 64].prefix(radius), slices, shifts).amax((1, 2))
        for start in range(0, len(evidence), 64)
    ]
    return float(torch.cat(best).mean())
