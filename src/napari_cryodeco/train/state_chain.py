"""States along one motion: maps of a linear model, and particles searched in all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.fourier import Cube
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.model.evidence import Evidence, shift_disc
from napari_cryodeco.model.pose_search import Candidates, Renderer, refine
from napari_cryodeco.train.linear_model import LinearModel
from napari_cryodeco.train.looks import Looks, Stream
from napari_cryodeco.train.matching import BATCH, Matcher, SearchPlan, search
from napari_cryodeco.train.observations import Observations
from napari_cryodeco.train.subspace import fit

DRAWN_OUT = 1.25  # coordinates of faint images are drawn to their mean: the ends lie farther out
SOFTENED = 3.0  # log-likelihoods are divided by it where states are averaged
FAINT = 0.02  # first spacing of shifts around a pose, box sides
LEVELS = 3

Tick = Callable[[int, int], None]
"""Called with (done, of) after each batch; may raise in order to stop."""


def part_of(tick: Tick, number: int, parts: int) -> Tick:
    """Tell of one of several equal parts."""
    return lambda done, of: tick(number * of + done, parts * of)


@dataclass(frozen=True)
class Matches:
    """Poses ``(n, K)`` of particles in K maps, shifts in box sides, and log-likelihoods."""

    rotations: Tensor
    shifts: Tensor
    scores: Tensor

    def best(self) -> Poses:
        """The poses in the likeliest map of each particle."""
        rows, own = torch.arange(len(self.scores)), self.scores.argmax(1)
        return Poses(self.rotations[rows, own], self.shifts[rows, own])

    def of(self, index: int) -> Poses:
        """The poses in one map."""
        return Poses(self.rotations[:, index], self.shifts[:, index])

    def only(self, maps: slice) -> Matches:
        """The same in some of the maps."""
        return Matches(self.rotations[:, maps], self.shifts[:, maps], self.scores[:, maps])

    def along(self) -> Tensor:
        """Mean number ``(n,)`` of the maps, from 0 on, by their likelihoods."""
        numbers = torch.arange(self.scores.shape[1]).to(self.scores)
        return (self.scores / SOFTENED).softmax(1) @ numbers

    def told(self) -> Tensor:
        """Log-likelihood ``(n,)`` of each particle, which is as likely of each map."""
        return self.scores.logsumexp(1) - math.log(self.scores.shape[1])


def model_along(
    looks: Looks,
    rows: Tensor,
    poses: Poses,
    along: Tensor,
    size: int,
    draw: torch.Generator,
) -> LinearModel:
    """A linear model of the particles `rows` ``(m,)``, begun along a motion.

    Parameters
    ----------
    looks, rows
        All images; which of them take part.
    poses
        Theirs, shifts in box sides.
    along
        ``(m,)`` where each lies along the motion; nobody knows where all are zero.
    size
        Components: two let the states lie on an arc, and are kept whatever speaks for them.
    draw
        On the CPU.
    """
    seen = observed(looks, rows, poses)
    straight = (along - along.mean()) / along.std().clamp_min(1e-6)
    begun = torch.stack([straight**power for power in range(1, size + 1)], 1)
    return fit(seen, size, draw, begun if along.any() else None, fewest=size)


def observed(looks: Looks, rows: Tensor, poses: Poses) -> Observations:
    """Particles `rows` ``(m,)`` at their poses (shifts in box sides), up to the search radius."""
    return Observations(
        looks.images[rows, : len(looks.ball)],  # no more than is looked at
        looks.ctf[rows],
        Poses(poses.rotations, poses.shifts * looks.geometry.length).to(looks.device),
        looks.geometry,
        looks.radius,
    )


def states_along(model: LinearModel, along: Tensor, count: int) -> Tensor:
    """Maps ``(count, p)``, each the mean of an even share of the particles by `along` ``(n,)``."""
    places = torch.stack([model.coordinates[some].mean(0) for some in along.argsort().chunk(count)])
    middle = places.mean(0)
    return model.volumes(middle + DRAWN_OUT * (places - middle))


def search_everywhere(
    looks: Looks, rows: Tensor, volumes: Tensor, plan: SearchPlan, tick: Tick
) -> Matches:
    """All poses of the particles `rows` in each of the maps ``(K, p)``."""
    seen, ball = Stream(looks, rows), Ball(looks.radius, 3, looks.device)
    matchers = [Matcher(volume, ball, seen.ball, plan) for volume in volumes.to(looks.device)]
    return _in_batches(seen, len(matchers), tick, lambda e, k, _: search(e, matchers[k]))


def search_around(
    looks: Looks, rows: Tensor, volumes: Tensor, poses: Poses, step: float, tick: Tick
) -> Matches:
    """Poses of the particles `rows` in each of the maps, near those that they have.

    Parameters
    ----------
    looks, rows
        All images; which of them are searched.
    volumes
        ``(K, p)``.
    poses
        Of these particles, shifts in box sides.
    step
        First half step of the rotations, rad.
    tick
        Called after each batch.
    """
    seen, ball = Stream(looks, rows), Ball(looks.radius, 3, looks.device)
    cube = Cube(volumes.to(looks.device), ball, looks.radius)
    here = poses.to(looks.device)

    def one(evidence: Evidence, index: int, places: slice) -> Candidates:
        def render(rotations: Tensor, radius: float) -> Tensor:
            return cube.slice(index, rotations, seen.ball, radius)

        return _around(evidence, render, here[places], step, looks.radius)

    return _in_batches(seen, len(volumes), tick, one)


def _around(
    evidence: Evidence, render: Renderer, poses: Poses, step: float, radius: int
) -> Candidates:
    """The best pose near each, or the one that it is."""
    own = told_at(evidence, render, poses, radius)
    found, spacing = own, FAINT
    for level in range(LEVELS):
        offsets = shift_disc(1.45 * spacing, spacing).to(poses.shifts)
        keep = 1 if level == LEVELS - 1 else 2
        found = refine(evidence, render, found, step, offsets, radius, keep)
        step, spacing = step / 2, spacing / 2
    stays = own.scores > found.scores
    return Candidates(
        torch.where(stays[..., None, None], own.rotations, found.rotations),
        torch.where(stays[..., None], own.shifts, found.shifts),
        torch.where(stays, own.scores, found.scores),
    )


def told_at(evidence: Evidence, render: Renderer, poses: Poses, radius: int) -> Candidates:
    """The poses ``(n,)`` that images have, as candidates with their log-likelihoods."""
    slices, seen = render(poses.rotations, radius), evidence.prefix(radius)
    moved = seen.shifted(poses.shifts[:, None])[:, 0]
    scores = (moved * slices).sum(1) - 0.5 * (seen.ctf2 * slices**2).sum(1)
    return Candidates(poses.rotations[:, None], poses.shifts[:, None], scores[:, None])


def _in_batches(
    seen: Stream, count: int, tick: Tick, one: Callable[[Evidence, int, slice], Candidates]
) -> Matches:
    """What `one` finds of each batch in each of `count` maps, on the CPU."""
    parts = []
    for start in range(0, len(seen), BATCH):
        places = slice(start, start + BATCH)
        evidence = seen[places]
        found = [one(evidence, index, places) for index in range(count)]
        parts.append(
            Matches(
                torch.stack([each.rotations[:, 0] for each in found], 1).cpu(),
                torch.stack([each.shifts[:, 0] for each in found], 1).cpu(),
                torch.stack([each.scores[:, 0] for each in found], 1).cpu(),
            )
        )
        tick(min(start + BATCH, len(seen)), len(seen))
    columns = ("rotations", "shifts", "scores")
    return Matches(*(torch.cat([getattr(part, name) for part in parts]) for name in columns))
