"""Images do not gather on a few viewing axes; where they look evenly nothing is changed."""

from __future__ import annotations

import torch

from napari_cryodeco.imaging import so3
from napari_cryodeco.train.coverage import AXES, CAP, DEEPEST, axis_of, penalties

EVEN = torch.full((AXES,), 1 / AXES)


def shares(scores: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    return (scores + found).softmax(1).mean(0) * AXES


def test_random_views_fall_on_all_axes_alike():
    rotations = so3.random_rotations(60_000, torch.Generator().manual_seed(0))
    counts = torch.bincount(axis_of(rotations), minlength=AXES) * AXES / 60_000
    assert counts.min() > 0.7 and counts.max() < 1.3


def test_both_ways_along_an_axis_and_turns_in_the_plane_are_one():
    rotations = so3.random_rotations(500, torch.Generator().manual_seed(1))
    turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    back = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    for other in (turn, back):
        assert torch.equal(axis_of(other @ rotations), axis_of(rotations))


def test_even_views_are_left_alone():
    scores = torch.full((600, AXES), -200.0)
    scores[torch.arange(600), torch.arange(600) % AXES] = 0.0
    assert not penalties(scores, torch.ones(600), EVEN).any()


def test_a_crowd_that_hardly_cares_is_spread_and_one_that_cares_stays():
    random = torch.Generator().manual_seed(2)
    own = torch.randint(0, AXES, (2000,), generator=random)
    scores = torch.full((2000, AXES), -40.0)
    scores[torch.arange(2000), own] = 0.0  # where each image belongs
    tempted = scores.clone()
    tempted[:, 7] = 1.0  # one good slice fits all a little better
    found = penalties(tempted, torch.ones(2000), EVEN)
    assert shares(tempted, torch.zeros(AXES))[7] > 0.7 * AXES
    assert shares(tempted, found)[7] < 2 * CAP  # counted together with the axes about it
    preferred = scores.clone()
    preferred[:1500, 7] = 100.0  # three quarters do look along one axis, and say so clearly
    found = penalties(preferred, torch.ones(2000), EVEN)
    assert found.min() >= -DEEPEST
    assert shares(preferred, found)[7] > 0.74 * AXES


def test_images_of_another_species_do_not_count():
    scores = torch.full((400, AXES), -40.0)
    scores[torch.arange(400), torch.arange(400) % AXES] = 0.0
    scores[200:, 7] = 1.0
    weights = (torch.arange(400) < 200).float()
    assert not penalties(scores, weights, EVEN).any()


def test_the_penalties_of_a_search_are_not_in_its_scores(tripod_and_arc):
    from napari_cryodeco.imaging.ball import Ball
    from napari_cryodeco.train.matching import Matcher, SearchPlan, search

    looks = tripod_and_arc.looks
    evidence = looks.evidence(torch.arange(60))
    matcher = Matcher(tripod_and_arc.maps[0], Ball(9, 3), evidence.ball, SearchPlan(6, 9))
    plain = search(evidence, matcher)
    along = matcher.along_axes(evidence)
    assert torch.allclose(along.amax(1), matcher.coarse(evidence).scores[:, 0], atol=1e-3)
    along[:, 0] += 1000.0  # as if all of them looked along the first axis
    matcher.spread(along, torch.ones(60))
    spread = search(evidence, matcher)
    assert (spread.scores <= plain.scores + 0.5).all()
    moved = axis_of(plain.rotations[:, 0]) != axis_of(spread.rotations[:, 0])
    assert (axis_of(spread.rotations[:, 0])[moved] != 0).all()
    assert along.shape[1] == AXES
