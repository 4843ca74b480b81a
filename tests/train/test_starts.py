"""Random starts: settings for many species, and ties between them."""

from __future__ import annotations

import torch

from napari_cryodeco.train.starts import Start, StartPlan


def test_more_species_take_more_steps_and_images():
    assert StartPlan.of(1, 16).steps == 250
    assert StartPlan.of(1, 16).steps < StartPlan.of(2, 16).steps < StartPlan.of(4, 16).steps
    assert StartPlan.of(4, 16).steps == StartPlan.of(16, 16).steps
    assert StartPlan.of(4, 16).batch < StartPlan.of(16, 16).batch
    assert StartPlan.of(16, 7).last == 7


def test_of_equally_likely_species_none_is_left_without_images(tripod_and_arc):
    looks, n = tripod_and_arc.looks, len(tripod_and_arc.labels)
    plan = StartPlan(steps=2, batch=n)
    start = Start(looks.evidence(torch.arange(n)), looks.power, plan, torch.full((n, 9), 1 / 9))
    start.step(0, torch.Generator().manual_seed(0))
    start.step(1, torch.Generator().manual_seed(1))
    powers = start.volumes.norm(dim=1)
    assert powers.min() > 0.2 * powers.max()
