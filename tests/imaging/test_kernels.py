"""The compiled loops against scipy and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from napari_cryodeco.imaging import kernels, so3
from napari_cryodeco.imaging.ball import Ball

SIDE = 20


@pytest.fixture
def turned() -> torch.Tensor:
    return so3.random_rotations(7, torch.Generator().manual_seed(1))


@pytest.fixture
def points() -> torch.Tensor:
    return Ball(8, 2).points.float()


def test_slices_are_scipys_trilinear_interpolation(turned, points):
    grid = torch.randn(SIDE, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    found = kernels.slices(grid, turned, points)
    where = (points @ turned[:, :2]).flip(-1) + SIDE // 2  # z, y, x
    oracle = map_coordinates(
        grid.double().numpy(), where.double().numpy().transpose(2, 0, 1), order=1
    )
    np.testing.assert_allclose(found.numpy(), oracle, atol=2e-5)


def test_insertion_is_the_adjoint_of_slicing(turned, points):
    draw = torch.Generator().manual_seed(3)
    grid = torch.randn(SIDE, SIDE, SIDE, generator=draw)
    values = torch.randn(len(turned), len(points), generator=draw)
    sums = torch.zeros(SIDE**3), torch.zeros(SIDE**3)
    kernels.insert(sums, turned, points, values, 2 * values)
    sliced = (kernels.slices(grid, turned, points) * values).sum()
    torch.testing.assert_close((sums[0] * grid.reshape(-1)).sum(), sliced, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(sums[1], 2 * sums[0], rtol=1e-4, atol=1e-4)


def test_many_slices_are_the_same_on_two_threads(points):
    many = so3.random_rotations(1500, torch.Generator().manual_seed(4))
    grid = torch.randn(SIDE, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = kernels.slices(grid, many, points)
        torch.set_num_threads(3)
        shared = kernels.slices(grid, many, points)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(alone, shared)


@pytest.mark.parametrize("kind", [torch.float32, torch.int32])
def test_largest_is_torchs_maximum(kind):
    scores = (100 * torch.randn(3, 5, 40, generator=torch.Generator().manual_seed(6))).to(kind)
    best, which = kernels.largest(scores)
    assert torch.equal(best, scores.amax(1))
    assert torch.equal(scores.gather(1, which.long()[:, None])[:, 0], best)


def test_bytes_times_their_worth_are_the_values_to_half_a_step():
    draw = torch.Generator().manual_seed(7)
    values, factors = torch.randn(4, 3, 50, generator=draw), torch.rand(50, generator=draw)
    codes, worth = kernels.coded(values, factors)
    error = codes * worth[:, None, None] - values * factors
    assert (error.abs() <= 0.5001 * worth[:, None, None]).all()
    assert torch.equal(codes.abs().amax((1, 2)), torch.full((4,), 127, dtype=torch.int8))
