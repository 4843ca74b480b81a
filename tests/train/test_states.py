"""States of one molecule are told apart by what varies in it; other species are left alone."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch.nn.functional import one_hot

from napari_cryodeco.train import joint
from napari_cryodeco.train.matching import rebuild
from napari_cryodeco.train.merging import OF_PARTICLES, OF_SPECIES
from napari_cryodeco.train.passes import PLANS, Pass, plans_of
from napari_cryodeco.train.stages import Silent
from napari_cryodeco.train.states import (
    BEFORE,
    better,
    families,
    forgotten,
    known_families,
    with_states,
)

EACH = 150


def arms(lengths: tuple[int, ...]) -> Tensor:
    return torch.cat(
        [
            torch.linspace(0, length, 12)[:, None] * torch.eye(3)[axis]
            for axis, length in enumerate(lengths)
        ]
    )


@pytest.fixture(scope="module")
def two_states(plant_bodies):
    """150 images of three arms, then 150 that lack one; both around the same point."""
    whole = arms((11, 8, 6))
    return plant_bodies((whole, whole[:24]), torch.arange(2 * EACH) // EACH, 1.0, 0.0, 1.0, seed=3)


def stage_of(scene, species: Tensor, volumes: Tensor | None = None) -> joint.JointStage:
    """The stage after a pass at which the particles chose these species, at true poses."""
    looks, poses, count = scene.looks, scene.poses, len(scene.labels)
    stage = joint.JointStage(looks, 0 * scene.maps, torch.zeros(count, 1), 2, seed=2)
    stage.load(None)
    state, shifts = dict(stage.tensors()), poses.shifts / looks.geometry.length
    everyone = looks.evidence(torch.arange(count))
    for index in (0, 1):
        weights = (species == index).float()
        made = rebuild(everyone, poses.rotations, shifts, weights, looks.power, looks.radius)
        state["volumes"][index] = made.volume
        state["left_out"][index] = torch.cat([made.left_out, made.volume[None]])
    state["rotations"] = poses.rotations[:, None].repeat(1, 2, 1, 1)
    state["shifts"], state["scores"] = shifts[:, None].repeat(1, 2, 1), 10.0 * one_hot(species, 2)
    stage.load(state)
    return stage


def test_states_that_share_their_maps_are_told_apart(two_states):
    stage = stage_of(two_states, torch.arange(2 * EACH) % 2)  # half of either state in each
    states, choose = PLANS.index("states"), PLANS.index("choose")
    stage.advance(states - 1, Silent())
    assert adjusted_rand_score(two_states.labels, stage.posteriors.argmax(1)) < 0.3
    stage.advance(states, Silent())
    assert stage.tensors()["family"].tolist() == [1, 1]
    for unit in range(states + 1, choose + 1):
        stage.advance(unit, Silent())
    assert adjusted_rand_score(two_states.labels, stage.posteriors.argmax(1)) > 0.8
    assert not stage.tensors()["family"].any() and not len(stage.tensors()[BEFORE + "scores"])


def test_other_species_are_no_states_of_each_other(tripod_and_arc):
    stage = stage_of(tripod_and_arc, tripod_and_arc.labels)
    known = {name: value.clone() for name, value in stage.tensors().items()}
    states, choose = PLANS.index("states"), PLANS.index("choose")
    for unit in range(states, choose):
        stage.advance(unit, Silent())
    assert all(torch.equal(stage.tensors()[name], known[name]) for name in known)


def test_the_place_of_no_species_goes_to_the_largest_molecule(tripod_and_arc):
    stage = stage_of(tripod_and_arc, 0 * tripod_and_arc.labels)
    (family,) = families(tripod_and_arc.looks, torch.arange(2 * EACH), stage.tensors())
    assert family.species == [0, 1] and len(family.rows) == 2 * EACH


def test_they_begin_once_more_with_the_same_species_at_the_poses_they_have(two_states):
    stage, rows = stage_of(two_states, torch.arange(2 * EACH) % 2), torch.arange(2 * EACH)
    more_began = stage.tensors() | {"family": torch.zeros(4, dtype=torch.long)}
    begun = with_states(two_states.looks, rows, more_began, 1, Silent())
    assert begun["family"].tolist() == [1, 1]
    begun["scores"] = 10.0 * one_hot(two_states.labels, 2)
    begun["shifts"][EACH:, 1] += 0.01
    (family,) = known_families(rows, begun)
    assert family.species == [0, 1] and torch.equal(family.rows, rows)
    assert torch.equal(family.poses.shifts[:EACH], begun["shifts"][:EACH, 0])
    assert torch.equal(family.poses.shifts[EACH:], begun["shifts"][EACH:, 1])
    again = with_states(two_states.looks, rows, begun, 1, Silent())
    assert again["family"].tolist() == [1, 1]
    for name in OF_PARTICLES + OF_SPECIES:  # what it would be taken back to is what there was first
        assert torch.equal(again[BEFORE + name], stage.tensors()[name])


def test_states_that_explain_no_more_are_taken_back(two_states):
    stage, rows = stage_of(two_states, two_states.labels), torch.arange(2 * EACH)
    before = {name: value.clone() for name, value in stage.tensors().items()}
    begun = with_states(two_states.looks, rows, stage.tensors(), 1, Silent())
    assert not torch.equal(begun["volumes"], before["volumes"])
    worse = better(rows, begun | {"scores": before["scores"] - 5}, Silent())
    for name in OF_PARTICLES + OF_SPECIES:
        if name != "running":  # nobody has been compared with these since
            assert torch.equal(worse[name], before[name])
    kept = better(rows, begun | {"scores": before["scores"] + 5}, Silent())
    assert torch.equal(kept["volumes"], begun["volumes"])
    for made in (worse, kept):
        assert made.keys() == before.keys()
        nothing = forgotten(made)
        assert all(torch.equal(made[name], nothing[name]) for name in nothing)


@pytest.mark.parametrize(
    ("unknown", "last", "others"),
    [(("patient",), 5, 2), (("patient", "parted", "family"), 5, 11)],
)
def test_a_run_of_an_earlier_version_ends_as_it_would_have(two_states, unknown, last, others):
    """Before there were two more last passes; before that no species parted, and no states."""
    stage = stage_of(two_states, two_states.labels)
    assert stage.units() == len(PLANS) == len(plans_of(None, merging=False))
    tensors, new = stage.tensors(), (*unknown, *([BEFORE] if others else []))
    left = {name: value for name, value in tensors.items() if not name.startswith(new)}
    stage.load(left)
    assert stage.units() == len(PLANS) - 2 - others
    passes = [one for one in plans_of(left, merging=False) if isinstance(one, Pass) and one.all]
    assert sum(not one.after for one in passes) == last
    stage.load(dict(stage.tensors()))  # stopped again, and again gone on with
    assert stage.units() == len(PLANS) - 2 - others
