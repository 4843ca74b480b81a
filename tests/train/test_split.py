"""A species that lost its particles: the mixture that took them is found out and taken apart."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from napari_cryodeco.train import joint
from napari_cryodeco.train.retry import agree
from napari_cryodeco.train.split import splits
from napari_cryodeco.train.stages import Silent

EACH = 150


def test_the_species_that_hides_two_is_split(tripod_and_arc):
    members = [torch.arange(20), torch.cat([torch.arange(20, EACH), torch.arange(EACH, 2 * EACH)])]
    (found,) = splits(tripod_and_arc.looks, members, 3, 2, lambda: None)
    assert found.index == 1
    pairs = [[agree(half, true, 9) for true in tripod_and_arc.maps] for half in found.volumes]
    assert pairs in ([[True, False], [False, True]], [[False, True], [True, False]])


def test_a_stop_is_heard(tripod_and_arc):
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        splits(tripod_and_arc.looks, [torch.arange(2 * EACH)], 1, 1, stop)


def test_an_emptied_species_gets_a_map_of_its_own_again(tripod_and_arc, monkeypatch):
    looks, right = tripod_and_arc.looks, tripod_and_arc.maps[0]
    look = joint.PLANS.index("look")
    monkeypatch.setattr(joint, "SAMPLE", EACH - 10)  # passes see a part of the particles
    noise = torch.randn(len(right), generator=torch.Generator().manual_seed(1))
    volumes = torch.stack([right, noise * right.std() * 5])  # nobody fits the second
    stage = joint.JointStage(looks, volumes, torch.randn(2 * EACH, 3), 2, seed=2, threads=2)
    stage.load(None)
    stage.advance(0, Silent())
    seen = stage.tensors()["scores"].any(1)
    assert int(seen.sum()) == 2 * (EACH - 10)
    assert int(stage.posteriors[seen].argmax(1).sum()) < joint.FEWEST_LEFT
    stage.advance(look, Silent())
    saved = {name: value.clone() for name, value in stage.tensors().items()}
    resumed = joint.JointStage(looks, volumes, torch.randn(2 * EACH, 3), 2, seed=2, threads=1)
    resumed.load(saved)
    for one in (stage, resumed):
        for unit in (look + 1, len(joint.PLANS) - 4):
            one.advance(unit, Silent())
    assert torch.equal(stage.posteriors, resumed.posteriors)
    found = stage.posteriors.argmax(1)
    assert adjusted_rand_score(tripod_and_arc.labels, found) > 0.95


def test_runs_of_older_versions_are_told_apart(tripod_and_arc):
    stage = joint.JointStage(tripod_and_arc.looks, torch.zeros(2, 10), torch.zeros(2 * EACH, 3), 2)
    with pytest.raises(ValueError, match="earlier version"):
        stage.load({"volumes": torch.zeros(2, 10)})
