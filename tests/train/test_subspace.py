from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.ground_truth import Recipe
from napari_cryodeco.data.molecule import load_beads, swing
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.data.simulate import simulate
from napari_cryodeco.imaging import fsc
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.runs.run import Run
from napari_cryodeco.stage_config import DataConfig
from napari_cryodeco.train.linear_model import LinearModel
from napari_cryodeco.train.linear_stage import SubspaceStage
from napari_cryodeco.train.observations import Observations, transpose
from napari_cryodeco.train.prepare import PrepareStage
from napari_cryodeco.train.stages import Silent
from napari_cryodeco.train.subspace import fit

if TYPE_CHECKING:
    from conftest import Scene


@pytest.fixture(scope="module")
def model(scene: Scene) -> LinearModel:
    return fit(scene.seen, 3, torch.Generator().manual_seed(0))


def test_coordinates_tell_the_states_apart(model: LinearModel, scene: Scene) -> None:
    states = scene.states
    z = model.coordinates[:, 0]
    gap = (z[states == 0].mean() - z[states == 1].mean()).abs()
    assert gap > 5 * z[states == 0].std()


def test_maps_are_those_that_made_the_images(model: LinearModel, scene: Scene) -> None:
    """The oracle is the analytic molecule."""
    states = scene.states
    ball = Ball(model.radius, 3)
    for state in (0, 1):
        z = model.coordinates[states == state].mean(0, keepdim=True)
        truth = scene.molecule(state)
        curve = fsc.of_coefficients(model.volumes(z)[0], truth, ball)
        assert curve.mean() > 0.9 and curve.min() > 0.7


def test_held_out_images_confirm_one_component_only(model: LinearModel) -> None:
    assert model.reliability[0] > 0.8
    assert (model.reliability[1:] < 0.5).all()
    empty = model.reliability == 0
    assert not model.components[empty].any() and not model.coordinates[:, empty].any()


def test_distances_in_z_are_distances_between_maps(model: LinearModel) -> None:
    kept = model.reliability > 0.8
    strength = model.components[kept].norm(dim=1)
    torch.testing.assert_close(strength, strength[:1].expand_as(strength), rtol=0.1, atol=0)


@pytest.mark.parametrize("states", [1, 2, 3])
def test_as_many_components_are_confirmed_as_states_less_one(
    states: int, plant: Callable[[float, int, int], Scene]
) -> None:
    """K rigid maps lie in a plane of K - 1 dimensions, which the images alone must tell."""
    stage = SubspaceStage(plant(0.3, 3, states).seen, 6, 1, None, estimated=True)
    stage.advance(0, Silent())
    assert [one.confirmed for one in stage.tried] == [n < states - 1 for n in range(6)]
    assert stage.model.coordinates.shape == (240, states + 1)  # and two to spare
    assert stage.model.components.shape[0] == states + 1


def test_one_motion_of_few_images_is_found_among_many_components(tmp_path: Path) -> None:
    """300 images of a clamp that swings; sixteen components at once learned their noise."""
    snapshots, angles = swing(load_beads("1wcm"), 5)
    recipe = Recipe(box=32, pixel_size=10.0, count=60, snr=0.5, seed=2, pooled=True)
    simulate(snapshots, recipe, tmp_path / "hinge", angles)
    particles = read_particles(tmp_path / "hinge" / "gt" / "particles_gt.star", tmp_path / "hinge")
    config = TrainConfig(data=DataConfig(source=tmp_path / "hinge" / "particles.star"))
    run = Run.create(tmp_path / "run", particles, config)
    PrepareStage(run, 32).advance(0, Silent())
    radius = min(16, run.geometry.radius)
    seen = Observations(run.stored_images(), particles.ctf, particles.poses, run.geometry, radius)
    with np.load(tmp_path / "hinge" / "gt" / "ground_truth.npz", allow_pickle=False) as truth:
        turned = truth["latent"].ravel()
    found = fit(seen, 16, torch.Generator().manual_seed(1))
    assert abs(spearmanr(found.coordinates[:, 0], turned).statistic) > 0.8
    assert found.gain[0, 0] > 5 and not found.components[3:].any()


