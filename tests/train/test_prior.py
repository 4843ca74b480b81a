"""A run's prior: what it sees, what it starts, what is written down about it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.model.encoder import VitEncoder
from napari_cryodeco.model.prior import PriorEncoder
from napari_cryodeco.model.weights import read_weights, write_small
from napari_cryodeco.runs.prior_record import PriorRecord, read_record, write_record
from napari_cryodeco.runs.run import Run
from napari_cryodeco.train.linear_model import LinearModel
from napari_cryodeco.train.pipeline import steps
from napari_cryodeco.train.prepare import PrepareStage
from napari_cryodeco.train.prior import open_prior
from napari_cryodeco.train.refine import RefineStage
from napari_cryodeco.train.stages import Silent
from napari_cryodeco.train.subspace import fit
from napari_cryodeco.train.views import PriorViews

if TYPE_CHECKING:
    from conftest import Scene

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def small_prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    write_small(path, PriorEncoder(2, widths=(8, 16, 16), depths=(1, 1, 1), dim=12), {})
    return path


@pytest.fixture
def shipped(small_prior: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that comes with this prior."""
    digest = hashlib.sha256(small_prior.read_bytes()).hexdigest()
    small_prior.with_suffix(".json").write_text(json.dumps({"sha256": digest}))
    monkeypatch.setattr("napari_cryodeco.model.weights.BUNDLED", small_prior)
    return small_prior


def prepared_run(path: Path, particle_set: Any, prior: str, **changes: Any) -> Run:
    values: dict[str, Any] = {
        "data": {"source": str(particle_set.star)},
        "encoder": {"prior": prior},
        "abinitio": {"classes": 2},
        "precision": "fp32",
        "device": "cpu",
    }
    config = TrainConfig.model_validate(values | changes)
    run = Run.create(path, read_particles(particle_set.star), config)
    PrepareStage(run, particle_set.box).advance(0, Silent())
    return Run.open(path)


