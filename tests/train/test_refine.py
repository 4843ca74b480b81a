from __future__ import annotations

from itertools import pairwise
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
from napari_cryodeco.model.encoder import ConvEncoder
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.runs.store import read_tensors
from napari_cryodeco.train.distil import distil, envelope, feature_spread, make_field
from napari_cryodeco.train.linear_model import LinearModel
from napari_cryodeco.train.observations import Observations
from napari_cryodeco.train.refine import RefineStage
from napari_cryodeco.train.shell_sums import ShellSums
from napari_cryodeco.train.stages import Silent
from napari_cryodeco.train.subspace import fit

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


def test_z_after_the_handover_is_the_last_clean_pass(
    scene: Scene, linear: LinearModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table begins where the encoder in evaluation mode ends, which then sees no image more."""
    refine = {"epochs": 3, "batch": 60, "warmup": 5, "point_fraction": 0.2, "latent_rate": 0.0}
    stages = [
        stage_of(scene, linear, settings(encoder={"kind": "cnn", "table_after": e}, refine=refine))
        for e in (None, 1)
    ]
    for stage in stages:
        stage.load(None)
        stage.advance(0, Silent())
    plain, handing = stages
    assert torch.equal(plain.latents, handing.latents)
    read_off = handing.latents.clone()
    assert "encoder.head.1.weight" in handing.tensors()
    monkeypatch.setattr(ConvEncoder, "forward", lambda *_: pytest.fail("the encoder was run"))
    handing.advance(1, Silent())
    assert torch.equal(handing.latents, read_off)  # its rate is zero
    assert not [name for name in handing.tensors() if name.startswith("encoder")]
    handing.epoch_files(tmp_path)
    kept = read_tensors(tmp_path / "latents.safetensors")[0]["latents"]
    assert torch.equal(kept, handing.latents)
    assert not (tmp_path / "encoder.safetensors").exists()


@pytest.mark.parametrize("after", [0, 1, 2])
def test_resumed_across_the_handover_equals_unkilled(
    scene: Scene, linear: LinearModel, after: int
) -> None:
    config = settings(
        encoder={"kind": "cnn", "table_after": after},
        refine={"epochs": 3, "batch": 60, "warmup": 5, "point_fraction": 0.2},
    )
    whole = stage_of(scene, linear, config)
    whole.load(None)
    resumed, saved = stage_of(scene, linear, config), None
    for unit in range(3):
        resumed.load(saved)
        for stage in (whole, resumed):
            stage.advance(unit, Silent())
        saved = {name: value.clone() for name, value in resumed.tensors().items()}
        resumed = stage_of(scene, linear, config)
        expected = whole.tensors()
        assert saved.keys() == expected.keys()
        assert all(torch.equal(expected[name], saved[name]) for name in saved)
        moved = expected.get("latents.adam.visits")
        assert moved is None if unit < after else bool((moved == unit + 1 - after).all())


class Words(Silent):
    """Keeps what was told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def step(self, step: int, steps: int, message: str = "") -> None:
        self.messages.append(message)


def still(**changes: object) -> TrainConfig:
    """Nine short epochs in which no z moves."""
    refine: dict[str, object] = {"epochs": 9, "batch": 80, "warmup": 5, "point_fraction": 0.05}
    return settings(refine=refine | {"latent_rate": 0.0} | changes)


def epochs_of(stage: RefineStage, report: Silent | None = None, saved: object = None) -> int:
    """Train until the stage says that it is done."""
    unit = 0
    stage.load(saved)
    while unit < stage.units():
        stage.advance(unit, report or Silent())
        unit += 1
    return unit


def test_it_ends_when_nothing_changes_and_says_so(scene: Scene, linear: LinearModel) -> None:
    """Looks after epochs 1 and 6 agree, so the seventh is the last."""
    words = Words()
    assert epochs_of(stage_of(scene, linear, still()), words) == 7
    assert "last epoch" in words.messages[-1] and "no longer change" in words.messages[-1]
    assert sum("last epoch" in message for message in words.messages) == 3  # its three batches
    assert epochs_of(stage_of(scene, linear, still(early_stop=False))) == 9


def test_it_goes_on_while_the_radius_grows(scene: Scene, linear: LinearModel) -> None:
    """Full after ten of fifteen epochs: the look after the eleventh is the first that counts."""
    assert epochs_of(stage_of(scene, linear, still(epochs=15, march=1.0, start_radius=2))) == 12


def test_rates_fall_to_their_end_however_soon_it_comes(scene: Scene, linear: LinearModel) -> None:
    shares: list[float] = []
    for config in (still(), still(early_stop=False)):
        stage = stage_of(scene, linear, config)
        stage.load(None)
        step, found = stage._fitting.step, []

        def listen(rows, points, share, *rest, step=step, found=found):  # type: ignore[no-untyped-def]
            found.append(share)
            step(rows, points, share, *rest)

        stage._fitting.step = listen  # type: ignore[method-assign]
        unit = 0
        while unit < stage.units():
            stage.advance(unit, Silent())
            unit += 1
        assert found == sorted(found, reverse=True) and found[0] == 1
        assert max(a - b for a, b in pairwise(found)) < 0.15
        shares.append(found[-1])
    assert shares[0] == pytest.approx(shares[1], abs=0.12)


def test_resumed_at_any_epoch_it_ends_at_the_same(scene: Scene, linear: LinearModel) -> None:
    whole = stage_of(scene, linear, still())
    assert epochs_of(whole) == 7
    saved, unit, stage = None, 0, stage_of(scene, linear, still())
    stage.load(saved)
    while unit < stage.units():
        stage.advance(unit, Silent())
        unit += 1
        saved = {name: value.clone() for name, value in stage.tensors().items()}
        stage = stage_of(scene, linear, still())
        stage.load(saved)
    assert unit == stage.units() == 7
    expected = whole.tensors()
    assert all(torch.equal(expected[name], saved[name]) for name in expected)
    longer = stage_of(scene, linear, still(early_stop=False))
    longer.load(saved)
    assert longer.units() == 9  # who turns it off goes on


def test_one_rigid_map_is_the_mean_of_what_the_images_show(
    scene: Scene, linear: LinearModel, tmp_path: Path
) -> None:
    """Without z: no components, no encoder; images of one state give that state."""
    rows = torch.nonzero(scene.states == 0)[:, 0]
    seen = scene.seen
    one = Observations(
        seen.images[rows], seen.ctf[rows], seen.poses[rows], seen.geometry, seen.radius
    )
    mean = fit(one, 0, torch.Generator().manual_seed(0))
    assert mean.components.shape[0] == 0 and mean.coordinates.shape == (len(rows), 0)
    ball = Ball(7, 3)
    assert fsc.of_coefficients(mean.mean, scene.molecule(0), ball).mean() > 0.85
    config = settings(latent_dim=0, encoder={"kind": "cnn"})
    stage = RefineStage(config, one.images, one.ctf, one.poses, one.geometry, mean)
    assert epochs_of(stage) == 3
    assert not [name for name in stage.tensors() if name.startswith("encoder")]
    stage.epoch_files(tmp_path)
    field, _ = FieldDecoder.load(tmp_path / "field.safetensors")
    assert field.latent_dim == 0
    found = field.decode_ball(torch.zeros(1, 0), ball, 7)[0]
    right = fsc.of_coefficients(found, scene.molecule(0), ball).mean()
    wrong = fsc.of_coefficients(found, scene.molecule(1), ball).mean()
    assert right > 0.85 and right > wrong


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
