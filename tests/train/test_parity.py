from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.so3 import angle_between, grid_spacing
from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.model.exact_search import exact_search, radii, render
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.train.fitting import Fitting
from napari_cryodeco.train.parity import ParityStage
from napari_cryodeco.train.stages import Silent

if TYPE_CHECKING:
    from conftest import Scene


def settings() -> TrainConfig:
    values: dict[str, object] = {
        "data": {"source": "particles.star"},
        "latent_dim": 2,
        "loop": "parity",
        "field": {"width": 24, "layers": 1, "frequencies": 24, "sigma": 1.0},
        "refine": {"batch": 12, "field_rate": 3e-3},
        "parity": {
            "warmup_images": 240,
            "warmup_batch": 12,
            "search_level": 0,
            "kept": 2,
            "levels": 1,
            "epochs": 2,
            "search_images": 48,
        },
        "precision": "fp32",
    }
    return TrainConfig.model_validate(values)


class Losses(Silent):
    def __init__(self) -> None:
        self.values: list[float] = []

    def metric(self, name: str, value: float) -> None:
        if name == "loss":
            self.values.append(value)


def stage_of(scene: Scene, count: int, poses: Poses | None = None) -> ParityStage:
    seen, rows = scene.seen, slice(0, count)
    return ParityStage(settings(), seen.images[rows], seen.ctf[rows], seen.geometry, poses)


def test_all_three_stages_lower_the_loss(scene: Scene, tmp_path: Path) -> None:
    stage, losses = stage_of(scene, 24), Losses()
    stage.load(None)
    assert stage.units() == 1 + 2 + 2
    assert torch.equal(stage.poses.rotations, torch.eye(3).expand(24, 3, 3))
    for unit in range(stage.units()):
        stage.advance(unit, losses)
    assert losses.values[-1] < losses.values[1] < losses.values[0]
    assert (angle_between(stage.poses.rotations, torch.eye(3)) > 0.1).any()
    stage.epoch_files(tmp_path)
    assert {"field.safetensors", "latents.safetensors", "poses.safetensors"} <= {
        file.name for file in tmp_path.iterdir()
    }


def test_given_poses_are_not_searched(scene: Scene) -> None:
    poses = scene.seen.poses[slice(0, 24)]
    stage, losses = stage_of(scene, 24, poses), Losses()
    stage.load(None)
    assert stage.units() == 1 + 2
    for unit in range(stage.units()):
        stage.advance(unit, losses)
    assert losses.values[-1] < losses.values[0]
    assert torch.equal(stage.poses.rotations, poses.rotations)


def test_resumed_equals_unkilled_to_the_bit(scene: Scene) -> None:
    stages = [stage_of(scene, 12), stage_of(scene, 12)]
    stages[0].load(None)
    stages[0].advance(0, Silent())
    stages[1].load({name: value.clone() for name, value in stages[0].tensors().items()})
    for stage in stages:
        for unit in (1, 3):
            stage.advance(unit, Silent())
    other = stages[1].tensors()
    for name, value in stages[0].tensors().items():
        assert torch.equal(value, other[name]), name


def with_encoder(scene: Scene, **changes: object) -> ParityStage:
    """A small encoder in place of the ViT; two epochs of descent at given poses."""
    config = TrainConfig.model_validate(settings().model_dump() | changes)
    seen, rows = scene.seen, slice(0, 24)
    poses = seen.poses[rows]
    return ParityStage(config, seen.images[rows], seen.ctf[rows], seen.geometry, poses)


def test_published_schedule_of_the_encoder(scene: Scene) -> None:
    """Algorithm.md §4.0: 0 to 6e-5 in epoch 0, then 1e-5 + 5e-5 · ½ (1 + cos(π (e - 1) / E))."""
    stage = with_encoder(scene, encoder={"kind": "cnn"})
    stage.load(None)
    for epoch in (0.0, 0.3, 1.0, 1.7, 2.6):
        wanted = 6e-5 * epoch
        if epoch >= 1:
            wanted = 1e-5 + 5e-5 * 0.5 * (1 + math.cos(math.pi * (epoch - 1) / 2))
        assert 6e-5 * stage._encoder_share(epoch) == pytest.approx(wanted)


