"""Laws of the small prior and its views."""

from __future__ import annotations

import pytest
import torch

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.hartley import hartley
from napari_cryodeco.model.invariants import invariants
from napari_cryodeco.model.prior import (
    SIDE,
    PriorEncoder,
    prior_view,
    quarter_turned,
    view_of_pixels,
    wiener,
)

SHAPE = {"widths": (8, 16, 16), "depths": (1, 1, 1), "dim": 8}


def test_both_roads_to_a_view_agree() -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randn(3, SIDE, SIDE, generator=random)
    ball = Ball(SIDE // 2 - 1, 2)
    coefficients = ball.from_grid(hartley(images, 2)) / SIDE
    fy, fx = torch.fft.fftfreq(SIDE)[:, None], torch.fft.rfftfreq(SIDE)

    def transfer(x, y):  # type: ignore[no-untyped-def]
        return torch.sin(30 * (x**2 + y**2) + 0.1)

    points = ball.points / SIDE
    ours = prior_view(coefficients, transfer(points[:, 0], points[:, 1]).expand(3, -1), ball)
    theirs = view_of_pixels(images, transfer(fx, fy).expand(3, -1, -1))
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_more_coefficients_change_nothing() -> None:
    small, large = Ball(SIDE // 2 - 1, 2), Ball(SIDE - 1, 2)
    images = torch.randn(2, len(large))
    ctf = torch.rand(2, len(large))
    assert torch.allclose(
        prior_view(images, ctf, large),
        prior_view(images[:, : len(small)], ctf[:, : len(small)], small),
        atol=1e-5,
    )


def test_wiener_never_blows_noise_up() -> None:
    assert float(wiener(torch.linspace(-1, 1, 1001)).abs().max()) < 1.6


def test_a_small_image_is_seen_whole() -> None:
    ball = Ball(7, 2)
    views = prior_view(torch.randn(2, len(ball)), torch.ones(2, len(ball)), ball)
    assert views.shape == (2, 1, SIDE, SIDE)


@pytest.mark.parametrize(
    ("strategy", "blocks", "live"),
    [
        ("full", 0, {"stem", "blocks", "project", "head"}),
        ("blocks", 1, {"blocks", "project", "head"}),
        ("head", 0, {"project", "head"}),
        ("fixed", 0, {"head"}),
    ],
)
def test_only_the_chosen_parts_move(strategy, blocks, live) -> None:  # type: ignore[no-untyped-def]
    encoder = PriorEncoder(3, **SHAPE)  # type: ignore[arg-type]
    before = {name: value.clone() for name, value in encoder.named_parameters()}
    parameters = encoder.train_parts(strategy, blocks)
    optimiser = torch.optim.SGD(parameters, 0.1)
    encoder(torch.randn(4, 1, SIDE, SIDE)).square().sum().backward()
    optimiser.step()
    moved = {
        name.split(".")[0]
        for name, value in encoder.named_parameters()
        if not value.equal(before[name])
    }
    assert moved == live


def test_an_image_is_read_alone_as_in_company() -> None:
    encoder = PriorEncoder(3, **SHAPE).eval()  # type: ignore[arg-type]
    views = torch.randn(5, 1, SIDE, SIDE)
    alone = torch.cat([encoder(view[None]) for view in views])
    assert torch.allclose(alone, encoder(views), atol=1e-5)


def test_quarter_turns_keep_the_centre_and_come_round() -> None:
    image = torch.zeros(1, 1, SIDE, SIDE)
    image[0, 0, SIDE // 2, SIDE // 2] = 1
    image[0, 0, SIDE // 2, SIDE // 2 + 3] = 2
    turned = image
    for k in range(4):
        assert torch.equal(quarter_turned(image, k), turned)
        assert turned[0, 0, SIDE // 2, SIDE // 2] == 1
        turned = quarter_turned(turned, 1)
    assert torch.equal(turned, image)


def test_steady_features_do_not_see_quarter_turns() -> None:
    encoder = PriorEncoder(3, **SHAPE).eval()  # type: ignore[arg-type]
    views = torch.randn(2, 1, SIDE, SIDE)
    seen = encoder.steady_features(views)
    assert torch.allclose(seen, encoder.steady_features(quarter_turned(views, 1)), atol=1e-5)
    assert not torch.allclose(encoder.features(views), seen, atol=1e-3)


def test_invariants_do_not_see_turns_in_the_plane() -> None:
    axis = torch.arange(SIDE) - SIDE // 2

    def blobs(angle: float) -> torch.Tensor:
        turn = torch.tensor(angle)
        image = torch.zeros(SIDE, SIDE)
        for x, y, weight in ((5.0, 1.0, 3.0), (-3.0, 4.0, 2.0), (0.0, -4.0, 1.0)):
            px = x * turn.cos() - y * turn.sin()
            py = x * turn.sin() + y * turn.cos()
            image += weight * torch.exp(-((axis - px) ** 2 + (axis[:, None] - py) ** 2) / 8)
        return image[None, None]

    still, other = invariants(blobs(0.0)), invariants(blobs(0.0).flip(-2) * 2)
    for angle in (0.4, 1.3, 2.9):
        assert float((invariants(blobs(angle)) - still).abs().median()) < 0.05
        assert float((invariants(blobs(angle)) - still).abs().mean()) < 0.2 * float(
            (other - still).abs().mean()
        )
    turned = invariants(quarter_turned(blobs(0.7), 1))
    assert float((turned - invariants(blobs(0.7))).abs().mean()) < 0.02
