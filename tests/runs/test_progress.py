from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_cryodeco.runs import progress as module
from napari_cryodeco.runs.estimate import Estimate
from napari_cryodeco.runs.lock import RunLock
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.process import alive
from napari_cryodeco.runs.progress import Progress, RunFollower, Status, read_status


@pytest.fixture
def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def write(path: Path, **changes: object) -> None:
    RunPaths(path).status.write_text(json.dumps({"state": "running", **changes}))


def test_own_process_is_alive_and_an_ended_one_is_not(dead_pid: int) -> None:
    assert alive(os.getpid())
    assert not alive(dead_pid)
    assert not alive(0)


@pytest.mark.skipif(sys.platform == "win32", reason="zombies are POSIX")
def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()  # ended, not waited for
    for _ in range(100):
        if not alive(child.pid):
            break
        time.sleep(0.02)
    assert not alive(child.pid)
    child.wait()


def test_no_status_reads_as_queued(tmp_path: Path) -> None:
    assert read_status(tmp_path) == Status()


def test_a_fresh_beat_of_a_living_process_is_running(tmp_path: Path) -> None:
    write(tmp_path, host=socket.gethostname(), pid=os.getpid(), beat=time.time())
    assert read_status(tmp_path).state == "running"


def test_lost_after_a_minute_without_a_beat(tmp_path: Path) -> None:
    write(tmp_path, host="elsewhere", pid=1, beat=time.time() - 61)
    assert read_status(tmp_path).state == "lost"
    write(tmp_path, host="elsewhere", pid=1, beat=time.time() - 30)
    assert read_status(tmp_path).state == "running"


def test_lost_at_once_when_the_process_here_is_dead(tmp_path: Path, dead_pid: int) -> None:
    write(tmp_path, host=socket.gethostname(), pid=dead_pid, beat=time.time())
    assert read_status(tmp_path).state == "lost"


def test_a_long_step_keeps_beating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_EVERY", 0.02)
    with Progress(tmp_path):
        first = read_status(tmp_path).beat
        for _ in range(200):
            time.sleep(0.02)
            if read_status(tmp_path).beat > first:
                break
        assert read_status(tmp_path).beat > first


def test_an_error_ends_as_failed_with_its_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="row 3"), Progress(tmp_path):
        raise ValueError("a.star row 3:\n  wrong")
    status = read_status(tmp_path)
    assert (status.state, status.error) == ("failed", "a.star row 3: wrong")


def test_ctrl_c_ends_as_stopped(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Progress(tmp_path):
        raise KeyboardInterrupt
    assert read_status(tmp_path).state == "stopped"


def test_follower_gives_each_number_and_epoch_once(tmp_path: Path) -> None:
    follower = RunFollower(tmp_path)
    assert follower.poll().metrics == ()
    with Progress(tmp_path) as progress:
        progress.unit("refine", 0, 2)
        progress.step(1, 10)
        progress.metric("loss", 0.5)
        update = follower.poll()
        assert [(m.stage, m.unit, m.step, m.name, m.value) for m in update.metrics] == [
            ("refine", 0, 1, "loss", 0.5)
        ]
        (tmp_path / "epochs" / "0001").mkdir(parents=True)
        (tmp_path / "epochs" / ".0002.abc.tmp").mkdir()  # in the writing
        progress.metric("loss", 0.25)
        update = follower.poll()
        assert [m.value for m in update.metrics] == [0.25]
        assert update.epochs == (1,)
        assert follower.poll().metrics == follower.poll().epochs == ()


def test_follower_waits_for_the_rest_of_a_line(tmp_path: Path) -> None:
    with Progress(tmp_path) as progress:
        progress.unit("refine", 0, 1)
        progress.metric("loss", 0.5)
    file = RunPaths(tmp_path).metrics
    line = file.read_bytes()
    follower = RunFollower(tmp_path)
    for cut in range(len(line)):
        file.write_bytes(line[:cut])
        assert follower.poll().metrics == ()
    file.write_bytes(line)
    assert len(follower.poll().metrics) == 1


def test_a_torn_line_of_a_killed_job_costs_only_itself(tmp_path: Path) -> None:
    RunPaths(tmp_path).metrics.write_bytes(b'{"time": 1.0, "sta')
    with Progress(tmp_path) as progress:
        progress.metric("loss", 0.5)
    assert [m.value for m in RunFollower(tmp_path).poll().metrics] == [0.5]


def test_estimate_knows_nothing_before_it_measured() -> None:
    estimate = Estimate({"a": 1, "b": 3})
    assert estimate.remaining() is None
    assert estimate.share() == 0


def test_estimate_is_exact_when_the_weights_are_true() -> None:
    estimate = Estimate({"a": 1, "b": 3})
    estimate.observe("a", 0.5, 5)
    assert estimate.remaining() == pytest.approx(35)
    assert estimate.share() == pytest.approx(5 / 40)
    estimate.observe("a", 1, 10)
    estimate.observe("b", 1 / 3, 10)
    assert estimate.remaining() == pytest.approx(20)


def test_estimate_follows_the_measured_pace_when_the_weights_are_wrong() -> None:
    estimate = Estimate({"a": 1, "b": 1})
    estimate.observe("a", 1, 1)
    for done in (0.25, 0.5, 0.75, 0.95):
        estimate.observe("b", done, 100 * done)  # a hundred times what the weights say
    assert estimate.remaining() == pytest.approx(5, rel=0.3)
    estimate.observe("b", 1, 100)
    assert estimate.remaining() == pytest.approx(0)
    assert estimate.share() == pytest.approx(1)


def test_two_trainings_of_one_run_are_refused(tmp_path: Path) -> None:
    with (
        RunLock(tmp_path),
        pytest.raises(ValueError, match=f"is being trained by process {os.getpid()}"),
        RunLock(tmp_path),
    ):
        pass
    with RunLock(tmp_path):  # free again
        pass
    assert not RunPaths(tmp_path).lock.exists()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path, dead_pid: int) -> None:
    record = {"host": socket.gethostname(), "pid": dead_pid, "time": time.time(), "token": "x"}
    RunPaths(tmp_path).lock.write_text(json.dumps(record))
    with RunLock(tmp_path) as lock:
        lock.check()


def test_the_lock_of_another_machine_needs_a_minute_of_silence(tmp_path: Path) -> None:
    record = {"host": "elsewhere", "pid": 1, "time": time.time(), "token": "x"}
    RunPaths(tmp_path).lock.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="process 1 on elsewhere"), RunLock(tmp_path):
        pass
    RunPaths(tmp_path).lock.write_text(json.dumps({**record, "time": time.time() - 61}))
    with RunLock(tmp_path):
        pass


def test_a_process_that_lost_its_lock_notices(tmp_path: Path) -> None:
    with RunLock(tmp_path) as lock:
        RunPaths(tmp_path).lock.write_text(json.dumps({"host": "b", "pid": 9, "token": "y"}))
        with pytest.raises(ValueError, match="process 9 on b took this run over"):
            lock.check()
