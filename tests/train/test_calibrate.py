"""Laws of the last linear map: noise becomes round, and planted differences come first."""

from __future__ import annotations

import torch

from napari_cryodeco.train.calibrate import Scatter

DIM, SPECIES, VIEWS = 6, 20, 8


def episodes(mixing: torch.Tensor, spread: torch.Tensor, count: int = 60) -> list[torch.Tensor]:
    """Species that differ by `spread` per axis, images that differ by 1, seen through `mixing`."""
    random = torch.Generator().manual_seed(0)
    made = []
    for _ in range(count):
        centres = torch.randn(SPECIES, 1, DIM, generator=random) * spread
        offset = 5 * torch.randn(1, 1, DIM, generator=random)  # the episode's own: to be ignored
        images = centres + offset + torch.randn(SPECIES, VIEWS, DIM, generator=random)
        made.append(images.flatten(0, 1) @ mixing.T)
    return made


def solved(dim: int) -> tuple[torch.Tensor, list[torch.Tensor], object]:
    mixing = torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(1))
    seen = episodes(mixing, torch.tensor([3.0, 2.0, 1.0, 0.0, 0.0, 0.0]))
    scatter = Scatter(DIM)
    for episode in seen:
        scatter.add(episode, VIEWS)
    return mixing, seen, scatter.solve(dim)


def test_images_of_a_species_spread_by_one_in_every_direction() -> None:
    _, seen, found = solved(4)
    values = torch.cat(seen) @ found.weight.T + found.bias  # type: ignore[attr-defined]
    inner = values.view(-1, VIEWS, 4)
    inner = (inner - inner.mean(1, keepdim=True)).flatten(0, 1)
    covariance = inner.T @ inner / (len(inner) * (VIEWS - 1) / VIEWS)
    assert torch.allclose(covariance, torch.eye(4), atol=0.05)


def test_strengths_are_the_planted_ratios_of_variance() -> None:
    _, _, found = solved(DIM)
    wanted = torch.tensor([9.0, 4.0, 1.0, 0.0, 0.0, 0.0])
    assert torch.allclose(found.strength, wanted, rtol=0.15, atol=0.1)  # type: ignore[attr-defined]


def test_the_mixing_does_not_matter() -> None:
    mixing, _, found = solved(3)
    seen_through = found.weight @ mixing  # type: ignore[attr-defined]
    assert float(seen_through[:, 3:].abs().max()) < 0.2
    assert float(seen_through[:, :3].abs().diagonal().min()) > 0.8


def test_the_mean_species_lies_at_the_origin() -> None:
    _, seen, found = solved(3)
    values = torch.cat(seen) @ found.weight.T + found.bias  # type: ignore[attr-defined]
    assert torch.allclose(values.mean(0), torch.zeros(3), atol=1e-3)
