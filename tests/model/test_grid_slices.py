"""Comparing images with the slices of a grid: log-likelihoods, in whatever number type."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.model.evidence import Evidence, shift_disc
from napari_cryodeco.model.grid_slices import GridSlices
from napari_cryodeco.model.precision import byte_product

RADIUS, COUNT, SLICES = 9, 12, 300


@pytest.fixture(scope="module")
def compared() -> tuple[Evidence, torch.Tensor, torch.Tensor]:
    """Images of noise 1, slices that fall off with the radius as a map's do, and shifts."""
    draw = torch.Generator().manual_seed(0)
    ball = Ball(RADIUS, 2)
    slices = 6 * torch.randn(SLICES, len(ball), generator=draw) * torch.exp(-ball.radii / 3)
    ctf = torch.cos(ball.radii * torch.rand(COUNT, 1, generator=draw))
    images = ctf * slices[:COUNT] + torch.randn(COUNT, len(ball), generator=draw)
    return Evidence.of(images, ctf, ball), slices, shift_disc(0.08, 0.04)


def exact(evidence: Evidence, slices: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Every log-likelihood ``(n, T, Q)`` as −½‖image − CTF·slice‖², less what all slices share."""
    dots = torch.einsum("ntp,qp->ntq", evidence.shifted(shifts).double(), slices.double())
    norms = torch.einsum("np,qp->nq", evidence.ctf2.double(), slices.double() ** 2)
    return dots - 0.5 * norms[:, None]


def test_scores_are_log_likelihoods(compared):
    evidence, slices, shifts = compared
    ctf = evidence.ctf2.sqrt()
    images = evidence.data / ctf.clamp_min(1e-6)  # any image with this CTF·image
    moved = torch.stack([evidence.ball.shift(images, one.expand(COUNT, 2)) for one in shifts], 1)
    far = (moved[:, :, None] - ctf[:, None, None] * slices).pow(2).sum(-1)
    direct = -0.5 * far + 0.5 * moved.pow(2).sum(-1, keepdim=True)
    found, which = GridSlices(slices).best(evidence, shifts)
    rows, columns = torch.arange(COUNT)[:, None], torch.arange(SLICES)
    assert (found - direct.amax(1)).abs().max() < 1e-3 * direct.abs().max()
    assert (found - direct[rows, which.long(), columns]).abs().max() < 1e-3 * direct.abs().max()


def test_bytes_change_scores_by_a_fraction_of_a_nat(compared):
    evidence, slices, shifts = compared
    truth = exact(evidence, slices, shifts)
    found, which = GridSlices(slices).best(replace(evidence, products=torch.int8), shifts)
    assert (found - truth.amax(1)).square().mean().sqrt() < 0.5
    chosen = truth.gather(1, which.long()[:, None])[:, 0]
    assert (truth.amax(1) - chosen).square().mean().sqrt() < 0.5  # a shift as good as the best
    assert torch.equal(found.argmax(1), torch.arange(COUNT))


def test_half_floats_keep_the_order_of_the_best(compared):
    evidence, slices, shifts = compared
    found, _ = GridSlices(slices).best(replace(evidence, products=torch.bfloat16), shifts)
    assert torch.equal(found.argmax(1), torch.arange(COUNT))


def test_byte_products_are_exact():
    first = torch.randint(-127, 128, (33, 250), dtype=torch.int8)
    second = torch.randint(-127, 128, (250, 40), dtype=torch.int8)
    assert torch.equal(byte_product(first, second).long(), first.long() @ second.long())


def test_parts_of_images_keep_their_number_type(compared):
    evidence = replace(compared[0], products=torch.int8)
    assert evidence[:3].prefix(5).products == torch.int8


@pytest.mark.parametrize("products", [torch.float32, torch.int8])
def test_no_images_have_no_scores(compared, products):
    evidence, slices, shifts = compared
    nobody = replace(evidence[:0], products=products)
    found, which = GridSlices(slices).best(nobody, shifts)
    assert found.shape == which.shape == (0, SLICES)
