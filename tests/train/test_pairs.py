"""Maps that share their particles begin anew; those that have their own stay."""

from __future__ import annotations

import torch

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.train.pairs import alike, parted
from napari_cryodeco.train.retry import agree
from napari_cryodeco.train.stages import Silent, generator
from napari_cryodeco.train.starts import StartPlan

HELD = 40


def test_pairs_that_explain_the_same_images_come_first():
    scores = torch.tensor([[9.0, 8.0, 0.0], [7.5, 8.0, 0.0], [0.0, 2.0, 9.0], [9.0, 8.5, 1.0]])
    assert alike(scores) == [(0, 1), (1, 2), (0, 2)]
    scores[:, 1] = -50  # nobody's: not known to be like any
    assert alike(scores)[0] == (0, 2)


def test_two_maps_of_one_species_become_maps_of_two(tripod_and_arc):
    looks, maps = tripod_and_arc.looks, tripod_and_arc.maps
    plan = StartPlan.of(2, looks)
    order = torch.randperm(len(tripod_and_arc.labels), generator=generator(0, "order", 0))
    evidence, near = looks.evidence(order), Ball(plan.last, 3)
    right = torch.stack([true[: len(near)] for true in maps])
    rest, held, draw = evidence[HELD:], evidence[:HELD], generator(1, "pairs", 0)
    found = parted(looks, rest, held, right[[0, 0]], draw, Silent())
    pairs = [[agree(one, true, plan.last) for true in right] for one in found]
    assert pairs in ([[True, False], [False, True]], [[False, True], [True, False]])
    assert torch.equal(parted(looks, rest, held, right, draw, Silent()), right)
