"""MoCo v3: its loss at chance, its slow twin, its sources, and weights that load elsewhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from napari_cryodeco.data.read import read_particles
from napari_cryodeco.model.encoder import VitEncoder
from napari_cryodeco.model.prior import PriorEncoder
from napari_cryodeco.model.weights import load_encoder, read_weights
from napari_cryodeco.pretrain_config import PretrainConfig
from napari_cryodeco.runs.store import read_tensors
from napari_cryodeco.train import moco
from napari_cryodeco.train.moco_network import MocoNetwork, contrast
from napari_cryodeco.train.pretrain import pretrain
from napari_cryodeco.train.probe import read_probe
from napari_cryodeco.train.stored_views import SmallViews
from napari_cryodeco.train.view_source import ParticleSet, SetSource

CPU = torch.device("cpu")
SMALL = {"widths": (8, 8, 16), "depths": (1, 1, 1), "dim": 16}
TINY_VIT = {"dim": 24, "depth": 1, "patch": 56}


def settings(particle_set: Any, **changes: Any) -> PretrainConfig:
    values = {
        "objective": "moco",
        "sets": [particle_set.star],
        "shape": SMALL,
        "batch": 16,
        "steps": 3,
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        "seed": 4,
    }
    return PretrainConfig.of({**values, **changes}, "test")


class Features(nn.Module):
    """The least that is an encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(36, 12)

    def features(self, views: torch.Tensor) -> torch.Tensor:
        return self.linear(views.flatten(1))


@pytest.fixture
def network() -> MocoNetwork:
    torch.manual_seed(0)
    return MocoNetwork(Features(), 12, hidden=20, out=8)


def test_the_loss_of_strangers_is_that_of_chance() -> None:
    random = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(2, 64, 20_000, generator=random)
    for temperature in (0.2, 0.5, 1.0):
        expected = 2 * temperature * math.log(64)
        assert float(contrast(queries, keys, temperature)) == pytest.approx(expected, rel=0.01)


def test_the_loss_is_least_where_each_finds_its_own() -> None:
    keys = torch.eye(16)
    found = contrast(keys * 3, keys, 0.05)  # lengths do not count
    assert float(found) == pytest.approx(0.1 * math.log1p(15 * math.exp(-20)), abs=1e-6)
    assert float(contrast(keys.roll(1, 0), keys, 0.05)) > 1


def test_keys_send_no_gradient(network: MocoNetwork) -> None:
    views = torch.randn(2, 6, 1, 6, 6)
    contrast(network.queries(views[0]), network.keys(views[1]), 0.5).backward()
    slow = [*network.key_encoder.parameters(), *network.key_projector.parameters()]
    assert all(one.grad is None and not one.requires_grad for one in slow)
    fast = [*network.encoder.parameters(), *network.predictor.parameters()]
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in fast)


def test_the_twin_begins_alike_and_follows_by_its_momentum(network: MocoNetwork) -> None:
    fast, slow = network.encoder.linear.weight, network.key_encoder.linear.weight
    assert torch.equal(fast, slow) and fast.data_ptr() != slow.data_ptr()
    start = slow.clone()
    nn.init.ones_(fast)
    network.follow(0.75)
    torch.testing.assert_close(slow, 0.75 * start + 0.25)
    stays = slow.clone()
    network.follow(1.0)
    assert torch.equal(slow, stays)


def test_the_twin_stands_still_at_the_end(particle_set: Any) -> None:
    objective = moco.make(settings(particle_set), CPU)
    twin = objective.module.key_projector
    nn.init.ones_(objective.module.projector[0].weight)
    before = twin[0].weight.clone()
    objective.after_step(2, 3)
    assert torch.equal(twin[0].weight, before)
    objective.after_step(0, 3)
    assert not torch.equal(twin[0].weight, before)


def test_an_epoch_holds_each_particle_once_and_no_set_drowns_the_others() -> None:
    def views(rows: torch.Tensor) -> torch.Tensor:
        return rows.float()[:, None, None, None]

    sets = [ParticleSet(1000, views), ParticleSet(40, views), ParticleSet(30, views)]
    source = SetSource(sets, per_set=50, batch=20, seed=1)
    assert source.epoch_size == 50 + 40 + 30
    epochs = [
        torch.cat([source.chosen(step, 20) for step in range(first, first + 6)]) for first in (0, 6)
    ]
    for chosen in epochs:
        assert len(chosen.unique(dim=0)) == 120
        assert chosen[:, 0].bincount().tolist() == [50, 40, 30]
    large = [set(chosen[chosen[:, 0] == 0, 1].tolist()) for chosen in epochs]
    assert large[0] != large[1]  # other particles of the large set in the next epoch
    again = SetSource(sets, per_set=50, batch=20, seed=1)
    assert torch.equal(again.chosen(8, 20), source.chosen(8, 20))  # resumed in the middle
    drawn = source.draw(3, 20, torch.Generator())
    order = source.chosen(3, 20)
    order = order[order[:, 0].argsort(stable=True)]
    assert torch.equal(drawn.flatten(), order[:, 1].float())


