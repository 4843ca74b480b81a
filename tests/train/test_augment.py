from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from napari_cryodeco.imaging.preprocess import as_encoder_view
from napari_cryodeco.train.augment import Changes, blur, change, draw, move

COUNT, SIDE = 3, 16


def changes(**some: Any) -> Changes:
    """No change but those given."""
    nothing = {
        "angles": torch.zeros(COUNT),
        "flips": torch.zeros(COUNT, dtype=torch.bool),
        "shifts": torch.zeros(COUNT, 2),
        "zooms": torch.ones(COUNT),
        "blurs": torch.zeros(COUNT),
        "contrasts": torch.ones(COUNT),
    }
    return Changes(**{**nothing, **some})


@pytest.fixture
def images() -> Tensor:
    return torch.randn(COUNT, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def turned(images: Tensor, degrees: float) -> Tensor:
    return move(images, changes(angles=torch.full((COUNT,), math.radians(degrees))))


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_no_change_changes_nothing(images: Tensor) -> None:
    close(change(images, changes()), images)


def test_a_quarter_turn_is_exact_and_two_are_a_half(images: Tensor) -> None:
    close(turned(images, 90), torch.rot90(images, 1, (2, 3)))  # counter-clockwise
    close(turned(turned(images, 90), 90), turned(images, 180))


def test_mirrored_twice_is_the_image(images: Tensor) -> None:
    flips = changes(flips=torch.ones(COUNT, dtype=torch.bool))
    close(move(images, flips), images.flip(3))
    close(move(move(images, flips), flips), images)


def test_a_shift_moves_the_content_after_the_turn(images: Tensor) -> None:
    moved = changes(
        angles=torch.full((COUNT,), math.pi / 2),
        shifts=torch.tensor([1 / SIDE, 2 / SIDE]).expand(COUNT, 2),  # 1 px right, 2 px down
    )
    close(move(images, moved)[..., 2:, 1:], torch.rot90(images, 1, (2, 3))[..., :-2, :-1])


def test_a_zoom_enlarges_about_the_middle() -> None:
    axis = torch.arange(64) - 31.5
    blob = torch.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 4.0**2)).expand(COUNT, 1, 64, 64)
    wide = torch.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 6.0**2)).expand(COUNT, 1, 64, 64)
    enlarged = move(blob, changes(zooms=torch.full((COUNT,), 1.5)))
    torch.testing.assert_close(enlarged, wide, atol=0.02, rtol=0)


def test_blur_keeps_the_mean_and_gives_a_gaussian(images: Tensor) -> None:
    sigmas = torch.tensor([0.0, 1.0, 1.5])
    blurred = blur(images, sigmas)
    close(blurred.mean((2, 3)), images.mean((2, 3)))
    close(blurred[0], images[0])
    point = torch.zeros(COUNT, 1, SIDE, SIDE)
    point[..., 8, 8] = 1
    axis = torch.arange(SIDE) - 8.0
    gaussian = torch.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 1.5**2)) / (2 * math.pi * 1.5**2)
    torch.testing.assert_close(blur(point, sigmas)[2, 0], gaussian, atol=1e-4, rtol=0)


def test_contrast_keeps_the_mean(images: Tensor) -> None:
    jittered = change(images, changes(contrasts=torch.tensor([0.8, 1.0, 1.2])))
    close(jittered.mean((2, 3)), images.mean((2, 3)))
    close(jittered.std((2, 3)), images.std((2, 3)) * torch.tensor([0.8, 1.0, 1.2])[:, None])


def test_changes_stay_in_their_ranges_and_repeat() -> None:
    cpu = torch.device("cpu")
    drawn = draw(4000, 224, torch.Generator().manual_seed(3), cpu)
    assert drawn.angles.min() >= 0 and drawn.angles.max() <= 2 * math.pi
    assert drawn.shifts.abs().max() <= 0.05
    area = drawn.zooms**-2
    assert area.min() >= 0.6 - 1e-6 and area.max() <= 1 + 1e-6
    assert drawn.blurs.max() <= 2.0
    assert float((drawn.blurs > 0).float().mean()) == pytest.approx(0.5, abs=0.04)
    assert float(drawn.flips.float().mean()) == pytest.approx(0.5, abs=0.04)
    assert drawn.contrasts.min() >= 0.8 and drawn.contrasts.max() <= 1.2
    again = draw(4000, 224, torch.Generator().manual_seed(3), cpu)
    assert torch.equal(drawn.angles, again.angles)


def test_what_a_turn_brings_in_stays_under_the_circular_mask() -> None:
    """The rim that the encoder sees is black and round, whatever was drawn."""
    bright = torch.ones(COUNT, 1, 64, 64)
    seen = as_encoder_view(move(bright, draw(COUNT, 64, torch.Generator(), bright.device)))
    axis = torch.arange(64) - 31.5
    radius = (axis[:, None] ** 2 + axis**2).sqrt()
    black, white = as_encoder_view(torch.zeros(1, 1, 64, 64))[0, 0, 32, 32], seen[0, 0, 32, 32]
    assert white > black
    assert (seen[..., radius > 27] == black).all()
    close(seen[..., radius < 25], white.expand_as(seen[..., radius < 25]))
    for number in range(4):
        assert torch.equal(torch.rot90(seen == black, number, (2, 3)), seen == black)
