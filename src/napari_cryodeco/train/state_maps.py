"""Maps of the states of one molecule: each is drawn to the mean of all, not to zero.

A map of fifty particles that is drawn to zero is weak where they tell little, so they leave it for
a larger state, and it dies. What they do not tell is as in the rest of the molecule. Source of the
estimate: Gelman et al., Bayesian Data Analysis, chapter 5 (hierarchical models).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.fourier import Accumulator, Cube
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.train.explained import FEWEST
from napari_cryodeco.train.looks import Looks, Stream
from napari_cryodeco.train.matching import FOLDS, Rebuilt, fold_sums, rebuilt, together
from napari_cryodeco.train.solvent import without_solvent
from napari_cryodeco.train.state_chain import told_at

ROUNDS = 8
SETTLED = 0.005  # share of particles that may change their state in the last round
_BATCH = 256


@dataclass(frozen=True)
class Settled:
    """Maps of states in which particles have settled, and posteriors ``(m, K)`` of the particles.

    `told`: log-likelihood an image of the mixture, so that one state in two maps is no better.
    """

    maps: list[Rebuilt]
    posteriors: Tensor
    told: float


def maps_of_states(sums: list[list[Accumulator]], power: Tensor) -> list[Rebuilt]:
    """Maps of states, zero outside the molecule, from the sums of the folds of each state.

    A state without particles has a map of zeros, which no particle takes for its own: the mean of
    all would draw them to it.
    """
    everyone = [together(list(parts)) for parts in zip(*sums, strict=True)]
    ball = Ball(everyone[0].radius, 3, everyone[0].numerator.device)

    def one(parts: list[Accumulator]) -> Rebuilt:
        made = rebuilt(parts, power, everyone)
        if any(bool(part.denominator.any()) for part in parts):
            return without_solvent(made, ball)
        return Rebuilt(*(0 * value for value in (made.volume, made.fsc, made.left_out)))

    return [one(parts) for parts in sums]


def shown(posteriors: Tensor) -> Tensor:
    """The same, without those of states that too few particles show."""
    return posteriors * (posteriors.sum(0) >= FEWEST)


def settled(
    looks: Looks, rows: Tensor, poses: Poses, posteriors: Tensor, tick: Callable[[], None]
) -> Settled:
    """Let particles choose among states at the poses that they have, and rebuild, until they stay.

    Parameters
    ----------
    looks, rows
        All images; which ``(m,)`` of them are of the molecule.
    poses
        Theirs in one frame, shifts in box sides.
    posteriors
        ``(m, K)`` first guess.
    tick
        Called after each round: may raise in order to stop.

    Notes
    -----
    Each quarter of the particles is compared with maps of the others, so that the log-likelihood
    of different beginnings can be compared.
    """
    stream, here, folds = Stream(looks, rows), poses.to(looks.device), rows % FOLDS
    posteriors = posteriors.to(looks.device)
    for _ in range(ROUNDS):
        weights = shown(posteriors)
        sums = [fold_sums(stream, here, one, looks.radius, folds) for one in weights.T]
        maps = maps_of_states(sums, looks.power)
        scores = _told(looks, stream, here, torch.stack([one.left_out for one in maps]), folds)
        changed = (scores.argmax(1) != posteriors.argmax(1)).float().mean()
        posteriors = scores.softmax(1)
        tick()
        if changed < SETTLED:
            break
    shares = posteriors.mean(0).clamp_min(1 / len(rows))
    return Settled(maps, posteriors.cpu(), float((scores + shares.log()).logsumexp(1).mean()))


def _told(looks: Looks, stream: Stream, poses: Poses, left_out: Tensor, folds: Tensor) -> Tensor:
    """Log-likelihood ``(m, K)`` of each particle in the maps ``(K, FOLDS, p)`` it is not in."""
    scores = torch.zeros(len(stream), len(left_out), device=looks.device)
    ball = Ball(looks.radius, 3, looks.device)
    for fold in range(FOLDS):
        cube = Cube(left_out[:, fold], ball, looks.radius)
        for places in torch.nonzero(folds == fold)[:, 0].split(_BATCH):
            seen, at = stream[places], poses[places.to(looks.device)]
            for index in range(len(left_out)):
                scores[places, index] = _told_by(cube, index, seen, at)
    return scores


def _told_by(cube: Cube, index: int, seen: Evidence, poses: Poses) -> Tensor:
    def render(rotations: Tensor, radius: float) -> Tensor:
        return cube.slice(index, rotations, seen.ball, radius)

    return told_at(seen, render, poses, cube.radius).scores[:, 0]
