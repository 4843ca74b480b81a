"""A species that lost its particles: the mixture that took them is found out and taken apart."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch.nn.functional import one_hot

from napari_cryodeco.train import joint, split
from napari_cryodeco.train.matching import rebuild
from napari_cryodeco.train.passes import PLANS
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
    look = PLANS.index("look")
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
        for unit in (look + 1, PLANS.index("states") - 4):
            one.advance(unit, Silent())
    assert torch.equal(stage.posteriors, resumed.posteriors)
    found = stage.posteriors.argmax(1)
    assert adjusted_rand_score(tripod_and_arc.labels, found) > 0.95


def chosen(scene, species: torch.Tensor) -> dict[str, torch.Tensor]:
    """State of two species whose maps are made of the particles that chose them, at true poses."""
    looks, poses, count = scene.looks, scene.poses, len(scene.labels)
    stage = joint.JointStage(looks, 0 * scene.maps, torch.zeros(count, 1), 2)
    stage.load(None)
    state = dict(stage.tensors())
    shifts = poses.shifts / looks.geometry.length
    everyone = looks.evidence(torch.arange(count))
    for index in (0, 1):
        weights = (species == index).float()
        made = rebuild(everyone, poses.rotations, shifts, weights, looks.power, looks.radius)
        state["volumes"][index] = made.volume
    state["rotations"] = poses.rotations[:, None].repeat(1, 2, 1, 1)
    state["shifts"], state["scores"] = shifts[:, None].repeat(1, 2, 1), 10.0 * one_hot(species, 2)
    return state


@pytest.fixture
def stage(tripod_and_arc, monkeypatch) -> joint.JointStage:
    """Of two bodies with the true maps; species of half of either's images may part."""
    monkeypatch.setattr(split, "FEWEST", EACH // 2)
    features = torch.randn(2 * EACH, 3, generator=torch.Generator().manual_seed(0))
    return joint.JointStage(tripod_and_arc.looks, tripod_and_arc.maps, features, 2, seed=2)


@pytest.mark.parametrize(("mixed", "began"), [(True, 4), (False, 3)])
def test_what_explains_too_little_parts_and_what_is_one_is_joined(
    stage, tripod_and_arc, mixed, began
):
    """Two bodies share two maps; or they are right, but the arc's explains less than is asked for.

    It is thin, and seen in 150 images only.
    """
    halves = torch.arange(2 * EACH) % 2
    stage.load(chosen(tripod_and_arc, halves if mixed else tripod_and_arc.labels))
    part = PLANS.index("part")
    stage.advance(part, Silent())
    assert stage.posteriors.shape[1] == began
    assert int(stage.tensors()["parted"]) == began - 2
    assert PLANS[part + 2] == "rejoin"
    for unit in range(part + 1, part + 4):
        stage.advance(unit, Silent())
    assert stage.posteriors.shape[1] == 2
    assert adjusted_rand_score(tripod_and_arc.labels, stage.posteriors.argmax(1)) > 0.95


def test_maps_that_explain_enough_do_not_part(stage, tripod_and_arc, monkeypatch):
    monkeypatch.setattr(split, "CLEAR", 0.9)
    stage.load(chosen(tripod_and_arc, tripod_and_arc.labels))
    known = {name: value.clone() for name, value in stage.tensors().items()}
    part = PLANS.index("part")
    for unit in range(part, part + 4):
        stage.advance(unit, Silent())
    assert all(torch.equal(stage.tensors()[name], known[name]) for name in known)


def test_runs_of_older_versions_are_told_apart(tripod_and_arc):
    stage = joint.JointStage(tripod_and_arc.looks, torch.zeros(2, 10), torch.zeros(2 * EACH, 3), 2)
    with pytest.raises(ValueError, match="earlier version"):
        stage.load({"volumes": torch.zeros(2, 10)})