def test_views_of_stored_images_are_those_of_a_run(particle_set: Any, planted_run: Any) -> None:
    """The encoder must see in pretraining what it will see in a run."""
    from napari_cryodeco.train.views import PriorViews

    particles, rows = read_particles(particle_set.star), torch.arange(8)
    run = planted_run
    theirs = PriorViews(run.stored_images()[:], run.particles.ctf, run.geometry, CPU)(rows)
    torch.testing.assert_close(SmallViews(particles)(rows), theirs, atol=0.02, rtol=0)


def test_the_small_encoder_is_exported_as_a_prior(tmp_path: Path, particle_set: Any) -> None:
    outcome = pretrain(tmp_path / "out", settings(particle_set, probe=[particle_set.folder]))
    assert 0.3 < outcome.scores[particle_set.folder.name] <= 1
    weights = read_weights(tmp_path / "out" / "prior.safetensors")
    assert (weights.kind, weights.header["objective"]) == ("small", "moco")
    assert weights.header["step"] == 3
    encoder = load_encoder(weights, 5)
    assert isinstance(encoder, PriorEncoder)
    views = read_probe(particle_set.folder).small_views()
    assert encoder(views).shape == (60, 5)


def test_a_vit_is_exported_under_the_names_of_cryo_ief(tmp_path: Path, particle_set: Any) -> None:
    config = settings(particle_set, model="vit-s", shape=TINY_VIT, batch=4, steps=1)
    objective = moco.make(config, CPU)
    loss = objective.loss(0, 1, torch.Generator().manual_seed(0))
    assert loss.isfinite()
    backbone = objective.module.encoder.backbone
    assert not backbone.patch_embed.proj.weight.requires_grad  # MoCo v3 never trains it
    objective.export(tmp_path / "prior.safetensors", {"step": 1}, draft=False)
    weights = read_weights(tmp_path)
    assert weights.kind == "vit"
    encoder = load_encoder(weights, 3)
    assert isinstance(encoder, VitEncoder)
    theirs = encoder.backbone.state_dict()
    assert all(torch.equal(one, theirs[name]) for name, one in backbone.state_dict().items())


def test_particles_and_simulated_species_share_a_batch(particle_set: Any) -> None:
    objective = moco.make(settings(particle_set, synthetic=4), CPU)
    one = objective.loss(0, 10, torch.Generator().manual_seed(0))
    assert one.isfinite()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sets": []}, "nothing to learn from: name particle files with --sets"),
        ({"batch": 64}, "hold 60 particles, fewer than a batch of 64"),
        ({"batch": 15, "synthetic": 4}, "batch of 15 cannot be shared by sets and simulation"),
        ({"sets": ["nowhere.star"]}, r"nowhere\.star is missing"),
    ],
)
def test_wrong_settings_are_named(
    particle_set: Any, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        moco.make(settings(particle_set, **changes), CPU)


def test_a_bare_stack_needs_a_ctf_for_the_small_encoder_only(particle_set: Any) -> None:
    with pytest.raises(ValueError, match="without a CTF: give its STAR"):
        moco.make(settings(particle_set, sets=[particle_set.stack]), CPU)
    config = settings(particle_set, sets=[particle_set.stack], model="vit-s", shape=TINY_VIT)
    moco.make(config, CPU)


def test_a_stopped_and_resumed_training_equals_one_that_was_not(
    tmp_path: Path, particle_set: Any
) -> None:
    config = settings(particle_set, synthetic=4)

    def make(config: PretrainConfig, device: torch.device) -> moco.Moco:
        objective = moco.make(config, device)
        follow = objective.after_step

        def after_step(step: int, steps: int) -> None:
            follow(step, steps)
            (tmp_path / "stopped" / "stop").touch()

        objective.after_step = after_step  # type: ignore[method-assign]
        return objective

    assert pretrain(tmp_path / "stopped", config, make=make).step == 1
    assert pretrain(tmp_path / "stopped", config).step == 3
    pretrain(tmp_path / "whole", config)
    states = [
        read_tensors(tmp_path / name / "state.safetensors")[0] for name in ("stopped", "whole")
    ]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
