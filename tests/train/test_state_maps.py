"""Maps of states: drawn to the mean of the molecule, empty where nobody is, and told apart."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch.nn.functional import one_hot

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.train.looks import Stream
from napari_cryodeco.train.matching import FOLDS, fold_sums, rebuilt, together
from napari_cryodeco.train.solvent import without_solvent
from napari_cryodeco.train.stages import Silent
from napari_cryodeco.train.state_maps import maps_of_states, settled

COMMON, RARE = 240, 40
TICK = Silent().check_stop


def arms(lengths: tuple[int, ...]) -> Tensor:
    return torch.cat(
        [
            torch.linspace(0, length, 12)[:, None] * torch.eye(3)[axis]
            for axis, length in enumerate(lengths)
        ]
    )


@pytest.fixture(scope="module")
def rare_state(plant_bodies):
    """240 faint images of three arms, 40 that lack one; around the same point."""
    whole, labels = arms((11, 8, 6)), (torch.arange(COMMON + RARE) >= COMMON).long()
    return plant_bodies((whole, whole[:24]), labels, 1.0, 0.0, 0.25, seed=3)


def parts_of(scene) -> tuple[Tensor, Poses]:
    """All particles, and their true poses with shifts in box sides."""
    poses = scene.poses
    here = Poses(poses.rotations, poses.shifts / scene.looks.geometry.length)
    return torch.arange(len(scene.labels)), here


def sums_of(scene, posteriors: Tensor):
    rows, poses = parts_of(scene)
    stream, radius = Stream(scene.looks, rows), scene.looks.radius
    return [fold_sums(stream, poses, one, radius, rows % FOLDS) for one in posteriors.T]


def test_a_rare_state_is_nearer_to_the_truth_with_what_all_particles_tell(rare_state):
    looks = rare_state.looks
    sums = sums_of(rare_state, one_hot(rare_state.labels, 2).float())
    truth = rare_state.maps[1]
    drawn_to_mean = maps_of_states(sums, looks.power)[1].volume
    drawn_to_zero = without_solvent(rebuilt(sums[1], looks.power), Ball(looks.radius, 3)).volume

    def error(volume: Tensor) -> float:
        return float((volume - truth).norm() / truth.norm())

    assert error(drawn_to_mean) < 0.9 * error(drawn_to_zero)


def test_where_its_own_images_tell_it_is_as_they_say(rare_state):
    """As if each image of the common state had been seen a thousand times: the mean fades."""
    sums, power = sums_of(rare_state, one_hot(rare_state.labels, 2).float()), rare_state.looks.power
    everyone = [together(list(parts)) for parts in zip(*sums, strict=True)]
    differences = []
    for times in (1.0, 1e3):
        for part in sums[0]:
            part.decay(times)
        alone, around = (rebuilt(sums[0], power, mean).volume for mean in (None, everyone))
        differences.append(float((alone - around).norm() / alone.norm()))
    assert differences[1] < 0.3 * differences[0]


def test_a_state_without_particles_has_no_map(rare_state):
    none = torch.zeros(COMMON + RARE, 1)
    sums = sums_of(rare_state, torch.cat([one_hot(rare_state.labels, 2).float(), none], 1))
    maps = maps_of_states(sums, rare_state.looks.power)
    assert not maps[2].volume.any() and not maps[2].left_out.any()
    assert maps[0].volume.any() and maps[1].volume.any()


def test_particles_find_their_states_and_leave_one_that_few_show(rare_state):
    draw = torch.Generator().manual_seed(1)
    rows, poses = parts_of(rare_state)
    guess = rare_state.labels.clone()
    wrong = torch.rand(len(guess), generator=draw) < 0.2
    guess[wrong] = 1 - guess[wrong]
    guess[torch.randperm(COMMON, generator=draw)[:12]] = 2  # a third state of a dozen
    found = settled(rare_state.looks, rows, poses, one_hot(guess, 3).float(), TICK)
    assert not found.maps[2].volume.any()
    own = found.posteriors.argmax(1)
    assert adjusted_rand_score(rare_state.labels, own) > 0.8


def test_one_state_in_two_maps_is_no_likelier_than_the_states(rare_state):
    rows, poses = parts_of(rare_state)
    looks, right = rare_state.looks, one_hot(rare_state.labels, 2).float()
    twice = torch.zeros(COMMON + RARE, 3)
    twice[:, 2], twice[:COMMON, 0] = right[:, 1], rows[:COMMON] % 2
    twice[:COMMON, 1] = 1 - twice[:COMMON, 0]
    told = [settled(looks, rows, poses, begun, TICK).told for begun in (right, twice)]
    alone = settled(looks, rows, poses, torch.ones(len(rows), 1), TICK).told
    assert told[0] > told[1] > alone
