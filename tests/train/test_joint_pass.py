"""Passes of all particles against all maps: where maps lie, and what is left of them."""

from __future__ import annotations

import pytest
import torch

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.train import joint_pass
from napari_cryodeco.train.joint import JointStage
from napari_cryodeco.train.joint_pass import ParticlePass
from napari_cryodeco.train.matching import FOLDS, Rebuilt
from napari_cryodeco.train.passes import Pass
from napari_cryodeco.train.relation import offset
from napari_cryodeco.train.solvent import without_solvent
from napari_cryodeco.train.stages import Silent

NEAR = Pass(9, 9, extent=0.08)


def after_passes(looks, volumes, count: int) -> dict[str, torch.Tensor]:
    features = torch.zeros(len(looks.images), 1)
    stage = JointStage(looks, volumes, features, len(volumes))
    stage.load(None)
    rows = torch.arange(len(looks.images))
    for _ in range(count):
        ParticlePass(looks, stage.tensors(), rows, NEAR, Silent()).run()
    return stage.tensors()


@pytest.fixture(scope="module")
def scene(tripod_and_arc):
    return tripod_and_arc


@pytest.fixture(scope="module")
def centred(scene):
    return after_passes(scene.looks, scene.maps, 2)


def test_a_map_that_lies_farther_off_than_a_search_reaches_comes_to_the_centre(scene, centred):
    ball, away = Ball(scene.looks.radius, 3), torch.tensor([[0.1, 0.0, 0.0]])
    maps = torch.stack([ball.shift(scene.maps[:1], away)[0], scene.maps[1]])
    state = after_passes(scene.looks, maps, 3)
    mine = scene.labels == 0
    poses = Poses(state["rotations"][mine, 0], state["shifts"][mine, 0])
    assert float(offset(poses).norm()) < 0.005
    assert float(poses.shifts.norm(dim=1).median()) < 0.02  # all images are centred
    reached, best = (one["scores"][mine, 0].mean() for one in (state, centred))
    assert float(reached) > float(best) - 0.02 * abs(float(best))


def test_without_solvent_a_noisy_map_is_nearer_the_truth(scene):
    """What the noise outside was is gone, and the FSC is not touched: it would look better."""
    ball, truth = Ball(scene.looks.radius, 3), scene.maps[0]
    random = torch.Generator().manual_seed(2)
    noise = 0.25 * truth.std() * torch.randn(FOLDS + 1, len(truth), generator=random)
    given = Rebuilt(
        truth + noise[-1], torch.rand(ball.radius, generator=random), truth + noise[:-1]
    )
    made = without_solvent(given, ball)
    assert made.fsc is given.fsc
    for before, after in ((given.volume, made.volume), (given.left_out, made.left_out)):
        assert float((after - truth).square().mean()) < 0.5 * float(
            (before - truth).square().mean()
        )


@pytest.mark.parametrize("settled", [True, False])
def test_maps_are_zero_around_the_molecule_once_particles_have_found_their_species(
    scene, settled, monkeypatch
):
    """While they change it, what is outside of one map is inside of the other."""
    found = scene.labels if settled else 1 - scene.labels
    looks, rows = scene.looks, torch.arange(len(scene.labels))
    stage = JointStage(looks, scene.maps, torch.zeros(len(rows), 1), 2)
    stage.load(None)
    state = stage.tensors()
    state["scores"] = 10.0 * torch.nn.functional.one_hot(found, 2)
    cut_out = []
    monkeypatch.setattr(joint_pass, "without_solvent", lambda made, ball: cut_out.append(1) or made)
    ParticlePass(looks, state, rows, NEAR, Silent()).run()
    assert len(cut_out) == (2 if settled else 0)
