"""What a run does now, and its numbers: written by the job, followed by anyone.

Standard library only, so that a window can follow without loading torch.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from napari_cryodeco.atomic import replacing
from napari_cryodeco.runs.estimate import Estimate
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.process import alive

State = Literal["queued", "running", "done", "stopped", "failed", "lost"]

LOST_AFTER = 60.0
"""Seconds without a sign of life after which a running job counts as lost."""
BEAT_EVERY = 5.0
WRITE_EVERY = 0.5


@dataclass(frozen=True)
class Status:
    """What a run does now.

    `unit` of `units` of the stage are finished, `step` of `steps` of the unit under way; `eta_s`
    seconds are left (None: not known yet), `share` (0…1) of the whole run is done; `beat` is the
    time of the last sign of life (seconds since 1970); `error` is one sentence when it failed.
    """

    state: State = "queued"
    stage: str = ""
    unit: int = 0
    units: int = 0
    step: int = 0
    steps: int = 0
    eta_s: float | None = None
    message: str = ""
    host: str = ""
    pid: int = 0
    beat: float = 0.0
    error: str = ""
    share: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing more will come without another `train`."""
        return self.state in ("done", "stopped", "failed", "lost")


@dataclass(frozen=True)
class Metric:
    """One number along the way; `time` in seconds since 1970."""

    time: float
    stage: str
    unit: int
    step: int
    name: str
    value: float


