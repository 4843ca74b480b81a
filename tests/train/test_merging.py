"""Species that are one are joined, those that are two are not."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from napari_cryodeco.train import joint
from napari_cryodeco.train.merging import alone, likely_pairs, merge, together, without_empty
from napari_cryodeco.train.passes import MERGING
from napari_cryodeco.train.retry import agree
from napari_cryodeco.train.stages import Silent

EACH = 150


def quiet() -> None:
    """Go on."""


def asked(scene, members, maps, threads=2, tick=quiet):
    one, other = (
        alone(scene.looks, rows, volume, 1, tick)
        for rows, volume in zip(members, maps, strict=True)
    )
    return together(scene.looks, one, other, 1, threads, tick)


def test_halves_of_one_species_share_a_map(tripod_and_arc):
    right = tripod_and_arc.maps[0]
    members = torch.arange(EACH)[::2], torch.arange(EACH)[1::2]
    found = asked(tripod_and_arc, members, (right, right))
    assert found.one and agree(found.volume, right, 9)


def test_two_species_do_not(tripod_and_arc):
    members = torch.arange(EACH), torch.arange(EACH, 2 * EACH)
    maps = tuple(tripod_and_arc.maps)
    assert not asked(tripod_and_arc, members, maps).one


def test_an_empty_species_leaves_the_map_of_the_other(tripod_and_arc):
    first, second = tripod_and_arc.maps
    nobody, all_of_them = torch.arange(0), torch.arange(EACH)
    found = asked(tripod_and_arc, (all_of_them, nobody), (first, second))
    assert found.one and agree(found.volume, first, 9)


def test_pairs_whose_particles_both_explain_come_first():
    scores = torch.tensor([[9.0, 8.0, 0.0], [8.0, 9.0, 1.0], [0.0, 5.0, 9.0]])
    assert likely_pairs(scores) == [(0, 1), (1, 2), (0, 2)]


def test_too_many_species_become_as_many_as_there_are(tripod_and_arc):
    tripod, arc = tripod_and_arc.maps
    volumes = torch.stack([tripod, arc, 0.9 * tripod])
    features = torch.randn(2 * EACH, 3)
    stage = joint.JointStage(tripod_and_arc.looks, volumes, features, None, 2, 2)
    stage.load(None)
    merging = MERGING.index("merge")
    stage.advance(0, Silent())
    three = {name: value.clone() for name, value in stage.tensors().items()}
    stage.advance(merging, Silent())
    assert stage.posteriors.shape == (2 * EACH, 2)
    found = stage.posteriors.argmax(1)
    assert adjusted_rand_score(tripod_and_arc.labels, found) > 0.95
    resumed = joint.JointStage(tripod_and_arc.looks, volumes, features, None, 2, 2)
    resumed.load({name: value.clone() for name, value in stage.tensors().items()})
    for one in (stage, resumed):
        one.advance(merging + 1, Silent())  # the next pass knows two
    assert torch.equal(stage.posteriors, resumed.posteriors)
    late = joint.JointStage(tripod_and_arc.looks, volumes, features, None, 2, 2)
    late.load({name: value.clone() for name, value in three.items()})
    late.advance(MERGING.index("look"), Silent())  # those that were missed are asked again
    assert late.posteriors.shape == (2 * EACH, 2)
    looks, everyone = tripod_and_arc.looks, torch.arange(2 * EACH)
    for number in (1, 3):  # as many as were asked for, whether they are one or not
        left = merge(looks, everyone, dict(three), number, 1, 2, Silent())
        assert len(left["volumes"]) == left["scores"].shape[1] == number


def test_species_that_nobody_chose_are_left_out():
    scores = torch.zeros(200, 3)
    scores[:120, 0], scores[120:195, 2], scores[195:, 1] = 5.0, 5.0, 5.0
    state = {name: torch.rand(200, 3) for name in ("rotations", "shifts", "running")}
    state |= {
        name: torch.arange(3.0) for name in ("left_out", "resolution", "confirmed", "agreement")
    }
    state |= {"scores": scores, "volumes": torch.arange(3.0)[:, None], "changed": torch.ones(())}
    state["running"] = torch.nn.functional.one_hot(scores.argmax(1), 3).bool()
    left = without_empty(torch.arange(200), state)
    assert left["running"][195:].all()  # else nothing would be compared with them
    assert left["volumes"][:, 0].tolist() == [0, 2]
    assert torch.equal(left["shifts"], state["shifts"][:, [0, 2]])
    assert without_empty(torch.arange(120), left)["resolution"].tolist() == [0]
    assert len(without_empty(torch.arange(200), state, least=3)["volumes"]) == 3


def test_a_stop_is_heard(tripod_and_arc):
    def stop() -> None:
        raise InterruptedError

    members = torch.arange(EACH), torch.arange(EACH, 2 * EACH)
    with pytest.raises(InterruptedError):
        asked(tripod_and_arc, members, tuple(tripod_and_arc.maps), 1, stop)
