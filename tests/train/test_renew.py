"""A doubtful species begins anew; one that explains its particles and has all sides does not."""

from __future__ import annotations

import pytest
import torch

from napari_cryodeco.imaging.so3 import random_rotations
from napari_cryodeco.train.renew import renewed
from napari_cryodeco.train.retry import agree

ROWS = torch.arange(150)  # the tripods


def still(scene) -> torch.Tensor:
    """True shifts in box sides."""
    return scene.poses.shifts[ROWS] / scene.looks.geometry.length


def go_on() -> None:
    """Go on."""


def test_a_right_map_stays(tripod_and_arc):
    rotations = tripod_and_arc.poses.rotations[ROWS]
    scene = tripod_and_arc.looks, ROWS, rotations, still(tripod_and_arc)
    assert renewed(*scene, 1, 2, go_on) is None


def test_a_map_of_wrong_poses_gives_way_to_the_right_one(tripod_and_arc):
    wrong = random_rotations(len(ROWS), torch.Generator().manual_seed(1))
    scene = tripod_and_arc.looks, ROWS, wrong, still(tripod_and_arc)
    found = renewed(*scene, 1, 2, go_on)
    assert found is not None and agree(found, tripod_and_arc.maps[0], 9)


def test_a_few_particles_begin_nothing(tripod_and_arc):
    few = ROWS[:50]
    wrong = torch.eye(3).expand(50, 3, 3)
    scene = tripod_and_arc.looks, few, wrong, torch.zeros(50, 2)
    assert renewed(*scene, 1, 1, go_on) is None


def test_a_stop_is_heard(tripod_and_arc):
    def stop() -> None:
        raise InterruptedError

    wrong = torch.eye(3).expand(150, 3, 3)
    with pytest.raises(InterruptedError):
        renewed(tripod_and_arc.looks, ROWS, wrong, torch.zeros(150, 2), 1, 1, stop)
