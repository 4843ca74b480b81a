"""Rotations against SciPy and their own laws."""

from __future__ import annotations

import math

import torch
from scipy.spatial.transform import Rotation

from napari_cryodeco.imaging import poses, so3


def test_euler_is_the_transpose_of_scipy_zyz_and_comes_back():
    generator = torch.Generator().manual_seed(0)
    angles = torch.rand(50, 3, generator=generator, dtype=torch.float64) * torch.tensor(
        [6.2, 3.1, 6.2]
    ) - torch.tensor([3.1, 0, 3.1])
    ours = so3.euler_to_matrix(angles)
    scipy = Rotation.from_euler("ZYZ", angles.numpy()).as_matrix()
    assert torch.allclose(ours, torch.as_tensor(scipy).transpose(1, 2), atol=1e-12)
    assert torch.allclose(so3.euler_to_matrix(so3.matrix_to_euler(ours)), ours, atol=1e-9)


def test_euler_at_the_poles_comes_back():
    angles = torch.tensor([[0.3, 0.0, 0.5], [0.3, math.pi, 0.5]], dtype=torch.float64)
    matrices = so3.euler_to_matrix(angles)
    assert torch.allclose(so3.euler_to_matrix(so3.matrix_to_euler(matrices)), matrices, atol=1e-6)


def test_rotation_vector_of_zero_is_the_identity():
    assert torch.equal(so3.rotvec_to_matrix(torch.zeros(1, 3))[0], torch.eye(3))


def test_grid_covers_every_rotation():
    grid = so3.grid(2)
    assert grid.shape == (4608, 3, 3)
    random = so3.random_rotations(200, torch.Generator().manual_seed(1))
    nearest = torch.stack([so3.angle_between(r, grid).min() for r in random])
    assert torch.rad2deg(nearest.mean()) < 8 and torch.rad2deg(nearest.max()) < 13


def test_octree_reaches_the_target():
    target = so3.random_rotations(50, torch.Generator().manual_seed(2))
    grid = so3.grid(2)
    best = torch.stack([grid[so3.angle_between(r, grid).argmin()] for r in target])
    step = so3.grid_spacing(4) / 4 * 1.3
    for _ in range(4):
        children = so3.octree_children(best, step)
        pick = so3.angle_between(children, target[:, None]).argmin(1)
        best = children[torch.arange(len(best)), pick]
        step /= 2
    assert torch.rad2deg(so3.angle_between(best, target)).max() < 1.0


def test_alignment_finds_rotation_and_hand():
    generator = torch.Generator().manual_seed(4)
    true = so3.random_rotations(80, generator)
    turn = so3.random_rotations(1, generator)[0]
    noise = so3.rotvec_to_matrix(torch.randn(80, 3, generator=generator) * 0.02)
    same = poses.align(noise @ true @ turn, true)
    assert not same.mirrored and same.median_degrees < 3
    mirrored = poses.align(noise @ (poses.MIRROR @ true @ poses.MIRROR) @ turn, true)
    assert mirrored.mirrored and mirrored.median_degrees < 3


def test_alignment_modulo_symmetry():
    generator = torch.Generator().manual_seed(5)
    true = so3.random_rotations(60, generator)
    axis = torch.tensor([0.0, 0.6, 0.8])
    group = so3.rotvec_to_matrix(
        axis * torch.tensor([0, 2 * math.pi / 3, 4 * math.pi / 3])[:, None]
    )
    which = torch.randint(0, 3, (60,), generator=generator)
    found = true @ group[which]
    assert poses.align(found, true, group).median_degrees < 0.1
    assert poses.align(found, true).median_degrees > 0.1 or (which == 0).float().mean() > 0.5


def test_rotation_vectors_are_those_of_scipy_and_differentiable_at_zero():
    vectors = torch.randn(50, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = torch.as_tensor(Rotation.from_rotvec(vectors.numpy()).as_matrix())
    assert torch.allclose(so3.rotvec_to_matrix(vectors), expected, atol=1e-12)
    zero = torch.zeros(3, requires_grad=True)
    so3.rotvec_to_matrix(zero)[2, 1].backward()  # a turn about x moves y to z
    assert torch.equal(zero.grad, torch.tensor([1.0, 0.0, 0.0]))
