"""A doubtful species begins again; one that explains its particles and is seen from all sides not."""

from __future__ import annotations

import pytest
import torch

from napari_cryodeco.imaging.so3 import random_rotations
from napari_cryodeco.train.renew import renewed
from napari_cryodeco.train.retry import agree

ROWS = torch.arange(150)  # the tripods


def go_on() -> None:
    """Go on."""


def test_a_right_map_stays(tripod_and_arc):
    poses = tripod_and_arc.poses
    scene = tripod_and_arc.looks, ROWS, poses.rotations[ROWS], poses.shifts[ROWS]
    assert renewed(*scene, 1, 2, go_on) is None


def test_a_map_of_wrong_poses_gives_way_to_the_right_one(tripod_and_arc):
    wrong = random_rotations(len(ROWS), torch.Generator().manual_seed(1))
    scene = tripod_and_arc.looks, ROWS, wrong, tripod_and_arc.poses.shifts[ROWS]
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