class Words(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def step(self, step: int, steps: int, message: str = "") -> None:
        self.messages.append(message)


def features_of(run: Run) -> tuple[Tensor, str]:
    """Features of the run's own stage, and what it said last."""
    (step,) = (step for step in steps(run, CPU) if step.name == "features")
    stage, words = step.make({}), Words()
    stage.load(None)
    stage.advance(0, words)
    return stage.tensors()["features"], words.messages[-1]


def test_the_bundled_prior_is_the_default_and_on_record(
    tmp_path: Path, particle_set: Any, shipped: Path
) -> None:
    run = prepared_run(tmp_path / "run", particle_set, "bundled")
    found, said = features_of(run)
    assert found.shape == (len(particle_set), 12)
    assert "features of the prior 'bundled'" in said
    record = read_record(run.path)
    assert record is not None
    assert (record.name, record.kind, record.path) == ("bundled", "small", str(shipped))
    assert record.sha256 == hashlib.sha256(shipped.read_bytes()).hexdigest()
    assert "bundled (small, SHA-256" in record.sentence


def test_without_a_prior_the_features_are_classical_and_it_says_so(
    tmp_path: Path, particle_set: Any
) -> None:
    run = prepared_run(tmp_path / "none", particle_set, "none")
    _, said = features_of(run)
    assert "from classical image features" in said
    record = read_record(run.path)
    assert record is not None and record.kind == "none"


def test_a_shipped_prior_that_is_gone_is_an_error(
    tmp_path: Path, particle_set: Any, shipped: Path
) -> None:
    run = prepared_run(tmp_path / "run", particle_set, "bundled")
    kept = shipped.read_bytes()
    shipped.unlink()
    with pytest.raises(FileNotFoundError, match="install napari-cryodeco again"):
        features_of(run)
    shipped.write_bytes(kept)


def test_a_run_goes_on_with_the_prior_it_began_with(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    first = PriorRecord("/a", "small", "1" * 64, "/a/w.safetensors")
    write_record(run, first)
    write_record(run, replace(first, note="again"))
    with pytest.raises(ValueError, match=r"began with /a/w\.safetensors .* or make a new run"):
        write_record(run, replace(first, sha256="2" * 64))
    with pytest.raises(ValueError, match="no prior"):
        write_record(run, PriorRecord("none"))


def test_a_damaged_record_is_one_sentence(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    (tmp_path / "prior.json").write_text('{"nme": 1}')
    with pytest.raises(ValueError, match=r"prior\.json is damaged"):
        read_record(tmp_path)


def test_features_do_not_depend_on_the_batch(
    tmp_path: Path, particle_set: Any, small_prior: Path
) -> None:
    run = prepared_run(tmp_path / "run", particle_set, str(small_prior))
    prior = open_prior(str(small_prior), run, CPU)
    assert prior is not None
    whole = prior.embed(torch.arange(20))
    parts = torch.cat([prior.embed(rows) for rows in torch.arange(20).split(7)])
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


def test_a_vit_sees_the_stored_images(
    tmp_path: Path, particle_set: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    encoder = VitEncoder(2, depth=1).eval()
    folder = tmp_path / "weights"
    folder.mkdir()
    state = {f"base_encoder.{k}": v.clone() for k, v in encoder.backbone.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    light = prepared_run(tmp_path / "light", particle_set, str(folder))
    dark = prepared_run(
        tmp_path / "dark",
        particle_set,
        str(folder),
        data={"source": str(particle_set.star), "contrast": "dark"},
    )
    rows = torch.arange(2)
    first, second = (open_prior(str(folder), run, CPU) for run in (light, dark))
    assert first is not None and second is not None
    assert first.record().kind == "vit"
    # what the working copy does to the contrast is not what Cryo-IEF was trained on
    found = first.embed(rows)
    assert torch.equal(found, second.embed(rows))
    quick = prepared_run(tmp_path / "quick", particle_set, str(folder), precision="bf16")
    half = open_prior(str(folder), quick, CPU)
    assert half is not None
    assert (half.embed(rows) - found).norm() < 0.02 * found.norm()


# ---- the encoder that is trained with the field


@pytest.fixture(scope="module")
def linear(scene: Scene) -> LinearModel:
    return fit(scene.seen, 3, torch.Generator().manual_seed(0))


def stage_of(scene: Scene, linear: LinearModel, weights: Path, **encoder: Any) -> RefineStage:
    config = TrainConfig.model_validate(
        {
            "data": {"source": "particles.star"},
            "poses": "file",
            "latent_dim": 3,
            "encoder": {"kind": "cnn", "prior": str(weights), **encoder},
            "field": {"width": 48, "layers": 2, "frequencies": 64},
            "refine": {"epochs": 2, "batch": 60, "warmup": 5, "encoder_rate": 3e-3},
            "precision": "fp32",
            "seed": 4,
        }
    )
    seen, weights_of = scene.seen, read_weights(weights)
    parts = config, seen.images, seen.ctf, seen.poses, seen.geometry, linear
    return RefineStage(*parts, weights=weights_of)


@pytest.mark.parametrize("strategy", ["full", "blocks", "head", "fixed"])
def test_strategies_train_their_parts_of_the_prior(
    scene: Scene, linear: LinearModel, small_prior: Path, strategy: str
) -> None:
    stage = stage_of(scene, linear, small_prior, strategy=strategy, blocks=1)
    stage.load(None)
    stage.advance(0, Silent())
    after = stage.tensors()
    before = read_weights(small_prior).state
    moved = {
        name.split(".")[0] + (f".{name.split('.')[1]}" if name.startswith("blocks") else "")
        for name, value in before.items()
        if not torch.equal(value, after.get(f"encoder.{name}", value))
    }
    everything = {"stem", "blocks.0", "blocks.1", "blocks.2", "project"}
    expected = {"full": everything, "blocks": {"blocks.2", "project"}, "head": {"project"}}
    assert moved == expected.get(strategy, set())
    if strategy == "full":  # the weights are random: only a trained body reads the state
        z = torch.stack([linear.coordinates[:, 0], stage.latents[:, 0]])
        assert torch.corrcoef(z)[0, 1] > 0.5


def test_killed_and_resumed_equals_unkilled(
    scene: Scene, linear: LinearModel, small_prior: Path
) -> None:
    whole, killed = (stage_of(scene, linear, small_prior, strategy="head") for _ in range(2))
    for stage in (whole, killed):
        stage.load(None)
        stage.advance(0, Silent())
    saved = {name: value.clone() for name, value in killed.tensors().items()}
    resumed = stage_of(scene, linear, small_prior, strategy="head")
    resumed.load(saved)
    for stage in (whole, resumed):
        stage.advance(1, Silent())
    after = resumed.tensors()
    assert [n for n, value in whole.tensors().items() if not torch.equal(value, after[n])] == []


def test_nothing_random_is_frozen(scene: Scene, linear: LinearModel, tmp_path: Path) -> None:
    state = VitEncoder(2, depth=1).backbone.state_dict()
    save_file({k: v.clone() for k, v in state.items()}, tmp_path / "model.safetensors")
    stage = stage_of(scene, linear, tmp_path, strategy="head")
    with pytest.raises(ValueError, match=r"freezes a cnn, but the prior .* holds none"):
        stage.load(None)


def test_views_belong_to_their_rows(scene: Scene) -> None:
    seen = scene.seen
    views = PriorViews(seen.images, seen.ctf, seen.geometry, CPU)
    rows = torch.tensor([3, 1])
    assert views(rows).shape == (2, 1, 32, 32)
    torch.testing.assert_close(views(rows)[1], views(torch.tensor([1]))[0])
