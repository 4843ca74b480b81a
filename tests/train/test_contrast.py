"""Laws of the losses that put a species together."""

from __future__ import annotations

import math

import pytest
import torch

from napari_cryodeco.train.contrast import Identity, Prototypes, SupervisedContrast

SPECIES, VIEWS = 6, 4
LOSSES = [Prototypes(0.1), SupervisedContrast(0.1)]


@pytest.fixture(autouse=True)
def no_gradients():  # type: ignore[no-untyped-def]
    with torch.no_grad():
        yield


def apart() -> torch.Tensor:
    return torch.eye(SPECIES).repeat_interleave(VIEWS, 0)


@pytest.mark.parametrize("loss", LOSSES, ids=["prototypes", "supcon"])
def test_species_apart_cost_little_and_mixed_ones_much(loss) -> None:  # type: ignore[no-untyped-def]
    mixed = torch.eye(SPECIES)[torch.arange(SPECIES * VIEWS) % SPECIES]
    assert float(loss(mixed, VIEWS)) > float(loss(apart(), VIEWS)) + 1


@pytest.mark.parametrize("loss", LOSSES, ids=["prototypes", "supcon"])
def test_length_and_order_do_not_count(loss) -> None:  # type: ignore[no-untyped-def]
    features = torch.randn(SPECIES * VIEWS, 5, generator=torch.Generator().manual_seed(0))
    value = float(loss(features, VIEWS))
    assert float(loss(features * torch.rand(len(features), 1).add(0.5), VIEWS)) == pytest.approx(
        value, rel=1e-4
    )
    order = torch.randperm(SPECIES)
    shuffled = features.view(SPECIES, VIEWS, -1)[order].flatten(0, 1)
    assert float(loss(shuffled, VIEWS)) == pytest.approx(value, rel=1e-4)


def test_prototypes_at_no_sharpness_are_chance() -> None:
    features = torch.randn(SPECIES * VIEWS, 5)
    assert float(Prototypes(1e9)(features, VIEWS)) == pytest.approx(math.log(SPECIES), rel=1e-4)


def test_supcon_of_equal_features_is_chance() -> None:
    features = torch.ones(SPECIES * VIEWS, 5)
    chance = math.log(SPECIES * VIEWS - 1)
    assert float(SupervisedContrast(0.1)(features, VIEWS)) == pytest.approx(chance, rel=1e-4)


def test_an_image_does_not_see_itself_in_its_prototype() -> None:
    # one image of the first species lies with the second: its own mean must not hide it
    features = torch.tensor([[1.0, 0.0]] * 2 + [[-1.0, 0.0]] * 2)
    alone = Prototypes(1.0)
    features[0] = torch.tensor([-1.0, 0.0])
    lonely = alone(features, 2)
    assert float(lonely) > math.log(2)


def test_identity_learns_its_directions() -> None:
    loss = Identity(3, 4, 0.1)
    features = loss.directions.detach().clone()
    assert float(loss(features, torch.arange(3))) < float(loss(features, torch.tensor([1, 2, 0])))
