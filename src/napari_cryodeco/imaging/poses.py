"""Poses of particles and how far two sets of them are apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging.so3 import angle_between

MIRROR = torch.diag(torch.tensor([1.0, 1.0, -1.0]))


@dataclass(frozen=True)
class Poses:
    """`rotations` ``(n, 3, 3)`` with ``r_image = R @ r_volume``; `shifts` ``(n, 2)`` in Å, (x, y).

    A shift is RELION's origin: what must be applied to the image to centre the particle.
    """

    rotations: Tensor
    shifts: Tensor

    def __post_init__(self) -> None:
        if self.rotations.shape != (len(self.shifts), 3, 3) or self.shifts.shape[1:] != (2,):
            raise ValueError(
                "Poses need rotations (n, 3, 3) and shifts (n, 2), not"
                f" {tuple(self.rotations.shape)} and {tuple(self.shifts.shape)}."
            )

    def __len__(self) -> int:
        return len(self.shifts)

    def __getitem__(self, rows: Tensor | slice) -> Poses:
        return Poses(self.rotations[rows], self.shifts[rows])

    def to(self, device: torch.device | str) -> Poses:
        """Return the same poses on another device."""
        return Poses(self.rotations.to(device), self.shifts.to(device))


@dataclass(frozen=True)
class PoseAlignment:
    """Best global rotation (found = true · rotation) of one hand; `errors` ``(n,)`` in radians."""

    rotation: Tensor
    mirrored: bool
    errors: Tensor

    @property
    def median_degrees(self) -> float:
        """Median error in degrees."""
        return float(torch.rad2deg(self.errors.median()))

    def share_within(self, degrees: float) -> float:
        """Share of particles with an error under `degrees`."""
        return float((torch.rad2deg(self.errors) < degrees).float().mean())


def mean_rotation(matrices: Tensor, weights: Tensor | None = None) -> Tensor:
    """The rotation nearest to rotations ``(n, 3, 3)`` in the mean, or with `weights` ``(n,)``."""
    weighted = matrices if weights is None else weights[:, None, None] * matrices
    u, _, vh = torch.linalg.svd(weighted.double().mean(0))
    sign = torch.ones(3, dtype=u.dtype)
    sign[2] = torch.linalg.det(u @ vh).sign()
    return (u @ torch.diag(sign) @ vh).to(matrices.dtype)


def _errors(found: Tensor, true: Tensor, turn: Tensor, symmetry: Tensor) -> tuple[Tensor, Tensor]:
    angles = torch.stack([angle_between(found, true @ s @ turn) for s in symmetry])
    return angles.min(0)


def align(found: Tensor, true: Tensor, symmetry: Tensor | None = None) -> PoseAlignment:
    """Compare rotations ``(n, 3, 3)`` after the best global rotation, either hand.

    Parameters
    ----------
    found, true
        Rotations of the same particles.
    symmetry
        ``(s, 3, 3)`` symmetry rotations of the true map in its own frame; errors are modulo these.

    Notes
    -----
    A mirrored map explains the same images with ``M R M``, ``M = diag(1, 1, -1)``.
    """
    group = torch.eye(3)[None] if symmetry is None else symmetry.float()
    best: PoseAlignment | None = None
    for mirrored in (False, True):
        reference = MIRROR @ true @ MIRROR if mirrored else true
        group_here = MIRROR @ group @ MIRROR if mirrored else group
        candidates = reference.transpose(-1, -2) @ found
        picks = candidates[torch.linspace(0, len(candidates) - 1, min(50, len(candidates))).long()]
        scores = torch.stack([_errors(found, reference, g, group_here)[0].median() for g in picks])
        turn = picks[int(scores.argmin())]
        for _ in range(3):
            errors, which = _errors(found, reference, turn, group_here)
            near = errors <= max(float(errors.median()), 0.35)
            turn = mean_rotation(
                (reference @ group_here[which]).transpose(-1, -2)[near] @ found[near]
            )
        errors, _ = _errors(found, reference, turn, group_here)
        result = PoseAlignment(turn, mirrored, errors)
        if best is None or errors.median() < best.errors.median():
            best = result
    assert best is not None
    return best