def one_line(error: BaseException) -> str:
    """Return an error's words in one line; its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def read_status(path: Path | str) -> Status:
    """Read the status of the run in `path`; a job without a sign of life reads as lost."""
    file = RunPaths(Path(path)).status
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return Status()
    known = {field.name for field in fields(Status)}
    status = Status(**{name: value for name, value in record.items() if name in known})
    if status.ended or not status.pid:
        return status
    gone = status.host == socket.gethostname() and not alive(status.pid)
    silent = status.state == "running" and time.time() - status.beat > LOST_AFTER
    if gone or silent:
        return replace(status, state="lost", eta_s=None)
    return status


def announce(path: Path | str, pid: int) -> None:
    """Write that the process `pid` of this machine is about to train the run in `path`."""
    _store(
        Path(path),
        Status(message="starting", host=socket.gethostname(), pid=pid, beat=time.time()),
    )


def enqueue(path: Path | str, message: str) -> None:
    """Write that the run in `path` waits for a process on some machine."""
    _store(Path(path), Status(message=message, beat=time.time()))


def fail(path: Path | str, error: str) -> None:
    """Write that the training announced by this process ended before it began."""
    status = read_status(path)
    if status.pid == os.getpid() and not status.ended:
        _store(Path(path), replace(status, state="failed", message="", error=error))


def _store(path: Path, status: Status) -> None:
    # A run does not die of its own report: a full disk shows at the next checkpoint.
    with suppress(OSError), replacing(RunPaths(path).status, durable=False) as part:
        part.write_text(json.dumps(asdict(status)) + "\n", encoding="utf-8")


class Progress:
    """Writes the status and the numbers of a run; a thread keeps up the sign of life.

    Leaving it by an error ends the status as failed, with the error's own sentence.

    Parameters
    ----------
    path
        Run directory.
    listener
        Called with each new status, in the thread that reports.
    """

    def __init__(self, path: Path | str, listener: Callable[[Status], None] | None = None) -> None:
        self._paths = RunPaths(Path(path))
        self._estimate = Estimate({})
        self._listener = listener
        self._status = Status(state="running", host=socket.gethostname(), pid=os.getpid())
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._written = 0.0
        self._begun = time.monotonic()
        self._before = 0.0

    @property
    def status(self) -> Status:
        """What was last told."""
        return self._status

    def __enter__(self) -> Progress:
        self._end_last_line()
        self._write()
        self._thread = threading.Thread(target=self._keep_beating, name="beat", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if isinstance(error, KeyboardInterrupt):
            self.finish("stopped")
        elif error is not None:
            self.finish("failed", one_line(error))

    def plan(self, weights: Mapping[str, float]) -> None:
        """Tell the stages to come, in order, with their expected relative durations."""
        self._estimate = Estimate(weights)

    def done_before(self, stage: str, done: float, seconds: float) -> None:
        """Count the share `done` (0…1) of a stage that an earlier job did in `seconds`."""
        self._estimate.observe(stage, done, seconds)

    def unit(self, stage: str, unit: int, units: int, seconds: float = 0.0) -> None:
        """Begin a unit: `unit` of `units` are finished and took `seconds` in all."""
        self._before, self._begun = seconds, time.monotonic()
        self._set(stage=stage, unit=unit, units=units, step=0, steps=0, message="")
        self._observe()
        self._write()

    def seconds(self) -> float:
        """Seconds that the present stage has taken so far, earlier jobs included."""
        return self._before + time.monotonic() - self._begun

    def step(self, step: int, steps: int, message: str = "") -> None:
        """Tell that `step` of `steps` of the unit under way are done."""
        self._set(step=step, steps=steps, message=message)
        self._observe()
        if time.monotonic() - self._written >= WRITE_EVERY:
            self._write()

    def metric(self, name: str, value: float) -> None:
        """Append one number to the record."""
        now = self._status
        metric = Metric(time.time(), now.stage, now.unit, now.step, name, float(value))
        with suppress(OSError), self._paths.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(metric)) + "\n")

    def finish(self, state: State, error: str = "") -> None:
        """Tell how it ended."""
        share = 1.0 if state == "done" else self._status.share
        self._set(state=state, error=error, message="", eta_s=None, share=share)
        self._write()

    def _observe(self) -> None:
        now = self._status
        done = now.unit + (now.step / now.steps if now.steps else 0.0)
        self._estimate.observe(now.stage, done / max(now.units, 1), self.seconds())
        share = max(self._estimate.share(), now.share)  # a bar that goes back looks broken
        self._set(eta_s=self._estimate.remaining(), share=share)

    def _set(self, **changes: Any) -> None:
        with self._guard:
            self._status = replace(self._status, **changes)

    def _write(self) -> None:
        with self._guard:
            self._status = replace(self._status, beat=time.time())
            self._written = time.monotonic()
            _store(self._paths.root, self._status)
        if self._listener is not None and threading.current_thread() is not self._thread:
            self._listener(self._status)

    def _keep_beating(self) -> None:
        while not self._ended.wait(BEAT_EVERY):
            self._write()

    def _end_last_line(self) -> None:
        """Close the line that a killed job left torn, so that the next record stands alone."""
        with suppress(OSError), self._paths.metrics.open("rb+") as file:
            if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                file.write(b"\n")


@dataclass(frozen=True)
class Update:
    """What is new since the last look: `status` now, new `metrics`, new `epochs`."""

    status: Status
    metrics: tuple[Metric, ...]
    epochs: tuple[int, ...]


class RunFollower:
    """Reads what is new in a run directory; cheap enough to be asked once a second."""

    def __init__(self, path: Path | str) -> None:
        self._paths = RunPaths(Path(path))
        self._offset = 0
        self._seen: set[int] = set()

    def poll(self) -> Update:
        """Return the status and what came since the last call.

        A unit that was interrupted and done again writes its numbers again: the later ones count.
        """
        epochs = [number for number in self._paths.epoch_numbers() if number not in self._seen]
        self._seen.update(epochs)
        return Update(read_status(self._paths.root), tuple(self._new_metrics()), tuple(epochs))

    def _new_metrics(self) -> list[Metric]:
        try:
            with self._paths.metrics.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._offset:
                    self._offset = 0  # the run was begun anew
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            self._offset = 0
            return []
        whole = text[: text.rfind(b"\n") + 1]  # the last line may still be in the writing
        self._offset += len(whole)
        return [metric for line in whole.splitlines() if (metric := _parse(line)) is not None]


def _parse(line: bytes) -> Metric | None:
    try:
        return Metric(**json.loads(line))
    except (ValueError, TypeError):
        return None  # the torn line of a killed job
