"""Poses by search over SO(3) and shifts, against slices of volumes (algorithm.md §8.3 S1–S4).

The CTF is on the side of the data, so that the slices of a grid serve all images. The search knows
no network: it takes a `Renderer`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from napari_cryodeco.imaging import so3
from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.model.grid_slices import GridSlices


class Renderer(Protocol):
    """Gives central slices of one volume."""

    def __call__(self, rotations: Tensor, radius: float) -> Tensor:
        """``(m, 3, 3)`` rotations to ``(m, ball.count(radius))`` coefficients on the 2-D ball."""


Favour = Callable[[Tensor], Tensor]
"""Rotations ``(..., 3, 3)`` to what is added to the log-likelihood where poses are compared."""


@dataclass(frozen=True)
class Candidates:
    """The best few poses of each image, with their log-likelihoods.

    `rotations` ``(n, m, 3, 3)``, `shifts` ``(n, m, 2)`` in box sides, `scores` ``(n, m)``.
    """

    rotations: Tensor
    shifts: Tensor
    scores: Tensor

    def best(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rotation ``(n, 3, 3)``, shift ``(n, 2)`` and score ``(n,)`` of the best candidate."""
        pick = self.scores.argmax(1)
        rows = torch.arange(len(pick))
        return self.rotations[rows, pick], self.shifts[rows, pick], self.scores[rows, pick]


def coarse(
    evidence: Evidence,
    slices: GridSlices,
    rotations: Tensor,
    shifts: Tensor,
    keep: int,
    favour: Favour | None = None,
) -> Candidates:
    """Keep the best grid poses of each image; the slices are those at rotations ``(Q, 3, 3)``.

    The scores are log-likelihoods, whatever was favoured.
    """
    scores, which = slices.best(evidence, shifts)
    wanted = scores if favour is None else scores + favour(rotations)
    index = wanted.topk(keep, dim=1).indices
    moved = shifts[which.gather(1, index).long()]
    return Candidates(rotations[index], moved, scores.gather(1, index))


def refine(
    evidence: Evidence,
    render: Renderer,
    start: Candidates,
    half_step: float,
    offsets: Tensor,
    radius: float,
    keep: int,
    favour: Favour | None = None,
) -> Candidates:
    """One octree level: 8 rotations `half_step` rad off each candidate, times shifts.

    The scores are log-likelihoods, whatever was favoured.
    """
    seen = evidence.prefix(radius)
    n, m = start.scores.shape
    children = so3.octree_children(start.rotations, half_step).reshape(n, m * 8, 3, 3)
    slices = render(children.reshape(-1, 3, 3), radius).reshape(n, m * 8, -1)
    norms = torch.einsum("nqp,np->nq", slices**2, seen.ctf2)
    # shifts are searched around each parent's own shift
    shifts = (start.shifts[:, :, None] + offsets).reshape(n, -1, 2)
    moved = seen.shifted(shifts).reshape(n * m, len(offsets), -1)
    dots = torch.bmm(moved, slices.reshape(n * m, 8, -1).transpose(1, 2)).reshape(
        n, m, len(offsets), 8
    )
    scores, which = dots.max(2)
    scores = scores.reshape(n, m * 8) - 0.5 * norms
    wanted = scores if favour is None else scores + favour(children)
    index = wanted.topk(keep, dim=1).indices
    parent = index // 8
    best_shift = shifts.reshape(n, m, -1, 2)[
        torch.arange(n)[:, None], parent, which.reshape(n, m * 8).gather(1, index)
    ]
    rows = torch.arange(n)[:, None]
    return Candidates(children[rows, index], best_shift, scores[rows, index])
