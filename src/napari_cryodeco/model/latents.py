"""Free parameters of each particle: latent point and pose, moved only when it is visited."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.so3 import rotvec_to_matrix
from napari_cryodeco.model.rowwise import RowAdam


class LatentTable:
    """One z per particle, `values` ``(n, d)``."""

    def __init__(self, values: Tensor) -> None:
        self.values = values.detach().float().clone()
        self._adam = RowAdam(len(values), values.shape[1], self.values.device)

    def visit(self, rows: Tensor) -> Tensor:
        """Latents of `rows` ``(b, d)`` as a leaf that collects a gradient."""
        return self.values[rows].requires_grad_()

    def update(self, rows: Tensor, visited: Tensor, rate: float) -> None:
        """Move `rows` against the gradient that `visited` collected."""
        if visited.grad is not None:
            self.values[rows] -= self._adam.step(rows, visited.grad, rate)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """Values and moments by name."""
        return {f"{prefix}.values": self.values} | self._adam.tensors(f"{prefix}.adam")

    def load(self, tensors: dict[str, Tensor], prefix: str) -> None:
        """Take values and moments back."""
        self.values.copy_(tensors[f"{prefix}.values"])
        self._adam.load(tensors, f"{prefix}.adam")


class PoseVisit:
    """Poses of rows as leaves: `turn` ``(b, 3)`` rad in the image frame, `move` ``(b, 2)`` px.

    Both begin at zero: the rotation is ``exp([turn]×) R₀``, the shift ``t₀ + move``.
    """

    def __init__(self, poses: Poses, pixel_size: float) -> None:
        self._base, self._pixel_size = poses, pixel_size
        self.turn = torch.zeros(len(poses), 3, device=poses.shifts.device, requires_grad=True)
        self.move = torch.zeros(len(poses), 2, device=poses.shifts.device, requires_grad=True)

    def poses(self) -> Poses:
        """Poses that carry the gradient to the leaves."""
        return Poses(
            rotvec_to_matrix(self.turn) @ self._base.rotations,
            self._base.shifts + self.move * self._pixel_size,
        )


class PoseTable:
    """Rotations and shifts, re-based at each visit so that each step is a small tangent step."""

    def __init__(self, poses: Poses, pixel_size: float) -> None:
        self.poses = Poses(poses.rotations.float().clone(), poses.shifts.float().clone())
        self._pixel_size = pixel_size
        device = poses.shifts.device
        self._turns = RowAdam(len(poses), 3, device)
        self._moves = RowAdam(len(poses), 2, device)

    def visit(self, rows: Tensor) -> PoseVisit:
        """Poses of `rows` as leaves that collect a gradient."""
        return PoseVisit(self.poses[rows], self._pixel_size)

    def set(self, rows: Tensor, rotations: Tensor, shifts: Tensor) -> None:
        """Put the poses of `rows` where a search found them; shifts in Å."""
        self.poses.rotations[rows] = rotations
        self.poses.shifts[rows] = shifts

    def update(self, rows: Tensor, visited: PoseVisit, turn_rate: float, move_rate: float) -> None:
        """Move `rows` against their gradient; rates in radians and in working pixels."""
        if visited.turn.grad is None or visited.move.grad is None:
            return
        turn = -self._turns.step(rows, visited.turn.grad, turn_rate)
        move = -self._moves.step(rows, visited.move.grad, move_rate)
        turned = rotvec_to_matrix(turn) @ self.poses.rotations[rows]
        self.poses.rotations[rows] = _orthonormal(turned)
        self.poses.shifts[rows] += move * self._pixel_size

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """Poses and moments by name."""
        values = {
            f"{prefix}.rotations": self.poses.rotations,
            f"{prefix}.shifts": self.poses.shifts,
        }
        return (
            values | self._turns.tensors(f"{prefix}.turns") | self._moves.tensors(f"{prefix}.moves")
        )

    def load(self, tensors: dict[str, Tensor], prefix: str) -> None:
        """Take poses and moments back."""
        self.poses.rotations.copy_(tensors[f"{prefix}.rotations"])
        self.poses.shifts.copy_(tensors[f"{prefix}.shifts"])
        self._turns.load(tensors, f"{prefix}.turns")
        self._moves.load(tensors, f"{prefix}.moves")


def _orthonormal(rotations: Tensor) -> Tensor:
    """Rows made orthonormal again: a thousand float32 products drift."""
    x = torch.nn.functional.normalize(rotations[:, 0], dim=1)
    y = rotations[:, 1] - (rotations[:, 1] * x).sum(1, keepdim=True) * x
    y = torch.nn.functional.normalize(y, dim=1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], 1)
