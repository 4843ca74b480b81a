"""The loop with toy stages: kill, stop and resume in every place."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from napari_cryodeco.runs.checkpoint import Epoch
from napari_cryodeco.runs.lock import RunLock
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import Progress, RunFollower, Status, read_status
from napari_cryodeco.runs.store import read_header, read_tensors, write_tensors
from napari_cryodeco.train import reconstruct as module
from napari_cryodeco.train.reconstruct import run_steps
from napari_cryodeco.train.stages import Finished, Reporter, Stage, Step, generator

Hook = Callable[[str, int, int], None]


def nothing(name: str, unit: int, step: int) -> None:
    """Do nothing."""


class Walk:
    """A random walk: each unit adds seeded noise to where it is."""

    def __init__(self, name: str, start: Tensor, hook: Hook = nothing) -> None:
        self.name, self.start, self.hook = name, start, hook

    def units(self) -> int:
        return 3

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        self.place = self.start.clone() if tensors is None else tensors["place"]

    def advance(self, unit: int, report: Reporter) -> None:
        random = generator(7, self.name, unit)
        for step in range(4):
            self.place = 0.9 * self.place + torch.randn(5, generator=random)
            self.hook(self.name, unit, step)
            report.metric("length", float(self.place.norm()))
            report.step(step + 1, 4)

    def tensors(self) -> dict[str, Tensor]:
        return {"place": self.place}


class Writing(Walk):
    """The same, and every unit is an epoch."""

    def epoch_files(self, folder: Path) -> None:
        write_tensors(folder / "latents.safetensors", {"latents": self.place[None]})


def plan(hook: Hook = nothing) -> list[Step]:
    def second(finished: Finished) -> Stage:
        first = finished["first"]
        assert isinstance(first, Walk)
        return Writing("second", first.place, hook)

    first = Step("first", 1, lambda finished: Walk("first", torch.zeros(5), hook))
    return [first, Step("second", 2, second)]


def train(path: Path, hook: Hook = nothing) -> Status:
    path.mkdir(exist_ok=True)
    with RunLock(path) as lock, Progress(path) as progress:
        run_steps(RunPaths(path), plan(hook), progress, lock)
    return progress.status


def state(path: Path) -> dict[str, Tensor]:
    paths = RunPaths(path)
    found = {name: read_tensors(paths.stage(name))[0]["place"] for name in ("first", "second")}
    for number in paths.epoch_numbers():
        latents = Epoch(paths.epoch(number), number).latents()
        found[f"epoch {number}"] = torch.from_numpy(latents)
    return found


def assert_same(path: Path, other: Path) -> None:
    a, b = state(path), state(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def killed(work: Callable[[], object]) -> None:
    """Run `work` in a child process and see it killed."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)  # not reached when it is killed
    _, code = os.waitpid(child, 0)
    assert os.WIFSIGNALED(code) and os.WTERMSIG(code) == signal.SIGKILL


def kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_random_numbers_of_a_unit_are_its_own() -> None:
    def draw(seed: int, stage: str, unit: int) -> float:
        return float(torch.rand(1, generator=generator(seed, stage, unit)))

    assert draw(1, "a", 0) == draw(1, "a", 0)
    assert len({draw(1, "a", 0), draw(2, "a", 0), draw(1, "b", 0), draw(1, "a", 1)}) == 4


def test_all_units_of_all_stages_are_done(tmp_path: Path) -> None:
    status = train(tmp_path)
    assert (status.state, status.share) == ("done", 1.0)
    assert RunPaths(tmp_path).epoch_numbers() == [1, 2, 3]
    header = read_header(RunPaths(tmp_path).stage("second"))
    assert header["finished"] == header["units"] == 3
    update = RunFollower(tmp_path).poll()
    assert len(update.metrics) == 24
    assert update.epochs == (1, 2, 3)


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("stage", ["first", "second"])
@pytest.mark.parametrize("unit", [0, 1, 2])
def test_killed_in_a_unit_and_resumed_equals_unkilled(
    tmp_path: Path, stage: str, unit: int
) -> None:
    def hook(*now: object) -> None:
        if now == (stage, unit, 2):
            kill_me()

    train(tmp_path / "whole")
    killed(lambda: train(tmp_path / "killed", hook))
    assert read_status(tmp_path / "killed").state == "lost"
    assert train(tmp_path / "killed").state == "done"
    assert_same(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_killed_between_the_state_and_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_epoch", lambda *_: kill_me())
        killed(lambda: train(tmp_path / "killed"))
    assert RunPaths(tmp_path / "killed").epoch_numbers() == []
    train(tmp_path / "killed")
    assert_same(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_killed_in_the_writing_of_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(self: Writing, folder: Path) -> None:
        (folder / "latents.safetensors").write_bytes(b"half")
        kill_me()

    train(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(Writing, "epoch_files", half)
        killed(lambda: train(tmp_path / "killed"))
    epochs = RunPaths(tmp_path / "killed").epochs
    assert [entry.name[0] for entry in epochs.iterdir()] == ["."]
    train(tmp_path / "killed")
    assert {entry.name for entry in epochs.iterdir()} == {"0001", "0002", "0003"}
    assert_same(tmp_path / "killed", tmp_path / "whole")


def test_stopped_by_the_file_and_resumed_equals_unstopped(tmp_path: Path) -> None:
    def hook(*now: object) -> None:
        if now == ("second", 1, 1):
            RunPaths(tmp_path / "stopped").stop.touch()

    train(tmp_path / "whole")
    assert train(tmp_path / "stopped", hook).state == "stopped"
    assert RunPaths(tmp_path / "stopped").epoch_numbers() == [1]
    RunPaths(tmp_path / "stopped").stop.unlink()
    assert train(tmp_path / "stopped").state == "done"
    assert_same(tmp_path / "stopped", tmp_path / "whole")


def test_a_finished_run_trains_no_more(tmp_path: Path) -> None:
    def hook(*now: object) -> None:
        raise AssertionError(now)

    train(tmp_path)
    assert train(tmp_path, hook).state == "done"


def test_an_error_in_a_stage_is_told_and_can_be_resumed(tmp_path: Path) -> None:
    def hook(*now: object) -> None:
        if now == ("second", 0, 1):
            raise ValueError("a.mrcs row 3: NaN")

    with pytest.raises(ValueError, match="row 3"):
        train(tmp_path / "failed", hook)
    assert read_status(tmp_path / "failed").error == "a.mrcs row 3: NaN"
    train(tmp_path / "whole")
    assert train(tmp_path / "failed").state == "done"
    assert_same(tmp_path / "failed", tmp_path / "whole")


def test_the_estimate_counts_what_an_earlier_job_did(tmp_path: Path) -> None:
    def stop_late(*now: object) -> None:
        if now == ("second", 2, 0):
            RunPaths(tmp_path).stop.touch()

    train(tmp_path, stop_late)
    RunPaths(tmp_path).stop.unlink()
    seen: list[Status] = []
    with RunLock(tmp_path) as lock, Progress(tmp_path, seen.append) as progress:
        run_steps(RunPaths(tmp_path), plan(), progress, lock)
    begun = next(status for status in seen if status.stage == "second")
    assert begun.unit == 2
    assert begun.share > 0.5
    assert begun.eta_s is not None