def test_a_table_takes_over_in_the_descent(scene: Scene) -> None:
    """Counted from the first epoch after the pose search; resumed there, it is the same."""
    encoder = {"kind": "cnn", "table_after": 1}
    stage, resumed = (with_encoder(scene, encoder=encoder) for _ in range(2))
    stage.load(None)
    for unit in range(2):
        stage.advance(unit, Silent())
    read_off = stage.latents.clone()
    assert "encoder.head.1.weight" in stage.tensors()
    resumed.load({name: value.clone() for name, value in stage.tensors().items()})
    for one in (stage, resumed):
        one.advance(2, Silent())
    assert (stage.tensors()["latents.adam.visits"] == 1).all()
    assert (stage.latents - read_off).abs().max() <= 1.01 * settings().refine.latent_rate
    assert all(torch.equal(value, resumed.tensors()[k]) for k, value in stage.tensors().items())


def test_batches_are_those_of_the_stage(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Warm-up and given poses 12, search 22, descent 5 at once."""
    config = settings()
    parts = {"parity": config.parity.model_copy(update={"search_batch": 22})}
    config = config.model_copy(
        update=parts | {"refine": config.refine.model_copy(update={"batch": 5})}
    )
    seen, rows, sizes = scene.seen, slice(0, 24), []
    step = Fitting.step

    def listen(self: Fitting, rows: Tensor, *rest: Any, **more: Any) -> None:
        sizes.append(len(rows))
        step(self, rows, *rest, **more)

    monkeypatch.setattr(Fitting, "step", listen)
    for poses, wanted in ((None, [22, 2, 5, 5, 5, 5, 4]), (seen.poses[rows], [12, 12])):
        stage = ParityStage(config, seen.images[rows], seen.ctf[rows], seen.geometry, poses)
        stage.load(None)
        sizes.clear()
        for unit in (0, 1, 3) if poses is None else (0, 1):
            stage.advance(unit, Silent())
        assert sizes == wanted


@pytest.fixture(scope="module")
def field(scene: Scene) -> FieldDecoder:
    """A field that knows the molecules: fitted at the true poses."""
    from napari_cryodeco.train.distil import distil, make_field
    from napari_cryodeco.train.subspace import fit

    generator = torch.Generator().manual_seed(0)
    linear = fit(scene.seen, 2, generator)
    config = settings().field.model_copy(update={"width": 64, "layers": 2, "frequencies": 64})
    made = make_field(config, linear, linear.radius, generator)
    distil(made, linear, 200, generator)
    return made


def planted(field: FieldDecoder, scene: Scene) -> tuple[Evidence, Tensor, Poses]:
    """Noiseless images of the field's own map, four of them, at the poses of the scene."""
    seen, rows = scene.seen, torch.arange(4)
    count = seen.disc.count(field.radius)
    z = torch.zeros(4, field.latent_dim)
    gain = seen.ctf[rows].at(seen.disc.frequencies(20, 6.0)[:count])
    poses = seen.poses[rows]
    slices = render(field, z[0], seen.disc, poses.rotations, field.radius)
    images = seen.disc.shift(slices * gain, -poses.shifts / seen.geometry.length)
    ball = type(seen.disc)(field.radius, 2)
    return Evidence.of(images, gain, ball), z, poses


def test_exact_search_finds_planted_poses(field: FieldDecoder, scene: Scene) -> None:
    evidence, z, poses = planted(field, scene)
    rotations, shifts = exact_search(field, z, evidence, level=1, kept=6, levels=3)
    step = grid_spacing(2) / 8  # three halvings
    assert angle_between(rotations, poses.rotations).median() < step
    moved = (shifts * scene.seen.geometry.length - poses.shifts).norm(dim=1)
    assert moved.median() < 0.25 * scene.seen.geometry.pixel_size


def test_render_is_the_field_on_the_turned_plane(field: FieldDecoder, scene: Scene) -> None:
    rotations = scene.seen.poses.rotations[:2]
    found = render(field, torch.zeros(2), scene.seen.disc, rotations, 5)
    points = scene.seen.disc.points[: scene.seen.disc.count(5)].float()
    turned = torch.einsum("pa,nab->npb", points, rotations[:, :2])
    with torch.no_grad():
        exact = field(turned, torch.zeros(2, 2))
    torch.testing.assert_close(found, exact, atol=1e-4, rtol=1e-4)


def test_published_radii() -> None:
    """Algorithm.md §10: 12, 17, 22, 27, 32, capped by what there is."""
    assert radii(63, 4) == [12, 17, 22, 27, 32]
    assert radii(20, 4) == [12, 17, 20, 20, 20]
