"""How two maps that explain the same particles lie to each other, as those particles tell it.

A particle that both maps explain has a pose in either, and the rotation between the two poses is
the same for all whose poses are right. Maps of the two ends of a large motion cannot be laid over
each other instead: bent one way a molecule may be more like the mirror image of itself bent the
other way (docs/method.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.imaging.poses import Poses, mean_rotation
from napari_cryodeco.train.common_frame import HALF_TURN

ALIKE = 15.0  # difference of log-likelihoods at which a particle hardly counts
WIDTH = float(np.deg2rad(12))  # of the cluster of rotations, as poses of two maps scatter
ROUNDS = 10
MOST = 2000  # particles that are compared each with each


@dataclass(frozen=True)
class Relation:
    """How the second map lies over the first.

    `rotation` ``(3, 3)``, `shift` ``(3,)`` in box sides, and hand; `share` of the particles that
    agree on it.
    """

    rotation: Tensor
    shift: Tensor
    mirrored: bool
    share: float


def relate(first: Poses, second: Poses, scores: Tensor) -> tuple[Relation, Relation]:
    """Find how the second map lies over the first: the likelier hand, then the other.

    Parameters
    ----------
    first, second
        Poses of the same particles in either map, shifts in box sides.
    scores
        ``(n, 2)`` log-likelihood in either. Those that both explain alike and not badly count.
    """
    worse = scores.amin(1)
    weights = torch.exp(-0.5 * ((scores[:, 0] - scores[:, 1]) / ALIKE) ** 2)
    weights = weights * (worse >= worse.median())
    some = weights.topk(min(MOST, len(weights))).indices
    hands = [
        _of_hand(first[some], second[some], weights[some], mirrored) for mirrored in (False, True)
    ]
    better, other = sorted(hands, key=lambda one: -one.share)
    return better, other


def _of_hand(first: Poses, second: Poses, weights: Tensor, mirrored: bool) -> Relation:
    half_turn = HALF_TURN.to(second.rotations)
    turned = half_turn @ second.rotations if mirrored else second.rotations
    between = first.rotations.mT @ turned
    rotation = between[int((_near(between, between) @ weights).argmax())]
    for _ in range(ROUNDS):
        near = weights * _near(between, rotation[None])[:, 0]
        rotation = mean_rotation(between, near)
    planes = (turned @ rotation.T)[:, :2]
    apart = first.shifts - second.shifts
    shift = _moved_by(planes, apart, near)
    return Relation(rotation, shift, mirrored, float(near.sum() / weights.sum()))


def _near(rotations: Tensor, others: Tensor) -> Tensor:
    """How much each of ``(n, 3, 3)`` is like each of ``(m, 3, 3)``: ``(n, m)``, 1 where equal."""
    traces = rotations.flatten(1) @ others.flatten(1).T
    angles = torch.arccos(((traces - 1) / 2).clamp(-1, 1))
    return torch.exp(-0.5 * (angles / WIDTH) ** 2)


def _moved_by(planes: Tensor, apart: Tensor, weights: Tensor) -> Tensor:
    """Shift ``(3,)`` whose projections on `planes` ``(n, 2, 3)`` are nearest `apart` ``(n, 2)``."""
    weighted = planes.mT * weights[:, None, None]
    least = 1e-6 * torch.eye(3).to(planes)
    return torch.linalg.solve(
        (weighted @ planes).sum(0) + least, (weighted @ apart[..., None]).sum(0)[:, 0]
    )


def centred(poses: Poses) -> Poses:
    """The poses of a map moved so that shifts (box sides) are as small as they can be.

    A frame that follows one body of a molecule lets the other swing, and the particle's centre with
    it: without this the shifts leave what a search can reach.
    """
    return Poses(poses.rotations, poses.shifts - poses.rotations[:, :2] @ offset(poses))


def offset(poses: Poses) -> Tensor:
    """Where the centre of the particles lies in the map, ``(3,)`` in units of their shifts."""
    planes = poses.rotations[:, :2]
    return _moved_by(planes, poses.shifts, torch.ones(len(poses)).to(planes))
