"""Laws of the last linear map: noise becomes round, and planted differences come first."""

from __future__ import annotations

import torch

from napari_cryodeco.train.calibrate import SIDES, Discriminants, Scatter

DIM, SPECIES, VIEWS, EXPOSURES = 6, 20, 8, 2


def episodes(
    mixing: torch.Tensor, spread: torch.Tensor, sides: torch.Tensor, count: int = 60
) -> list[torch.Tensor]:
    """Species differ by `spread` per axis, their sides by `sides`, images of a side by 1."""
    random = torch.Generator().manual_seed(0)
    made = []
    for _ in range(count):
        centres = torch.randn(SPECIES, 1, 1, DIM, generator=random) * spread
        offset = 5 * torch.randn(1, 1, 1, DIM, generator=random)  # the episode's own: to be ignored
        shape = (SPECIES, VIEWS // EXPOSURES, EXPOSURES, DIM)
        seen = centres + offset + torch.randn(*shape[:2], 1, DIM, generator=random) * sides
        images = seen + torch.randn(*shape, generator=random)
        made.append(images.flatten(0, 2) @ mixing.T)
    return made


def solved(dim: int, sides: float = 0.0) -> tuple[torch.Tensor, list[torch.Tensor], Discriminants]:
    mixing = torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(1))
    spread = torch.tensor([3.0, 2.0, 1.0, 0.0, 0.0, 0.0])
    seen = episodes(mixing, spread, torch.full((DIM,), sides))
    scatter = Scatter(DIM)
    for episode in seen:
        scatter.add(episode, VIEWS, EXPOSURES)
    return mixing, seen, scatter.solve(dim, ridge=1e-6)


def test_noise_and_a_share_of_the_sides_spread_by_one_in_every_direction() -> None:
    for width in (0.0, 2.0):
        _, seen, found = solved(4, width)
        values = torch.cat(seen) @ found.weight.T + found.bias
        pairs = values.view(-1, EXPOSURES, 4)
        apart = (pairs[:, 0] - pairs[:, 1]) / 2**0.5
        noise = apart.T @ apart / len(apart)
        assert torch.allclose(noise * (1 + SIDES * width**2), torch.eye(4), atol=0.05)


def test_strengths_are_the_planted_ratios_of_variance() -> None:
    _, _, found = solved(DIM)
    wanted = torch.tensor([9.0, 4.0, 1.0, 0.0, 0.0, 0.0])
    assert torch.allclose(found.strength, wanted, rtol=0.15, atol=0.1)
    _, _, blurred = solved(DIM, sides=2.0)
    assert torch.allclose(blurred.strength, wanted / (1 + SIDES * 4), rtol=0.25, atol=0.15)


def test_the_mixing_does_not_matter() -> None:
    mixing, _, found = solved(3)
    seen_through = found.weight @ mixing
    assert float(seen_through[:, 3:].abs().max()) < 0.2
    assert float(seen_through[:, :3].abs().diagonal().min()) > 0.8


def test_the_mean_species_lies_at_the_origin() -> None:
    _, seen, found = solved(3)
    values = torch.cat(seen) @ found.weight.T + found.bias
    assert torch.allclose(values.mean(0), torch.zeros(3), atol=1e-3)
