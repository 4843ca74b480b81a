"""Two maps laid over each other: planted rotation, shift and hand are found; strangers are not."""

from __future__ import annotations

import pytest
import torch

from napari_cryodeco.imaging import so3
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.superpose import superpose
from napari_cryodeco.train.retry import AGREED

BOX, RADIUS = 32, 9
BALL = Ball(RADIUS, 3)


def atoms(seed: int) -> torch.Tensor:
    """A lopsided chain of 60 points in box sides, without any symmetry."""
    steps = torch.randn(60, 3, generator=torch.Generator().manual_seed(seed))
    chain = steps.cumsum(0)
    return (chain - chain.mean(0)) / chain.abs().max() * 0.4


def coefficients(points: torch.Tensor) -> torch.Tensor:
    """Hartley coefficients of points ``(a, 3)``, by the definition: cas of 2π k·r."""
    phase = 2 * torch.pi * BALL.points.float() @ points.T
    width = torch.exp(-((BALL.radii / 8) ** 2))
    return (phase.cos() + phase.sin()).sum(1) * width


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_planted_motion_is_found(mirrored: bool) -> None:
    generator = torch.Generator().manual_seed(5)
    for seed in range(3):
        points = atoms(seed)
        turn = so3.random_rotations(1, generator)[0]
        shift = (torch.rand(3, generator=generator) - 0.5) * 0.1
        first = coefficients((-points if mirrored else points) @ turn.T + shift)
        found = superpose(first, coefficients(points), BALL)
        assert found.mirrored is mirrored
        assert torch.rad2deg(so3.angle_between(found.rotation, turn)) < 3
        assert (found.shift - shift).norm() < 0.01
        assert found.fsc.min() > 0.9
        assert torch.allclose(found.rotation @ found.rotation.T, torch.eye(3), atol=1e-5)


def test_moved_is_the_second_map_in_the_frame_of_the_first() -> None:
    first, second = coefficients(atoms(1) + 0.03), coefficients(atoms(1))
    noise = 0.3 * first.std() * torch.randn(len(BALL), generator=torch.Generator().manual_seed(2))
    moved = superpose(first + noise, second, BALL).moved
    assert torch.corrcoef(torch.stack([moved, first]))[0, 1] > 0.97


def test_strangers_do_not_agree() -> None:
    values = [
        float(superpose(coefficients(atoms(a)), coefficients(atoms(b)), BALL).fsc.mean())
        for a, b in ((0, 1), (2, 3), (4, 5))
    ]
    assert max(values) < AGREED
