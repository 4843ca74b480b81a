"""Laws of slices, shifts and back-projection, on an analytic Gaussian molecule."""

from __future__ import annotations

import math

import pytest
import torch

from napari_cryodeco.imaging import fsc, so3
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.fourier import Accumulator, Cube, solvent_mask
from napari_cryodeco.imaging.hartley import hartley, inverse_hartley

BOX, RADIUS = 32, 14


@pytest.fixture(scope="module")
def blobs() -> tuple[torch.Tensor, float]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(12, 3, generator=generator) * 3.0, 1.3


def image_of(
    points: torch.Tensor, width: float, rotation: torch.Tensor, shift: tuple[float, float] = (0, 0)
):
    """Projection of Gaussians along z, made in real space."""
    axis = torch.arange(BOX) - BOX // 2
    turned = points @ rotation.T + torch.tensor([*shift, 0.0])
    gx = torch.exp(-((axis - turned[:, :1]) ** 2) / (2 * width**2))
    gy = torch.exp(-((axis - turned[:, 1:2]) ** 2) / (2 * width**2))
    return torch.einsum("ny,nx->yx", gy, gx)


def map_of(points: torch.Tensor, width: float):
    axis = torch.arange(BOX) - BOX // 2
    g = [torch.exp(-((axis - points[:, i : i + 1]) ** 2) / (2 * width**2)) for i in range(3)]
    return torch.einsum("nz,ny,nx->zyx", g[2], g[1], g[0]) / (math.sqrt(2 * math.pi) * width)


def test_hartley_is_its_own_inverse_and_real_part_of_friedel_pairs():
    x = torch.randn(3, BOX, BOX)
    assert torch.allclose(inverse_hartley(hartley(x, 2), 2), x, atol=1e-5)
    h = hartley(x, 2)
    spectrum = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(x, dim=(1, 2))), dim=(1, 2))
    assert torch.allclose(h, spectrum.real - spectrum.imag, atol=1e-3)


@pytest.mark.parametrize(
    ("radius", "ndim", "count"), [(12, 2, 440), (17, 2, 900), (32, 2, 3208), (12, 3, 7152)]
)
def test_ball_counts_are_those_of_the_lattice(radius, ndim, count):
    ball = Ball(radius, ndim)
    assert len(ball) == count == ball.count(radius)
    assert torch.equal(ball.points[ball.mirror], -ball.points)
    assert ball.count(radius / 2) == int((ball.radii <= radius / 2).sum())


def test_grid_and_back_is_the_same():
    ball = Ball(7, 3)
    h = torch.randn(2, len(ball))
    assert torch.equal(ball.from_grid(ball.to_grid(h, 18)), h)


def test_shift_moves_content_by_plus_t():
    image = torch.zeros(BOX, BOX)
    image[10:14, 12:18] = torch.rand(4, 6)
    ball = Ball(BOX // 2 - 1, 2)
    moved = ball.shift(ball.from_map(image)[None], torch.tensor([[3 / BOX, 2 / BOX]]))[0]
    rolled = ball.from_map(torch.roll(image, (2, 3), (0, 1)))
    assert torch.allclose(moved, rolled, atol=1e-3)


def test_slice_of_the_map_is_the_projection(blobs):
    points, width = blobs
    generator = torch.Generator().manual_seed(1)
    rotations = so3.random_rotations(20, generator)
    disc, ball = Ball(RADIUS, 2), Ball(RADIUS, 3)
    cube = Cube(ball.from_map(map_of(points, width))[None], ball, RADIUS)
    found = cube.slice(0, rotations, disc)
    truth = torch.stack([disc.from_map(image_of(points, width, r)) for r in rotations])
    error = (found - truth).norm(dim=1) / truth.norm(dim=1)
    assert error.max() < 0.04
    wrong = cube.slice(0, rotations.transpose(1, 2), disc)
    assert ((wrong - truth).norm(dim=1) / truth.norm(dim=1)).median() > 0.3


def test_projections_put_back_give_the_map(blobs):
    points, width = blobs
    rotations = so3.random_rotations(1500, torch.Generator().manual_seed(2))
    disc, ball = Ball(RADIUS, 2), Ball(RADIUS, 3)
    images = torch.stack([disc.from_map(image_of(points, width, r)) for r in rotations])
    sums = Accumulator.empty(RADIUS)
    sums.insert(images, torch.ones_like(images), rotations, disc)
    found = sums.solve(torch.full((RADIUS + 1,), 1e6))
    truth = ball.from_map(map_of(points, width))
    assert fsc.of_coefficients(found, truth, ball)[:10].min() > 0.99
    low = ball.count(8)
    assert (found[:low] - truth[:low]).norm() / truth[:low].norm() < 0.05


@pytest.mark.parametrize("strength", [0.2, 1.0])
def test_a_map_of_few_noisy_images_errs_least_with_the_power_it_has(strength):
    """A Wiener filter is the best one: other powers must not give the better map."""
    draw = torch.Generator().manual_seed(0)
    ball, disc, box = Ball(RADIUS, 3), Ball(RADIUS, 2), 2 * (RADIUS + 2)
    truth = ball.from_map(torch.randn(box, box, box, generator=draw) * solvent_mask(box))
    truth *= strength / truth.std()
    rotations = so3.random_rotations(200, draw)
    images = Cube(truth[None], ball, RADIUS).slice(0, rotations, disc)
    images += torch.randn(images.shape, generator=draw)
    sums = Accumulator.empty(RADIUS)
    sums.insert(images, torch.ones_like(images), rotations, disc)
    power = torch.full((RADIUS + 1,), strength**2)
    weak, right, strong = (
        float((sums.solve(factor * power) - truth).norm() / truth.norm())
        for factor in (1 / 8, 1.0, 64.0)
    )
    assert right < 0.9 * weak
    assert right < 1.1 * strong


def test_the_kz_axis_is_kept(blobs):
    points, width = blobs
    ball = Ball(RADIUS, 3)
    volume = map_of(points, width)
    back = ball.to_map(ball.from_map(volume), BOX)
    sections = back.mean((1, 2))
    assert sections.std() > 0.5 * volume.mean((1, 2)).std()
    assert abs(float(back.mean())) < 1e-6


def test_a_prefix_is_extended_by_zeros():
    small, large = Ball(4, 3), Ball(6, 3)
    known = torch.randn(2, len(small))
    whole = large.extend(known)
    assert whole.shape == (2, len(large))
    assert torch.equal(large.to_map(whole, 16), small.to_map(known, 16))


def test_slices_beyond_the_cube_are_refused():
    ball, disc = Ball(4, 3), Ball(9, 2)
    cube = Cube(torch.zeros(1, len(ball)), ball, 4)
    with pytest.raises(ValueError, match="radius 9"):
        cube.slice(0, torch.eye(3)[None], disc, 9)
    with pytest.raises(ValueError, match="cube to 4"):
        values = torch.zeros(1, len(disc))
        Accumulator.empty(4).insert(values, values, torch.eye(3)[None], disc)
