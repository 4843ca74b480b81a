from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import pytest
import torch

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.imaging import fsc
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.so3 import angle_between, rotvec_to_matrix
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.train.distil import distil, envelope, feature_spread, make_field
from napari_cryodeco.train.refine import RefineStage
from napari_cryodeco.train.shell_sums import ShellSums
from napari_cryodeco.train.stages import Silent
from napari_cryodeco.train.subspace import LinearModel, fit

if TYPE_CHECKING:
    from conftest import Scene


class Listening(Silent):
    def __init__(self) -> None:
        self.metrics: dict[str, list[float]] = {}

    def metric(self, name: str, value: float) -> None:
        self.metrics.setdefault(name, []).append(value)


def settings(**changes: object) -> TrainConfig:
    values: dict[str, object] = {
        "data": {"source": "particles.star"},
        "poses": "file",
        "latent_dim": 3,
        "field": {"width": 48, "layers": 2, "frequencies": 64},
        "refine": {"epochs": 3, "batch": 24, "warmup": 120, "march": 0.5, "point_fraction": 0.7},
        "precision": "fp32",
        "seed": 4,
    }
    return TrainConfig.model_validate(values | changes)


@pytest.fixture(scope="module")
def linear(scene: Scene) -> LinearModel:
    return fit(scene.seen, 3, torch.Generator().manual_seed(0))


def stage_of(
    scene: Scene, linear: LinearModel, config: TrainConfig, poses: Poses | None = None
) -> RefineStage:
    seen = scene.seen
    poses = seen.poses if poses is None else poses
    return RefineStage(config, seen.images, seen.ctf, poses, seen.geometry, linear)


def test_field_learns_both_molecules(scene: Scene, linear: LinearModel, tmp_path: Path) -> None:
    stage, heard, states = stage_of(scene, linear, settings()), Listening(), scene.states
    stage.load(None)
    for unit in range(stage.units()):
        stage.advance(unit, heard)
    assert heard.metrics["loss"][-1] < heard.metrics["loss"][0]
    assert heard.metrics["explained"][-1] > 0.3
    stage.epoch_files(tmp_path)
    field, geometry = FieldDecoder.load(tmp_path / "field.safetensors")
    ball = Ball(7, 3)
    for state in (0, 1):
        z = stage.latents[states == state].mean(0, keepdim=True)
        curve = fsc.of_coefficients(field.decode_ball(z, ball, 7)[0], scene.molecule(state), ball)
        assert curve.mean() > 0.85
    with mrcfile.open(tmp_path / "consensus.mrc") as map_file:
        assert map_file.voxel_size.x == pytest.approx(geometry.pixel_size)
        assert map_file.data.shape == (geometry.box,) * 3
        sections = map_file.data.mean((1, 2))
        assert sections.std() > 1e-3 * map_file.data.max()  # the kz axis is there


@pytest.mark.parametrize("kind", ["table", "cnn"])
def test_resumed_equals_unkilled_to_the_bit(scene: Scene, linear: LinearModel, kind: str) -> None:
    config = settings(
        encoder={"kind": kind},
        refine_poses=True,
        refine={"epochs": 2, "batch": 60, "warmup": 5, "point_fraction": 0.2},
    )
    whole, killed = stage_of(scene, linear, config), stage_of(scene, linear, config)
    for stage in (whole, killed):
        stage.load(None)
        stage.advance(0, Silent())
    saved = {name: value.clone() for name, value in killed.tensors().items()}
    resumed = stage_of(scene, linear, config)
    resumed.load(saved)
    for stage in (whole, resumed):
        stage.advance(1, Silent())
    after = resumed.tensors()
    for name, value in whole.tensors().items():
        assert torch.equal(value, after[name]), name


