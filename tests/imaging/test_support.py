"""Where a molecule lies in its box."""

from __future__ import annotations

import torch

from napari_cryodeco.imaging.support import support

SIDE = 36


def _distance(centre: tuple[float, float, float] = (0, 0, 0)) -> torch.Tensor:
    axis = (torch.arange(SIDE) - SIDE // 2).float()
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))
    return (grid - torch.tensor(centre)[:, None, None, None]).square().sum(0).sqrt()


def _ball(radius: float, centre: tuple[float, float, float] = (0, 0, 0)) -> torch.Tensor:
    return (_distance(centre) < radius).float()


def _noise(strength: float) -> torch.Tensor:
    return strength * torch.randn(SIDE, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def test_the_molecule_is_kept_and_solvent_is_not():
    mask = support(_ball(7, (3, -2, 1)) + _noise(0.1))
    away = _distance((3, -2, 1))
    assert torch.equal(mask[away < 7], torch.ones_like(mask[away < 7]))
    assert float(mask[away > 14].max()) == 0.0
    assert mask.min() >= 0 and mask.max() <= 1
    between = mask[(away > 9) & (away < 12)]
    assert ((between > 0.01) & (between < 0.99)).any()  # the edge is soft


def test_a_weak_part_that_hangs_free_is_kept_and_specks_are_not():
    body, arm = _ball(7, (-5, 0, 0)), _ball(4, (8, 0, 0))
    speck = _ball(1.5, (0, 14, 0))
    mask = support(body + 0.35 * arm + 0.8 * speck)
    assert float(mask[arm > 0].min()) == 1.0
    assert float(mask[speck > 0].max()) == 0.0


def test_dark_density_has_the_same_mask():
    volume = _ball(6) + _noise(0.05)
    assert torch.equal(support(volume), support(-volume))


def test_an_empty_map_is_left_alone():
    assert torch.equal(support(torch.zeros(8, 8, 8)), torch.ones(8, 8, 8))
