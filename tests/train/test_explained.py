"""What a map explains of its particles' signal: all of it, or the part that they have in common."""

from __future__ import annotations

from dataclasses import replace
from math import radians

import pytest
import torch
from torch import Tensor

from napari_cryodeco.imaging.so3 import rotvec_to_matrix
from napari_cryodeco.train.explained import explained_share
from napari_cryodeco.train.looks import Stream


def share(scene, rows: Tensor, turned: Tensor | None = None) -> float:
    rotations = scene.poses.rotations if turned is None else turned @ scene.poses.rotations
    shifts = scene.poses.shifts / scene.looks.geometry.length
    found = explained_share(
        Stream(scene.looks, rows), rotations[rows], shifts[rows], scene.looks.power
    )
    assert found is not None
    return found


@pytest.mark.parametrize("gain", [1.0, 0.4])
def test_one_species_at_true_poses_is_explained_at_any_noise(tripod_and_arc, gain):
    looks = tripod_and_arc.looks
    noise = torch.randn(looks.images.shape, generator=torch.Generator().manual_seed(1))
    images = gain * looks.images + (1 - gain**2) ** 0.5 * noise  # noise 1 again
    scene = replace(tripod_and_arc, looks=replace(looks, images=images))
    rows = torch.nonzero(scene.labels == 0)[:, 0]
    assert share(scene, rows) == pytest.approx(1.0, abs=0.05)


def test_two_species_in_one_map_are_not(tripod_and_arc):
    assert share(tripod_and_arc, torch.arange(len(tripod_and_arc.labels))) < 0.85


def test_poses_that_are_off_explain_less_the_more_they_are_off(tripod_and_arc):
    rows = torch.nonzero(tripod_and_arc.labels == 0)[:, 0]
    axes = torch.randn(len(tripod_and_arc.labels), 3, generator=torch.Generator().manual_seed(2))
    axes = torch.nn.functional.normalize(axes, dim=1)
    found = [
        share(tripod_and_arc, rows, rotvec_to_matrix(axes * radians(degrees)))
        for degrees in (0.0, 15.0, 40.0)
    ]
    assert found[0] > found[1] + 0.02 and found[1] > found[2] + 0.1


def test_few_particles_or_a_small_radius_tell_nothing(tripod_and_arc):
    poses, power = tripod_and_arc.poses, tripod_and_arc.looks.power
    few = Stream(tripod_and_arc.looks, torch.arange(20))
    assert explained_share(few, poses.rotations[:20], poses.shifts[:20], power) is None
    many = Stream(tripod_and_arc.looks, torch.arange(100))
    assert explained_share(many, poses.rotations[:100], poses.shifts[:100], power[:4]) is None
