"""Random starts: settings for many species and faint images, and ties between them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.train import starts
from napari_cryodeco.train.starts import MOST_PATIENCE, Start, StartPlan


def images(radius: int = 16, told: float = 1000.0) -> SimpleNamespace:
    return SimpleNamespace(radius=radius, information=lambda radius: told)


def test_more_species_take_more_steps_and_images():
    one, two, four, many = (StartPlan.of(species, images()) for species in (1, 2, 4, 16))
    assert one.steps == 250
    assert one.steps < two.steps < four.steps == many.steps
    assert four.batch < many.batch
    assert StartPlan.of(16, images(radius=7)).last == 7


def test_faint_images_take_more_steps_but_not_for_ever():
    clear, faint, dark = (StartPlan.of(1, images(told=told)) for told in (300.0, 60.0, 0.0))
    assert clear.steps == 250 < 4 * clear.steps < faint.steps < dark.steps
    assert dark.steps == 250 * MOST_PATIENCE
    assert clear.memory < faint.memory < dark.memory < 0.2


def test_faint_images_of_several_species_take_the_steps_of_one_and_are_shared_evenly():
    one, four = (StartPlan.of(species, images(told=60.0)) for species in (1, 4))
    assert (four.steps, four.memory, four.batch) == (one.steps, one.memory, 4 * one.batch)
    assert four.least == 1 > StartPlan.of(4, images()).least
    six, many = (StartPlan.of(species, images(told=60.0)) for species in (6, 16))
    assert six.tried == 6  # features of faint images do not tell which may be left out
    assert many.tried == StartPlan.of(6, images()).tried == 4


def test_what_an_image_tells_is_the_expected_log_likelihood(tripod_and_arc):
    looks = tripod_and_arc.looks
    rows, ball = torch.arange(len(tripod_and_arc.labels)), Ball(9, 2)
    seen = looks.evidence(rows)
    # of images that are CTF · signal + noise 1, |image|² is on average |CTF · signal|² + 1
    square = (seen.data / seen.ctf2.sqrt()).square().mean(0) - 1
    assert looks.information(9) == pytest.approx(
        0.5 * float(square[ball.shells > 0].sum()), rel=0.1
    )
    assert looks.information(4) < looks.information(9)


def test_of_equally_likely_species_none_is_left_without_images(tripod_and_arc):
    looks, n = tripod_and_arc.looks, len(tripod_and_arc.labels)
    plan = StartPlan(steps=2, batch=n)
    start = Start(looks.evidence(torch.arange(n)), looks.power, plan, torch.full((n, 9), 1 / 9))
    start.step(0, torch.Generator().manual_seed(0))
    start.step(1, torch.Generator().manual_seed(1))
    powers = start.volumes.norm(dim=1)
    assert powers.min() > 0.2 * powers.max()


def test_a_species_with_a_handicap_gets_fewer_images(tripod_and_arc):
    looks = tripod_and_arc.looks
    start = Start(
        looks.evidence(torch.arange(64)),
        looks.power,
        StartPlan(steps=3, batch=64),
        torch.full((64, 2), 0.5),
    )
    draw = torch.Generator().manual_seed(0)
    start.step(0, draw)
    kept = start.tensors() | {"handicaps": torch.tensor([-1e5, 0.0]), "shares": torch.ones(2) / 2}
    start.load(kept, start._plan.radius(0))
    start.step(1, draw)
    first, second = start.tensors()["shares"].tolist()
    assert first < 0.5 < second


def test_a_handicap_ends_with_the_crowd_and_has_a_bound(tripod_and_arc):
    looks, n = tripod_and_arc.looks, 40
    plan = StartPlan(steps=10, batch=8)
    start = Start(looks.evidence(torch.arange(n)), looks.power, plan, torch.full((n, 4), 0.25))
    for _ in range(400):
        start._share(torch.tensor([0.97, 0.01, 0.01, 0.01]))
    assert start._handicaps.tolist() == [-starts.DEEPEST, 0, 0, 0]
    uneven = torch.tensor([0.28, 0.24, 0.24, 0.24])  # but none is empty
    for _ in range(2000):
        start._share(uneven)
    assert start._handicaps.abs().max() < 1e-3
    start._plan = replace(plan, least=1.0)
    for _ in range(100):
        start._share(uneven)
    assert start._handicaps[0] < -1
    assert start._handicaps[1:].abs().max() < 1e-3
