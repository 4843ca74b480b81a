from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from napari_cryodeco.train.probe import knn
from napari_cryodeco.train.schedule import (
    WeightAverage,
    momentum,
    parameter_groups,
    rate_factor,
    share_done,
)


def test_the_rate_rises_in_a_line_and_falls_to_its_floor() -> None:
    shares = torch.linspace(0, 1, 201).tolist()
    factors = [rate_factor(share, 0.1, 0.02) for share in shares]
    assert factors[0] == 0 and factors[-1] == pytest.approx(0.02)
    assert max(factors) == pytest.approx(1) and factors.index(max(factors)) == 20
    assert factors[:21] == pytest.approx([share / 0.1 for share in shares[:21]])
    assert factors[20:] == sorted(factors[20:], reverse=True)
    assert rate_factor(0.55, 0.1, 0) == pytest.approx(0.5)  # half way down a cosine
    assert rate_factor(0.0, 0.0, 0.5) == 1  # no warm-up


def test_a_training_is_as_far_as_its_steps_or_its_time() -> None:
    assert share_done(25, 100) == 0.25
    assert share_done(25, 100, seconds=30, minutes=1) == 0.5
    assert share_done(75, 100, seconds=30, minutes=1) == 0.75
    assert share_done(25, 100, seconds=90, minutes=1) == 1


def test_momentum_ends_at_one() -> None:
    assert momentum(0, 0.99) == pytest.approx(0.99)
    assert momentum(0.5, 0.99) == pytest.approx(0.995)
    assert momentum(1, 0.99) == 1


def test_norms_and_biases_do_not_decay() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Linear(4, 3))
    net[2].bias.requires_grad_(False)
    decaying, free = parameter_groups(net, 0.1)
    assert (decaying["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    assert {names[id(one)] for one in decaying["params"]} == {"0.weight", "2.weight"}
    assert {names[id(one)] for one in free["params"]} == {"0.bias", "1.weight", "1.bias"}


def test_the_average_follows_its_own_formula_and_forgets_the_start() -> None:
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    average = WeightAverage(net, 0.9)
    nn.init.ones_(net.weight)
    missing = 1.0
    for step in range(200):
        average.update(net, step)
        missing *= min(0.9, (1 + step) / (10 + step))
        assert float(average.tensors["weight"]) == pytest.approx(1 - missing, abs=1e-6)
    assert missing < 1e-6


def test_the_average_is_lent_and_taken_back_to_the_bit() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout())
    net[1].eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    average = WeightAverage(net, 0.5)
    nn.init.constant_(net[0].weight, 2.0)
    with average.inside(net):
        assert torch.equal(net[0].weight, before["0.weight"])
        assert not any(part.training for part in net.modules())
        assert torch.equal(average.tensors["0.weight"], torch.full((4, 3), 2.0))
    assert torch.equal(net[0].weight, torch.full((4, 3), 2.0))
    assert torch.equal(average.tensors["0.weight"], before["0.weight"])
    assert [part.training for part in net] == [True, False, True]


def test_the_nearest_neighbours_are_those_of_scikit_learn() -> None:
    from sklearn.neighbors import NearestNeighbors

    random = torch.Generator().manual_seed(2)
    labels = torch.randint(3, (200,), generator=random)
    features = torch.randn(200, 5, generator=random) + labels[:, None].float()
    finder = NearestNeighbors(n_neighbors=2, metric="cosine").fit(features)
    nearest = finder.kneighbors(features, return_distance=False)[:, 1]
    assert knn(features, labels, k=1) == pytest.approx(
        float((labels[nearest] == labels).float().mean())
    )


def test_neighbours_know_separate_species_and_guess_among_noise() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 4
    noise = torch.randn(400, 32, generator=random)
    assert knn(noise + 20 * nn.functional.one_hot(labels, 32), labels) == 1
    spread = math.sqrt(0.25 * 0.75 / 400)
    assert abs(knn(noise, labels) - 0.25) < 4 * spread
