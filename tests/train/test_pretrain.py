"""The loop of a pretraining: what resuming, limits, averaging and many processes must keep to."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from napari_cryodeco.model.weights import bundled, read_weights
from napari_cryodeco.pretrain_config import PretrainConfig
from napari_cryodeco.runs.pretraining import read_settings
from napari_cryodeco.runs.progress import read_status
from napari_cryodeco.runs.store import read_tensors
from napari_cryodeco.train.pretrain import Outcome, pretrain
from napari_cryodeco.train.pretrained import PretrainedEncoder

TOY = Path(__file__).with_name("toy.py")


def _load_toy() -> ModuleType:
    """Import the toy beside this file: the tests are no package."""
    spec = importlib.util.spec_from_file_location("toy", TOY)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


toy = _load_toy()


class Killed(Exception):
    """What ends a training at once in these tests."""


def settings(**changes: Any) -> PretrainConfig:
    return PretrainConfig.of({**toy.SETTINGS, **changes}, "test")


def train(out: Path, **changes: Any) -> Outcome:
    return pretrain(out, settings(**changes), make=toy.make_toy)


def train_until(out: Path, at: int, happens: Callable[[], None], **changes: Any) -> Outcome:
    """Train, and let something happen at the end of the step `at`."""

    def make(config: PretrainConfig, device: torch.device) -> Any:
        objective = toy.Toy(config)
        objective.after_step = lambda step, steps: happens() if step == at else None
        return objective

    return pretrain(out, settings(**changes), make=make)


def die() -> None:
    raise Killed


def state(out: Path) -> dict[str, torch.Tensor]:
    return read_tensors(out / "state.safetensors")[0]


def step_saved(out: Path) -> int:
    return int(read_tensors(out / "state.safetensors")[1]["step"])


def test_a_killed_and_resumed_training_equals_one_that_was_not(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(Killed):  # saved after each step, killed before the eighth is saved
        train_until(tmp_path / "torn", 7, die, save_minutes=1e-9)
    assert read_status(tmp_path / "torn").state == "failed"
    assert step_saved(tmp_path / "torn") == 7
    torn = train(tmp_path / "torn")
    assert (whole.limit, whole.step, torn.step) == ("steps", 12, 12)
    assert read_status(tmp_path / "torn").state == "done"
    mine, theirs = state(tmp_path / "whole"), state(tmp_path / "torn")
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    prior = [(tmp_path / name / "prior.safetensors") for name in ("whole", "torn")]
    assert all(
        torch.equal(one, read_tensors(prior[1])[0][name])
        for name, one in read_tensors(prior[0])[0].items()
    )


def test_another_seed_is_another_training(tmp_path: Path) -> None:
    train(tmp_path / "one", steps=2)
    train(tmp_path / "other", steps=2, seed=6)
    name = "module.6.weight"
    assert not torch.equal(state(tmp_path / "one")[name], state(tmp_path / "other")[name])


def test_time_ends_a_call_and_not_the_training(tmp_path: Path) -> None:
    first = train(tmp_path / "out", steps=10**6, minutes=0.01)
    assert (first.limit, first.finished) == ("minutes", False)
    assert first.step == step_saved(tmp_path / "out") > 0
    assert read_status(tmp_path / "out").state == "stopped"
    second = train(tmp_path / "out", steps=first.step + 2, minutes=5)
    assert (second.limit, second.finished, second.step) == ("steps", True, first.step + 2)
    assert second.seconds > first.seconds


def test_annealing_ends_the_training_in_time_over_all_calls(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"steps": 10**6, "minutes": 0.02, "anneal": True}
    with pytest.raises(Killed):
        train_until(tmp_path / "out", 2, die, save_minutes=1e-9, **limits)
    steps: list[float] = []

    def make(config: PretrainConfig, device: torch.device) -> Any:
        objective = toy.Toy(config)
        objective.after_step = lambda step, of: steps.append(step / of)
        return objective

    outcome = pretrain(tmp_path / "out", settings(**limits), make=make)
    assert (outcome.limit, outcome.finished) == ("minutes", True)
    assert outcome.seconds >= 1.2 and outcome.step < 10**6
    rises = [after - before for before, after in pairwise(steps)]
    assert min(rises) > -0.05  # steps are whole numbers
    assert steps[-1] > 0.8  # curricula end with the time
    again = train(tmp_path / "out", **limits)
    assert (again.finished, again.step) == (True, outcome.step)


@pytest.mark.parametrize("how", ["file", "SIGTERM"])
def test_a_request_to_stop_saves_first(tmp_path: Path, how: str) -> None:
    out = tmp_path / "out"

    def ask() -> None:
        if how == "file":
            (out / "stop").touch()
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    outcome = train_until(out, 4, ask)
    assert (outcome.limit, outcome.finished, outcome.step) == ("stop", False, 5)
    assert step_saved(out) == 5
    assert signal.getsignal(signal.SIGTERM) is before
    assert train(out).step == 12  # the old request is forgotten


def test_a_broken_loss_is_not_saved(tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(out, steps=3)
    poisoned: list[Any] = []

    def make(config: PretrainConfig, device: torch.device) -> Any:
        objective = toy.Toy(config)
        loss = objective.loss
        objective.loss = lambda *words: loss(*words) * float("nan")
        poisoned.append(objective)
        return objective

    with pytest.raises(ValueError, match=r"loss is nan at step 12: .*lower --rate"):
        pretrain(out, settings(), make=make)
    assert poisoned and step_saved(out) == 3


def test_only_limits_may_change(tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(out, steps=2)
    with pytest.raises(ValueError, match=r"begun with batch 16, not 32: .*another folder"):
        train(out, batch=32)
    assert read_settings(out) == settings(steps=2)
    train(out, steps=4, save_minutes=1)
    assert read_settings(out) == settings(steps=4, save_minutes=1)


def test_nothing_of_the_users_is_mixed_with_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds notes\.txt: choose a new folder"):
        train(tmp_path)
    with pytest.raises(ValueError, match=r"notes\.txt is a file"):
        train(tmp_path / "notes.txt")
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_a_state_of_another_encoder_is_named(tmp_path: Path) -> None:
    train(tmp_path / "out", steps=1)

    def make(config: PretrainConfig, device: torch.device) -> Any:
        objective = toy.Toy(config)
        objective.module[6] = torch.nn.Linear(400, 7)
        return objective

    with pytest.raises(ValueError, match=r"state\.safetensors does not fit"):
        pretrain(tmp_path / "out", settings(), make=make)


def test_probes_are_scored_along_the_way_and_at_the_end(tmp_path: Path, particle_set: Any) -> None:
    outcome = train(tmp_path / "out", probe=[particle_set.folder], probe_every=5)
    assert outcome.scores == {particle_set.folder.name: 1.0}  # the toy embeds the labels
    lines = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    told = [metric["step"] for metric in metrics if metric["name"].startswith("knn/")]
    assert told == [5, 10, 12]
    assert {"loss"} <= {metric["name"] for metric in metrics}


@pytest.mark.slow
def test_two_processes_with_half_the_batch_are_one_with_the_whole(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    path = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(TOY), str(tmp_path / "two")]
    workers = [
        subprocess.Popen(command, env={**os.environ, **path, **world, "RANK": rank})
        for rank in ("0", "1")
    ]
    pretrain(tmp_path / "one", settings(rate=1e-3), make=toy.make_shared)
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    one, two = state(tmp_path / "one"), state(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-5, rtol=0)


def test_a_prior_begins_from_another_and_says_from_which(tmp_path: Path) -> None:
    given = read_weights(bundled())
    cpu = torch.device("cpu")
    encoder = PretrainedEncoder(PretrainConfig(begin_from=Path("bundled")), cpu)
    assert encoder.begun_from == given.sha256
    state = encoder.net.state_dict()
    assert all(torch.equal(state[name], value) for name, value in given.state.items())
    fresh = PretrainedEncoder(PretrainConfig(), cpu)
    assert fresh.begun_from == ""
    other = PretrainConfig(begin_from=bundled(), model="vit-s", shape={"dim": 384, "depth": 1})
    with pytest.raises(ValueError, match="give those of an earlier prior of the same model"):
        PretrainedEncoder(other, cpu)
