"""Poses by search over SO(3) and shifts, against slices of volumes (algorithm.md §8.3 S1–S4).

Everything works on radius-sorted Hartley coefficients whose noise is 1. The log-likelihood of a
pose, up to a constant, is ``⟨shift(CTF·image), slice⟩ − ½⟨CTF², slice²⟩`` within the radius; the
CTF is on the side of the data, so that the slices of a grid serve all images. The search knows
no network: it takes a `Renderer`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from napari_cryodeco.imaging import so3
from napari_cryodeco.imaging.ball import Ball


class Renderer(Protocol):
    """Gives central slices of one volume."""

    def __call__(self, rotations: Tensor, radius: float) -> Tensor:
        """``(m, 3, 3)`` rotations to ``(m, ball.count(radius))`` coefficients on the 2-D ball."""


Favour = Callable[[Tensor], Tensor]
"""Rotations ``(..., 3, 3)`` to what is added to the log-likelihood where poses are compared."""


@dataclass(frozen=True)
class Evidence:
    """What the images say on the 2-D `ball`: `data` = CTF·image, `ctf2` = CTF², both ``(n, p)``."""

    data: Tensor
    ctf2: Tensor
    ball: Ball

    @classmethod
    def of(cls, images: Tensor, ctf: Tensor, ball: Ball) -> Evidence:
        """Weigh `images` by their `ctf`, both ``(n, p)``; the ball may be longer than p."""
        return cls(images * ctf, ctf**2, ball)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, rows: Tensor | slice) -> Evidence:
        return Evidence(self.data[rows], self.ctf2[rows], self.ball)

    def prefix(self, radius: float) -> Evidence:
        """Return the same up to a smaller radius."""
        count = self.ball.count(radius)
        return Evidence(self.data[:, :count], self.ctf2[:, :count], self.ball)

    def shifted(self, shifts: Tensor) -> Tensor:
        """Data moved by each of `shifts`, in box sides: ``(n, T, p)``.

        The shifts are ``(T, 2)`` for all images or ``(n, T, 2)``, their own for each.
        """
        count = self.data.shape[1]
        phase = 2 * torch.pi * shifts @ self.ball.points[:count].to(shifts.dtype).T
        mirrored = self.data[:, self.ball.mirror[:count]]
        return self.data[:, None] * phase.cos() + mirrored[:, None] * phase.sin()


def shift_disc(extent: float, spacing: float) -> Tensor:
    """Square grid of shifts within a circle of `extent`, box sides: ``(T, 2)``, with the origin."""
    reach = int(extent / spacing + 1e-6)
    axis = torch.arange(-reach, reach + 1) * spacing
    points = torch.cartesian_prod(axis, axis)
    return points[points.norm(dim=1) <= extent * 1.0001 + 1e-9]


def grid_scores(
    evidence: Evidence, slices: Tensor, shifts: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Log-likelihoods ``(n, T, Q)`` at common slices ``(Q, p)`` and shifts ``(T, 2)``."""
    n, count = evidence.data.shape
    moved = evidence.shifted(shifts).reshape(-1, count).to(dtype)
    dots = (moved @ slices.to(dtype).T).float().reshape(n, len(shifts), len(slices))
    norms = (evidence.ctf2.to(dtype) @ (slices**2).to(dtype).T).float()
    return dots.sub_(norms[:, None], alpha=0.5)


def best_slices(
    scores: Tensor, keep: int, added: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Best scores ``(n, keep)`` of ``(n, T, Q)``, each at its best shift, their slices and shifts.

    What is `added` ``(Q,)`` to the slices' scores counts in the choice and is not in the scores.
    The shifts of the kept alone are looked up: a maximum that tells where it was is seven times
    slower on a CPU than one that does not.
    """
    best = scores.amax(1)
    index = (best if added is None else best + added).topk(keep, dim=1).indices
    shift = scores.gather(2, index[:, None].expand(-1, scores.shape[1], -1)).argmax(1)
    return best.gather(1, index), index, shift


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
    slices: Tensor,
    rotations: Tensor,
    shifts: Tensor,
    keep: int,
    dtype: torch.dtype,
    favour: Favour | None = None,
) -> Candidates:
    """Keep the best grid poses of each image; slices ``(Q, p)`` at rotations ``(Q, 3, 3)``.

    The scores are log-likelihoods, whatever was favoured.
    """
    scores = grid_scores(evidence, slices, shifts, dtype)
    added = None if favour is None else favour(rotations)
    top, index, which_shift = best_slices(scores, keep, added)
    return Candidates(rotations[index], shifts[which_shift], top)


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
