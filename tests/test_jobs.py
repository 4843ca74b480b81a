from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_cryodeco import jobs
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.process import alive
from napari_cryodeco.runs.progress import read_status

PYTHON = sys.executable
SLEEPER = """
import sys, time
from napari_cryodeco import jobs
jobs.sys.executable = sys.argv[1]
print(jobs.start("project", sys.argv[2]).pid, flush=True)
time.sleep(60)
"""


def wait_until(fact: Callable[[], bool]) -> None:
    for _ in range(300):
        if fact():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come true within 15 s")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder that looks like a run."""
    (tmp_path / "run").mkdir()
    RunPaths(tmp_path / "run").config.touch()
    return tmp_path / "run"


@pytest.fixture
def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that takes the place of python and works until it is ended."""
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\necho "$@"\nexec sleep 30\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    return program


posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for python")


@posix
def test_a_job_writes_its_output_to_the_log(run: Path, interpreter: Path) -> None:
    job = jobs.start("project", str(run), "--seed", "3")
    try:
        wait_until(lambda: "--seed 3" in RunPaths(run).log.read_text())
        assert job.command[1:] == ("-m", "napari_cryodeco", "project", str(run), "--seed", "3")
        assert jobs.is_alive(job)
    finally:
        os.kill(job.pid, signal.SIGKILL)
    wait_until(lambda: not jobs.is_alive(job))


@posix
def test_a_job_leaves_the_cores_to_the_window(run: Path, interpreter: Path) -> None:
    job = jobs.start("project", str(run))
    try:
        wait_until(lambda: RunPaths(run).log.read_text() != "")
        own, its = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, job.pid))
        assert its == min(own + jobs.STEP_BACK, 19)
    finally:
        os.kill(job.pid, signal.SIGKILL)


@posix
def test_starting_to_train_takes_back_an_old_stop(run: Path, interpreter: Path) -> None:
    jobs.stop(run)
    assert RunPaths(run).stop.exists()
    job = jobs.start("train", str(run))
    try:
        assert not RunPaths(run).stop.exists()
        status = read_status(run)
        assert (status.state, status.pid) == ("queued", job.pid)
    finally:
        os.kill(job.pid, signal.SIGKILL)
    wait_until(lambda: read_status(run).state == "lost")


@posix
def test_a_job_survives_the_process_that_started_it(run: Path, interpreter: Path) -> None:
    import napari_cryodeco

    source = Path(napari_cryodeco.__file__).parents[1]
    parent = subprocess.Popen(
        [PYTHON, "-c", SLEEPER, str(interpreter), str(run)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(source)},
        start_new_session=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    try:
        os.killpg(parent.pid, signal.SIGKILL)  # as when a terminal or a window is closed
        parent.wait()
        time.sleep(0.2)
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_no_job_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no run"):
        jobs.start("train", str(tmp_path))
