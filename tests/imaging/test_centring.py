"""Laws of centring: a moved blob is found where it was put, and noise alone moves nothing far."""

from __future__ import annotations

import torch

from napari_cryodeco.imaging.centring import REACH, centred, positions

SIDE = 32


def blob(x: float, y: float, wide: float = 4.0, long: float = 4.0) -> torch.Tensor:
    axis = torch.arange(SIDE) - SIDE // 2
    across, along = (axis[:, None] - y) / wide, (axis - x) / long
    return torch.exp(-(across**2 + along**2) / 2)


def test_a_particle_is_found_where_it_was_put_x_before_y() -> None:
    places = [(0, 0), (3, -2), (-4, 1), (0, 5)]
    images = torch.stack([50 * blob(x, y) for x, y in places])  # beyond doubt
    assert positions(images).tolist() == [list(place) for place in places]


def test_a_long_particle_is_found_by_its_middle_under_noise() -> None:
    random = torch.Generator().manual_seed(0)
    clean = blob(2, -1, wide=2.0, long=7.0).expand(200, -1, -1)
    found = positions(clean * 4 + torch.randn(200, SIDE, SIDE, generator=random)).float()
    assert torch.allclose(found.mean(0), torch.tensor([2.0, -1.0]), atol=0.5)
    faint = positions(clean + torch.randn(200, SIDE, SIDE, generator=random)).float()
    assert 0 < float(faint[:, 0].mean()) < float(found[:, 0].mean())  # doubt keeps to the middle


def test_moving_an_image_moves_its_position_and_leaves_what_is_centred() -> None:
    random = torch.Generator().manual_seed(1)
    image = 50 * blob(1, 0) + 0.1 * torch.randn(SIDE, SIDE, generator=random)
    moved = torch.roll(image, (2, -3), (0, 1))
    assert (positions(moved[None]) - positions(image[None])).tolist() == [[-3, 2]]
    assert torch.equal(centred(moved[None]), centred(image[None]))


def test_noise_alone_stays_within_reach_and_mostly_in_the_middle() -> None:
    noise = torch.randn(500, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    far = positions(noise).float().norm(dim=1)
    assert float(far.max()) <= REACH * SIDE
    assert float(far.median()) <= SIDE / 8
