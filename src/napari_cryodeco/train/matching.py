"""Particles against one volume: global search, local polish, and the volume that they give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging import fsc, so3
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.fourier import Accumulator, Cube
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.model.evidence import Evidence, Source, shift_disc
from napari_cryodeco.model.grid_slices import GridSlices
from napari_cryodeco.model.pose_search import Candidates, Favour, coarse, refine
from napari_cryodeco.train import coverage

BATCH = 64
_TOGETHER = 512  # images inserted at once
# Parts of the particles. Each is matched with maps of the others alone: a map of a few hundred
# fits the noise of those it is made of, and keeps them where they are.
FOLDS = 4


@dataclass(frozen=True)
class SearchPlan:
    """How poses are searched.

    `coarse_radius` for the grid of `nside` (see :func:`so3.ring_grid`), `fine_radius` at the last
    of `levels` octree levels, `extent` of shifts in box sides, `keep` candidates after the grid.
    """

    coarse_radius: int
    fine_radius: int
    extent: float = 0.08
    nside: int = 4
    levels: int = 3
    keep: int = 8

    @property
    def spacing(self) -> float:
        """Spacing of the coarse shifts in box sides."""
        return 1 / (3 * self.coarse_radius)


def volume_radius(volume: Tensor, ball: Ball) -> int:
    """Radius up to which a prefix of coefficients reaches."""
    return int(ball.radii[volume.shape[-1] - 1])


class Matcher:
    """One volume ready to be searched against."""

    def __init__(
        self,
        volume: Tensor,
        ball3: Ball,
        ball2: Ball,
        plan: SearchPlan,
        favour: Favour | None = None,
    ) -> None:
        radius = volume_radius(volume, ball3)
        self.plan, self.ball2 = plan, ball2
        self.coarse_radius = min(plan.coarse_radius, radius)
        self.fine_radius = min(plan.fine_radius, radius)
        self._cube = Cube(volume[None], ball3, self.fine_radius)
        self._grid = so3.ring_grid(plan.nside).to(volume.device)
        self._slices = GridSlices(self.render(self._grid, self.coarse_radius))
        self._shifts = shift_disc(plan.extent, plan.spacing).to(volume.device)
        self._axis = coverage.axis_of(self._grid)
        self.favour = favour

    def render(self, rotations: Tensor, radius: float) -> Tensor:
        """Slices of the volume; the `Renderer` of the search."""
        return self._cube.slice(0, rotations, self.ball2, radius)

    def coarse(self, evidence: Evidence) -> Candidates:
        """Best grid poses of each image."""
        seen = evidence.prefix(self.coarse_radius)
        plan, favour = self.plan, self.favour
        return coarse(seen, self._slices, self._grid, self._shifts, plan.keep, favour)

    def along_axes(self, evidence: Evidence) -> Tensor:
        """Best log-likelihood of each image along each viewing axis: ``(n, AXES)``."""
        best = torch.full((len(evidence), coverage.AXES), -torch.inf, device=self._grid.device)
        for start in range(0, len(evidence), BATCH):
            seen = evidence[start : start + BATCH].prefix(self.coarse_radius)
            scores, _ = self._slices.best(seen, self._shifts)
            where = self._axis.expand(len(scores), -1)
            best[start : start + BATCH].scatter_reduce_(1, where, scores, "amax")
        return best

    def spread(self, along: Tensor, weights: Tensor) -> None:
        """Keep the images from gathering on a few viewing axes, from here on.

        `along` ``(n, AXES)`` is what :meth:`along_axes` found, `weights` ``(n,)`` how much each
        image belongs to the map.
        """
        found = coverage.penalties(along, weights, coverage.even_share(self._axis))
        self.favour = lambda rotations: found[coverage.axis_of(rotations)]

    def polish(self, evidence: Evidence, start: Candidates) -> Candidates:
        """Octree refinement of candidates down to one per image, with growing radius."""
        plan, found = self.plan, start
        step, spacing = so3.grid_spacing(plan.nside) / 4 * 1.3, plan.spacing / 2
        for level in range(plan.levels):
            growth = (self.fine_radius - self.coarse_radius) * (level + 1) / plan.levels
            keep = max(1, plan.keep >> (level + 1)) if level < plan.levels - 1 else 1
            offsets = shift_disc(spacing * 1.45, spacing).to(found.shifts)
            found = refine(
                evidence,
                self.render,
                found,
                step,
                offsets,
                self.coarse_radius + growth,
                keep,
                self.favour,
            )
            step, spacing = step / 2, spacing / 2
        return found


def search(
    evidence: Evidence, matcher: Matcher, progress: Callable[[int], None] = lambda done: None
) -> Candidates:
    """Global search and polish of all images: one candidate each."""
    parts = []
    for start in range(0, len(evidence), BATCH):
        part = evidence[start : start + BATCH]
        parts.append(matcher.polish(part, matcher.coarse(part)))
        progress(start + len(part))
    return join(parts)


def polished(matcher: Matcher, seen: Evidence, found: Candidates, near: Tensor) -> Candidates:
    """One candidate per image, of those `found` on the grid.

    Polished in the places `near` ``(m,)``, else the grid's best.
    """
    rotations, shifts = found.rotations[:, :1].clone(), found.shifts[:, :1].clone()
    scores = found.scores[:, :1].clone()
    if len(near):
        some = Candidates(found.rotations[near], found.shifts[near], found.scores[near])
        better = matcher.polish(seen[near], some)
        rotations[near], shifts[near], scores[near] = better.rotations, better.shifts, better.scores
    return Candidates(rotations, shifts, scores)


def join(parts: list[Candidates]) -> Candidates:
    """Candidates of consecutive batches as one."""
    return Candidates(
        torch.cat([p.rotations for p in parts]),
        torch.cat([p.shifts for p in parts]),
        torch.cat([p.scores for p in parts]),
    )


@dataclass(frozen=True)
class Rebuilt:
    """A map of particles.

    `volume` ``(p,)``; the `fsc` of the maps of even and of odd folds ``(radius,)``; `left_out`
    ``(FOLDS, p)``: the maps of all particles but those of one fold.
    """

    volume: Tensor
    fsc: Tensor
    left_out: Tensor


def rebuild(
    evidence: Source,
    rotations: Tensor,
    shifts: Tensor,
    weights: Tensor,
    power: Tensor,
    radius: int,
) -> Rebuilt:
    """Back-project images at their poses with `weights` ``(n,)``; they take turns in the folds."""
    folds = torch.arange(len(weights), device=weights.device) % FOLDS
    return rebuilt(fold_sums(evidence, Poses(rotations, shifts), weights, radius, folds), power)


def fold_sums(
    evidence: Source, poses: Poses, weights: Tensor, radius: int, folds: Tensor
) -> list[Accumulator]:
    """Back-projections of each of the `folds` ``(n,)``: one for each of :data:`FOLDS`."""
    parts = [Accumulator.empty(radius, poses.rotations.device) for _ in range(FOLDS)]
    used = torch.nonzero(weights > 1e-3)[:, 0]
    for fold, sums in enumerate(parts):
        insert(sums, evidence, used[folds.to(used.device)[used] == fold], poses, weights)
    return parts


def rebuilt(
    parts: list[Accumulator], power: Tensor, around: list[Accumulator] | None = None
) -> Rebuilt:
    """The maps that the sums of the folds give, for a signal `power` per shell.

    `around`: sums of the folds of all states of a molecule of which this is one; see
    :meth:`Accumulator.solve`.
    """
    every = range(len(parts))
    ball = Ball(parts[0].radius, 3, parts[0].numerator.device)

    def of(folds: Sequence[int]) -> Tensor:
        whole = together([around[fold] for fold in folds]) if around else None
        return together([parts[fold] for fold in folds]).solve(power, around=whole)

    others = [of([one for one in every if one != fold]) for fold in every]
    halves = fsc.of_coefficients(of(every[::2]), of(every[1::2]), ball)
    return Rebuilt(of(every), halves, torch.stack(others))


def insert(
    sums: Accumulator, evidence: Source, rows: Tensor, poses: Poses, weights: Tensor | None = None
) -> None:
    """Add some of the images, `rows` ``(m,)``, at their poses (shifts in box sides).

    `poses` and `weights` ``(n,)`` are those of all images; no weights: all alike.
    """
    for some in rows.split(_TOGETHER):
        seen = evidence[some].prefix(sums.radius)
        moved, ctf2 = seen.shifted(poses.shifts[some, None])[:, 0], seen.ctf2
        if weights is not None:
            moved, ctf2 = moved * weights[some, None], ctf2 * weights[some, None]
        sums.insert(moved, ctf2, poses.rotations[some], evidence.ball)


def together(parts: list[Accumulator]) -> Accumulator:
    """The sums of several back-projections as one."""
    numerator = torch.stack([sums.numerator for sums in parts]).sum(0)
    denominator = torch.stack([sums.denominator for sums in parts]).sum(0)
    return Accumulator(numerator, denominator, parts[0].radius)
