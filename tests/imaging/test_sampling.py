"""Which part of Fourier space views measure."""

from __future__ import annotations

import math

import pytest
import torch

from napari_cryodeco.imaging.sampling import fourier_coverage


def turned(views: torch.Tensor) -> torch.Tensor:
    """Rotations ``(m, 3, 3)`` with these viewing directions ``(m, 3)``, turned about by chance."""
    generator = torch.Generator().manual_seed(4)
    x = torch.linalg.cross(views, torch.randn(views.shape, generator=generator))
    x = x / x.norm(dim=1, keepdim=True)
    return torch.stack([x, torch.linalg.cross(views, x), views], 1)


def test_views_from_all_sides_or_all_round_one_axis_leave_nothing_out() -> None:
    views = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    views = views / views.norm(dim=1, keepdim=True)
    assert fourier_coverage(turned(views), torch.ones(400)) == 1
    round_axis = views * torch.tensor([1.0, 1.0, 0.0])  # a tilt series of 180°
    round_axis = round_axis / round_axis.norm(dim=1, keepdim=True)
    assert fourier_coverage(turned(round_axis), torch.ones(400)) == 1


@pytest.mark.parametrize("half_angle", [0, 20, 40])
def test_views_within_a_cone_leave_a_cone_out(half_angle: int) -> None:
    """What is farther than 90° from each of them: nobody looks across it, give or take 12°."""
    generator = torch.Generator().manual_seed(1)
    low = math.cos(math.radians(half_angle))
    z = low + (1 - low) * torch.rand(2000, generator=generator)
    angle = 2 * math.pi * torch.rand(2000, generator=generator)
    flat = (1 - z**2).sqrt()
    views = torch.stack([flat * angle.cos(), flat * angle.sin(), z], 1)
    reach = math.radians(half_angle) + math.asin(0.2)
    found = fourier_coverage(turned(views), torch.ones(2000))
    assert found == pytest.approx(math.sin(reach), abs=0.06)
    assert fourier_coverage(turned(views), torch.full((2000,), 0.3)) == pytest.approx(
        found, abs=0.01
    )
