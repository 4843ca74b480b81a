"""Poses of several species brought into one frame and hand.

Maps from nothing lie each as it happened to start. States of one molecule would then differ in z,
in movies and in comparisons by a turn or a mirror and not by what moves.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.superpose import Superposition, superpose

RADIUS = 9  # maps from nothing are alike up to here, if they are states of one molecule
HALF_TURN = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))  # what a mirror image adds to a pose


class Over(Protocol):
    """How one map lies over another: mirrored through the origin, turned, then moved."""

    @property
    def rotation(self) -> Tensor:
        """``(3, 3)``."""

    @property
    def shift(self) -> Tensor:
        """``(3,)`` in box sides."""

    @property
    def mirrored(self) -> bool:
        """Whether the hands differ."""


def over_largest(volumes: Tensor, counts: Tensor, radius: int) -> dict[int, Superposition]:
    """How each species' map lies over that of the largest, which is left out.

    Parameters
    ----------
    volumes
        ``(K, p)`` coefficients of the maps on the 3-D ball of `radius`; zero ones are left out.
    counts
        ``(K,)`` particles of each.
    """
    largest, ball = int(counts.argmax()), Ball(min(RADIUS, radius), 3, volumes.device)
    return {
        index: superpose(volumes[largest], volume, ball)
        for index, volume in enumerate(volumes)
        if index != largest and bool(volume.any())
    }


def moved_poses(poses: Poses, over: Over) -> Poses:
    """Poses at which the superposed map looks as the map that was superposed did at `poses`.

    Their shifts are in box sides.

    With ``moved(k) = map(±ρᵀk)`` the pose R becomes ``R ρᵀ``; of the mirror image (−) its slice is
    that of a half turn in the plane. A map moved by t needs images moved by its projection more.
    """
    rotations = poses.rotations @ over.rotation.T.to(poses.rotations)
    if over.mirrored:
        rotations = HALF_TURN.to(rotations) @ rotations
    along = rotations[:, :2] @ over.shift.to(rotations)
    return Poses(rotations, poses.shifts + along)
