"""Species in one frame: the moved map looks at the moved pose as the map did at its own."""

from __future__ import annotations

import pytest
import torch

from napari_cryodeco.imaging import so3
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.fourier import Cube
from napari_cryodeco.imaging.poses import Poses, align
from napari_cryodeco.imaging.superpose import Superposition
from napari_cryodeco.train.common_frame import moved_poses, over_largest

RADIUS = 9


def cloud(seed: int) -> torch.Tensor:
    """Points ``(m, 3)`` in box sides, lopsided, with no symmetry."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(40, 3, generator=generator) * torch.tensor([0.04, 0.07, 0.11])
    points[:10] += torch.tensor([0.1, 0.06, 0.02])
    return points - points.mean(0)


def coefficients(points: torch.Tensor) -> torch.Tensor:
    ball = Ball(RADIUS, 3)
    phase = 2 * torch.pi * ball.points.float() @ points.T
    return (phase.cos() + phase.sin()).sum(1) * torch.exp(-((ball.radii / 9) ** 2))


def images(volume: torch.Tensor, poses: Poses) -> torch.Tensor:
    """What the detector sees at poses: slices, moved back by their origins."""
    ball3, ball2 = Ball(RADIUS, 3), Ball(RADIUS, 2)
    slices = Cube(volume[None], ball3, RADIUS).slice(0, poses.rotations, ball2)
    return ball2.shift(slices, -poses.shifts)


def random_poses(count: int, seed: int) -> Poses:
    generator = torch.Generator().manual_seed(seed)
    return Poses(
        so3.random_rotations(count, generator), 0.04 * torch.randn(count, 2, generator=generator)
    )


@pytest.mark.parametrize("mirrored", [False, True])
def test_images_stay_the_same_when_map_and_poses_move_together(mirrored):
    points, poses = cloud(1), random_poses(12, 2)
    rotation = so3.random_rotations(1, torch.Generator().manual_seed(3))[0]
    shift = torch.tensor([0.03, -0.02, 0.05])
    moved = (-points if mirrored else points) @ rotation.T + shift
    over = Superposition(rotation, shift, mirrored, coefficients(moved), torch.ones(RADIUS))
    before = images(coefficients(points), poses)
    after = images(over.moved, moved_poses(poses, over))
    error = (after - before).norm() / before.norm()
    assert error < 0.05  # of trilinear slices


@pytest.mark.parametrize("mirrored", [False, True])
def test_states_of_one_molecule_come_into_one_frame(mirrored):
    points, true = cloud(4), random_poses(60, 5)
    other = points.clone()
    other[:6] += torch.tensor([0.0, 0.05, -0.03])  # another state
    rotation = so3.random_rotations(1, torch.Generator().manual_seed(6))[0]
    free = (-other if mirrored else other) @ rotation.T  # as it came out of its own start
    species = torch.arange(60) % 2
    rotations = true.rotations.clone()
    odd = species == 1
    turned = rotations[odd] @ rotation.T
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    rotations[odd] = half_turn @ turned if mirrored else turned
    volumes = torch.stack([coefficients(points), coefficients(free)])
    found = over_largest(volumes, torch.tensor([33, 27]), RADIUS)
    assert list(found) == [1]  # the largest stays where it is
    after = moved_poses(Poses(rotations[odd], true.shifts[odd]), found[1])
    assert not align(after.rotations, true.rotations[odd]).mirrored
    apart = so3.angle_between(after.rotations, true.rotations[odd])
    assert float(torch.rad2deg(apart).max()) < 8
    again = found[1].apply(volumes[1], Ball(RADIUS, 3))
    assert torch.allclose(again, found[1].moved, atol=1e-4)


def test_an_empty_map_and_a_single_one_are_left_alone():
    volumes = torch.stack([coefficients(cloud(1)), torch.zeros(len(Ball(RADIUS, 3)))])
    assert not over_largest(volumes, torch.tensor([10, 0]), RADIUS)
    assert not over_largest(volumes[:1], torch.tensor([10]), RADIUS)
