"""Second looks: a right map is confirmed, a wrong one replaced."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_cryodeco.train import retry
from napari_cryodeco.train.retry import agree, likeness, second_look

EACH = 150


def test_a_right_map_is_confirmed(tripod_and_arc):
    right = tripod_and_arc.maps[0]
    verdict = second_look(tripod_and_arc.looks, torch.arange(EACH), right, 1, 2, lambda: None)
    assert verdict.confirmed
    assert verdict.volume is None or agree(verdict.volume, right, 9)


def test_a_wrong_map_is_replaced_by_the_right_one(tripod_and_arc):
    right, wrong = tripod_and_arc.maps
    verdict = second_look(tripod_and_arc.looks, torch.arange(EACH), wrong, 1, 2, lambda: None)
    assert verdict.volume is not None
    assert agree(verdict.volume, right, 9)
    assert not agree(verdict.volume, wrong, 9)


def test_too_few_particles_are_left_alone(tripod_and_arc):
    few, wrong = torch.arange(retry.FEWEST - 1), tripod_and_arc.maps[1]
    verdict = second_look(tripod_and_arc.looks, few, wrong, 1, 1, lambda: None)
    assert verdict.volume is None and not verdict.confirmed


def test_a_stop_is_heard(tripod_and_arc):
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        second_look(tripod_and_arc.looks, torch.arange(EACH), tripod_and_arc.maps[0], 1, 2, stop)


def test_features_bring_back_what_a_wrong_map_sent_away():
    random = np.random.default_rng(0)
    true = np.repeat([0, 1], 100)
    features = torch.from_numpy(random.normal(size=(200, 5)) + 4 * true[:, None]).float()
    own = torch.from_numpy(true.copy())
    own[:30] = 1  # sent away
    like = likeness(features, own)
    assert int((like[:100] == 0).sum()) >= 95
    assert int((like[100:] == 1).sum()) >= 95
    alone = torch.zeros(200, dtype=torch.long)
    assert torch.equal(likeness(features, alone), alone)