def test_poses_get_better_when_asked(
    scene: Scene,
    linear: LinearModel,
) -> None:
    seen = scene.seen
    generator = torch.Generator().manual_seed(0)
    turn = 0.08 * torch.randn(len(seen), 3, generator=generator)
    moved = Poses(
        rotvec_to_matrix(turn) @ seen.poses.rotations,
        seen.poses.shifts + 2 * torch.randn(len(seen), 2, generator=generator),
    )
    rates = {"rotation_rate": 2e-2, "shift_rate": 8e-2}
    config = settings(refine_poses=True, refine={"epochs": 12, "batch": 40, "warmup": 150, **rates})
    stage = stage_of(scene, linear, config, moved)
    stage.load(None)
    for unit in range(stage.units()):
        stage.advance(unit, Silent())

    def errors(poses: Poses) -> tuple[float, float]:
        turned = angle_between(poses.rotations, seen.poses.rotations).median()
        return float(turned), float((poses.shifts - seen.poses.shifts).norm(dim=1).median())

    before, after = errors(moved), errors(stage.poses)
    assert after[0] < 0.75 * before[0]
    assert after[1] < 0.75 * before[1]


def test_poses_stay_when_not_asked(
    scene: Scene,
    linear: LinearModel,
) -> None:
    stage = stage_of(scene, linear, settings(refine={"epochs": 1, "batch": 80, "warmup": 1}))
    stage.load(None)
    stage.advance(0, Silent())
    assert torch.equal(stage.poses.rotations, scene.seen.poses.rotations)
    assert torch.equal(stage.poses.shifts, scene.seen.poses.shifts)


def test_vit_without_images_is_refused(
    scene: Scene,
    linear: LinearModel,
) -> None:
    with pytest.raises(ValueError, match="needs the images themselves"):
        stage_of(scene, linear, settings(encoder={"kind": "vit"})).load(None)


def test_small_encoder_reads_the_state_off_the_image(
    scene: Scene,
    linear: LinearModel,
) -> None:
    config = settings(
        encoder={"kind": "cnn"},
        refine={"epochs": 1, "batch": 40, "warmup": 20, "encoder_rate": 2e-3},
    )
    stage = stage_of(scene, linear, config)
    stage.load(None)
    stage.advance(0, Silent())
    z = torch.stack([linear.coordinates[:, 0], stage.latents[:, 0]])
    assert torch.corrcoef(z)[0, 1] > 0.7


def test_distilled_field_is_the_linear_model(
    scene: Scene,
    linear: LinearModel,
) -> None:
    generator = torch.Generator().manual_seed(0)
    field = make_field(settings().field, linear, linear.radius, generator)
    error = distil(field, linear, 200, generator)
    assert error < 0.4  # 1 is a field that knows nothing but the envelope
    ball = Ball(linear.radius, 3)
    z = linear.coordinates[:1]
    curve = fsc.of_coefficients(field.decode_ball(z, ball)[0], linear.volumes(z)[0], ball)
    assert curve[:5].min() > 0.9


def test_envelope_is_the_amplitude_of_the_maps(
    scene: Scene,
    linear: LinearModel,
) -> None:
    found, ball = envelope(linear, 9), Ball(linear.radius, 3)
    assert found.shape == (10,) and (found > 0).all()
    maps = linear.volumes(linear.coordinates)
    for shell in (1, 3):
        rms = maps[:, ball.shells == shell].square().mean().sqrt()
        assert float(found[shell]) == pytest.approx(float(rms), rel=0.05)


def test_features_reach_as_far_as_the_molecule() -> None:
    """A Gaussian ball of width w has the squared density of one of width w / sqrt 2."""
    box, width = 32, 4.0
    ball = Ball(15, 3)
    points = ball.points.float()
    h = torch.exp(-2 * (torch.pi * width / box) ** 2 * (points**2).sum(1))
    linear = LinearModel(
        h, torch.zeros(1, len(h)), torch.zeros(4, 1), torch.ones(4, 1), torch.zeros(1), 15
    )
    expected = 4 * torch.pi * width / 2**0.5 / box
    assert feature_spread(linear) == pytest.approx(float(expected), rel=0.1)


def test_shell_sums_know_the_truth() -> None:
    """Planted: prediction = truth + error, image = truth + noise."""
    generator = torch.Generator().manual_seed(0)
    truth, wrong, noise = (torch.randn(200, 2, 300, generator=generator) for _ in range(3))
    sums = ShellSums(3)
    sums.add(truth + 3 * noise, truth + 0.75 * wrong, torch.full((300,), 2))
    assert float(sums.reference()[1]) == pytest.approx((1 / (1 + 0.75**2)) ** 0.5, abs=0.02)
    assert sums.loss == pytest.approx(9 + 0.75**2, rel=0.02)
    assert sums.explained == pytest.approx((1 - 0.75**2) / 10, abs=0.01)
