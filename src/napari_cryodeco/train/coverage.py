"""Viewing directions of a map: its images must not all gather on a few of them.

A direction that is seen often has slices of little noise, fits better for it and draws more images:
round particles, whose views are nearly alike, end as one good slice and no map (a capsid: half of
the images within 20° of one axis, and as likely on images left out). Where more images than a cap
times the even share look along an axis, all poses there are made less likely, by as much as it
takes, but never by more than what a true preferred orientation can pay.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from napari_cryodeco.imaging import so3

AXES = 60  # on half a sphere, about 20° apart
# Images along an axis, in what chance would give it. Views of a single sort may be preferred in
# truth: while a map begins little is lost by spreading them, later much.
CAP_AT_FIRST, CAP = 2.0, 5.0
DEEPEST = 8.0  # log-likelihood that an axis can lose
STEP = 2.0  # of a penalty for e times too many images
WIDTH = math.radians(15)  # over which a crowd is counted
ROUNDS = 60


@lru_cache(maxsize=4)
def _axes(device: torch.device) -> Tensor:
    """Unit vectors ``(AXES, 3)`` spread evenly over half a sphere."""
    return so3.spiral((torch.arange(AXES, device=device) + 0.5) / AXES)


@lru_cache(maxsize=4)
def _nearness(device: torch.device) -> Tensor:
    """Weights ``(AXES, AXES)`` of the axes about each one, its column: few images, much chance."""
    cosine = (_axes(device) @ _axes(device).T).abs()
    weights = torch.exp((cosine - 1) / (1 - math.cos(WIDTH)))
    return weights / weights.sum(0)


def axis_of(rotations: Tensor) -> Tensor:
    """Axis ``(...)`` along which images at `rotations` ``(..., 3, 3)`` look, either way."""
    return (rotations[..., 2, :] @ _axes(rotations.device).T).abs().argmax(-1)


def even_share(axes: Tensor) -> Tensor:
    """Share ``(AXES,)`` of the poses of a grid that look along each axis: what chance gives it."""
    return torch.bincount(axes.flatten(), minlength=AXES) / axes.numel()


def adjusted(penalties: Tensor, crowding: Tensor, cap: float) -> Tensor:
    """Penalties ``(..., AXES)`` after another look at the crowd about each axis (1: by chance).

    More than `cap` are too many.
    """
    about = crowding @ _nearness(crowding.device)
    return (penalties - STEP * (about / cap).clamp_min(1e-3).log()).clamp(-DEEPEST, 0.0)


def penalties(scores: Tensor, weights: Tensor, even: Tensor) -> Tensor:
    """Penalties ``(AXES,)`` that keep images under the cap.

    Parameters
    ----------
    scores
        ``(n, AXES)`` best log-likelihood of each image along each axis.
    weights
        ``(n,)`` how much each image belongs to the map.
    even
        :func:`even_share` of the grid that was searched.
    """
    found = torch.zeros(AXES, device=scores.device)
    part = weights / weights.sum().clamp_min(1e-6)
    for _ in range(ROUNDS):
        share = (part[:, None] * (scores + found).softmax(1)).sum(0)
        found = adjusted(found, share / even.clamp_min(1e-6), CAP)
    return found
