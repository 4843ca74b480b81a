"""A training as users have it: a detached job that is followed, stopped, and gone on with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from napari_cryodeco import jobs
from napari_cryodeco.cli import main
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import RunFollower, read_status
from napari_cryodeco.runs.run import Run


def wait_until(fact: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come true within {seconds} s")
        time.sleep(0.1)


def test_training_needs_no_display_and_no_window_library() -> None:
    """Every module that trains is imported where Qt and napari are broken, without a screen."""
    code = (
        "import importlib, pkgutil, sys\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'qtpy', 'PyQt6', 'PySide6', 'napari', 'vispy'}:\n"
        "            raise ImportError(name + ' is broken here')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "import napari_cryodeco.cli, napari_cryodeco.jobs, napari_cryodeco.train as train\n"
        "found = [m.name for m in pkgutil.walk_packages(train.__path__, train.__name__ + '.')]\n"
        "[importlib.import_module(name) for name in found]\n"
        "print(len(found))"
    )
    screen = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    given = {name: value for name, value in os.environ.items() if name not in screen}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=given, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


@pytest.mark.slow
def test_start_stop_and_go_on(
    tmp_path: Path, particle_set: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run"
    small = ["--set", "field.width=16", "--set", "refine.warmup=20", "--set", "threads=1"]
    words = ["new", str(particle_set.star_with_poses), str(path), "--poses", "file"]
    assert main([*words, "--device", "cpu", "--set", "refine.epochs=500", *small]) == 0

    job = jobs.start("train", str(path))
    follower, losses = RunFollower(path), []

    def learning() -> bool:
        update = follower.poll()
        losses.extend(m.value for m in update.metrics if m.name == "loss")
        assert update.status.state in ("queued", "running"), update.status
        return len(losses) >= 2

    wait_until(learning)
    with pytest.raises(ValueError, match="being trained already"):
        jobs.start("train", str(path))
    capsys.readouterr()
    assert main(["train", str(path)]) == 1  # a second training of the same run
    assert "is being trained by process" in capsys.readouterr().err
    assert not RunPaths(path).stop.exists()
    jobs.stop(path)
    wait_until(lambda: not jobs.is_alive(job))
    assert read_status(path).state == "stopped"
    reached = Run.open(path).epochs()
    assert 2 <= len(reached) < 500

    config = RunPaths(path).config
    text = config.read_text().replace("epochs: 500", f"epochs: {len(reached) + 1}", 1)
    config.write_text(text)
    assert main(["train", str(path)]) == 0
    assert Run.open(path).epochs() == [*reached, len(reached) + 1]


def test_out_of_memory_names_the_setting_to_lower(
    tmp_path: Path,
    planted_run: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    from napari_cryodeco.train import pipeline

    def too_much(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    shutil.copytree(planted_run.path, tmp_path / "run")
    monkeypatch.setattr(pipeline, "SubspaceStage", too_much)
    assert main(["train", str(tmp_path / "run")]) == 1
    text = capsys.readouterr().err.strip()
    assert len(text.splitlines()) == 1
    assert "refine.batch (now 16)" in text and "run.yaml" in text
    status = read_status(tmp_path / "run")
    assert (status.state, f"cryodeco: {status.error}") == ("failed", text)
    assert "CUDA out of memory" in RunPaths(tmp_path / "run").log.read_text()
