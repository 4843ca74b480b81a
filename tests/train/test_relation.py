"""Two maps that explain the same particles: how they lie to each other, from poses alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_cryodeco.imaging import so3
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.train.common_frame import HALF_TURN, moved_poses
from napari_cryodeco.train.relation import Relation, centred, relate

COUNT = 400


def random_poses(seed: int) -> Poses:
    draw = torch.Generator().manual_seed(seed)
    shifts = 0.04 * torch.randn(COUNT, 2, generator=draw)
    return Poses(so3.random_rotations(COUNT, draw), shifts)


def planted(mirrored: bool, wrong: float, seed: int) -> tuple[Poses, Poses, Relation, Tensor]:
    """Poses in two maps, how these lie to each other, and whose poses are right in both."""
    draw = torch.Generator().manual_seed(seed)
    first = random_poses(seed + 1)
    rotation = so3.random_rotations(1, draw)[0]
    shift = torch.tensor([0.04, -0.02, 0.03])
    # written out by hand, the other way round than `moved_poses` goes
    turned = HALF_TURN @ first.rotations if mirrored else first.rotations
    shifts = first.shifts - first.rotations[:, :2] @ shift
    jitter = so3.rotvec_to_matrix(0.05 * torch.randn(COUNT, 3, generator=draw))
    rotations = jitter @ turned @ rotation
    right = torch.rand(COUNT, generator=draw) > wrong
    rotations[~right] = so3.random_rotations(int((~right).sum()), draw)
    return first, Poses(rotations, shifts), Relation(rotation, shift, mirrored, 1.0), right


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_relation_of_two_maps_is_found_among_wrong_poses(mirrored: bool) -> None:
    first, second, true, right = planted(mirrored, wrong=0.45, seed=3)
    scores = 200 + 5 * torch.randn(COUNT, 2, generator=torch.Generator().manual_seed(4))
    found, other = relate(first, second, scores)
    assert found.mirrored is mirrored and other.mirrored is not mirrored
    assert found.share > 2 * other.share
    assert float(torch.rad2deg(so3.angle_between(found.rotation, true.rotation))) < 2
    assert torch.allclose(found.shift, true.shift, atol=0.005)
    after = moved_poses(second[right], found)
    apart = torch.rad2deg(so3.angle_between(after.rotations, first.rotations[right]))
    assert float(apart.median()) < 6  # the jitter itself is 4.4 degrees in the median
    assert float((after.shifts - first.shifts[right]).norm(dim=1).median()) < 0.01


def test_particles_that_one_map_explains_better_do_not_count() -> None:
    """Most lie in one map only: what their poses in the other agree on means nothing."""
    first, second, true, _ = planted(mirrored=True, wrong=0.0, seed=5)
    mostly = torch.arange(COUNT) % 4 != 0
    misled = second.rotations.clone()
    misled[mostly] = first.rotations[mostly] @ so3.random_rotations(
        1, torch.Generator().manual_seed(6)
    )
    scores = torch.full((COUNT, 2), 200.0)
    scores[mostly, 1] -= 60
    found, _ = relate(first, Poses(misled, second.shifts), scores)
    assert found.mirrored
    assert float(torch.rad2deg(so3.angle_between(found.rotation, true.rotation))) < 2


def test_an_origin_off_the_centre_is_found() -> None:
    poses, origin = random_poses(8), torch.tensor([0.1, -0.05, 0.12])
    away = Poses(poses.rotations, poses.shifts + poses.rotations[:, :2] @ origin)
    back = centred(away)
    assert torch.equal(back.rotations, poses.rotations)
    moved = (away.shifts - back.shifts)[..., None]  # is the projection of one shift
    said = torch.linalg.lstsq(poses.rotations[:, :2].reshape(-1, 3), moved.reshape(-1, 1)).solution
    assert torch.allclose(poses.rotations[:, :2] @ said, moved, atol=1e-5)
    assert float((said[:, 0] - origin).norm()) < 3 * 0.04 * (3 / (2 * COUNT)) ** 0.5
    again = centred(back)
    assert torch.allclose(again.shifts, back.shifts, atol=1e-6)