def test_components_leave_together(model: LinearModel) -> None:
    """What is left of a model explains what it explained along these axes."""
    chosen = torch.tensor([2, 0])
    some = model.take(chosen)
    z = torch.zeros(3, 3)
    z[:, chosen] = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(some.volumes(z[:, chosen]), model.volumes(z))
    assert torch.equal(some.coordinates[:, 1], model.coordinates[:, 0])
    assert model.shares().sum() == pytest.approx(1) and model.shares()[0] > 0.8


def test_classes_that_no_component_confirms_keep_their_room(scene: Scene) -> None:
    posteriors = torch.full((240, 4), 0.25)
    stage = SubspaceStage(scene.seen, 8, 1, posteriors, estimated=True)
    stage.advance(0, Silent())
    assert stage.model.coordinates.shape[1] == 5  # three tell four classes apart, two to spare


def test_a_stage_that_is_taken_up_again_has_the_same_length(scene: Scene) -> None:
    stage = SubspaceStage(scene.seen, 5, 1, None, estimated=True)
    stage.advance(0, Silent())
    again = SubspaceStage(scene.seen, 5, 1, None, estimated=True)
    again.load(stage.tensors())
    assert torch.equal(again.model.coordinates, stage.model.coordinates)
    assert again.tried == stage.tried and len(again.tried) == 5


def test_a_run_of_an_older_version_keeps_its_length(model: LinearModel, scene: Scene) -> None:
    tensors = model.tensors()
    del tensors["gain"]
    stage = SubspaceStage(scene.seen, 3, 1, None, estimated=True)
    stage.load(tensors)
    assert torch.equal(stage.model.coordinates, model.coordinates) and stage.tried == ()


def test_nothing_is_found_in_one_rigid_state(scene: Scene) -> None:
    seen, generator = scene.seen, torch.Generator().manual_seed(1)
    rigid = Observations(
        seen.images[::2], seen.ctf[::2], seen.poses[::2], seen.geometry, seen.radius
    )  # every second image: one state
    model = fit(rigid, 2, generator)
    assert (model.reliability < 0.6).all()


def test_class_memberships_are_a_start(noisy_scene: Scene) -> None:
    seen, states = noisy_scene.seen, noisy_scene.states
    posteriors = torch.nn.functional.one_hot(states, 2).float()
    model = fit(seen, 2, torch.Generator().manual_seed(0), posteriors)
    guess = (model.coordinates[:, 0] > 0).long()
    share = (guess == states).float().mean()
    assert max(share, 1 - share) > 0.9


def test_operator_is_ctf_times_slicing(scene: Scene) -> None:
    """A lattice that is linear in k is interpolated without error."""
    seen = scene.seen
    rows = torch.tensor([3, 8])
    side = seen.side
    axis = torch.arange(side).float() - side // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    lattice = (0.3 * x - 0.7 * y + 0.2 * z).reshape(-1, 1)
    found = (seen.operator(rows) @ lattice).reshape(2, -1)
    points = seen.disc.points[: seen.points].float()
    where = points @ seen.poses.rotations[rows][:, :2]
    exact = where @ torch.tensor([0.3, -0.7, 0.2])
    gain = seen.ctf[rows].at(points / seen.geometry.length)
    torch.testing.assert_close(found, exact * gain, atol=1e-4, rtol=1e-4)


def test_transpose_is_the_adjoint(scene: Scene) -> None:
    seen = scene.seen
    matrix = seen.operator(torch.tensor([1, 2]))
    left, right = torch.randn(matrix.shape[0], 1), torch.randn(matrix.shape[1], 1)
    forward = (left * (matrix @ right)).sum()
    backward = (right * (transpose(matrix) @ left)).sum()
    torch.testing.assert_close(forward, backward, rtol=1e-4, atol=1e-4)


def test_state_round_trip(model: LinearModel) -> None:
    again = LinearModel.of_tensors(model.tensors())
    assert again.radius == model.radius
    assert torch.equal(again.coordinates, model.coordinates)
    assert torch.equal(again.components, model.components)
