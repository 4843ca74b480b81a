"""What all but the first of several processes do in a reconstruction.

The first process alone holds the lock, reports, and writes. The others wait while it works alone,
and take part in the stages that are shared; what else they need they read from its checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from torch import Tensor

from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.store import read_header, read_tensors
from napari_cryodeco.train import distributed
from napari_cryodeco.train.stages import Finished, Stage, Step, StopRequested

_GO_ON, _STOP = 0.0, 1.0
_LAG_S = 120.0  # network file systems show a file to another machine some time after its renaming


def meet(stop: bool = False) -> None:
    """Wait here for all processes.

    Raises
    ------
    StopRequested
        If the first process says so.
    """
    if distributed.from_first([_STOP if stop else _GO_ON]) == [_STOP]:
        raise StopRequested


@contextmanager
def alone(step: Step) -> Iterator[None]:
    """Tell the others, who wait, how a stage ended that the first process did alone."""
    try:
        yield
    except StopRequested:
        if not step.shared:
            distributed.from_first([_STOP])
        raise
    if not step.shared:
        meet()


def follow(paths: RunPaths, steps: Sequence[Step]) -> None:
    """Take part in a reconstruction until the first process ends it."""
    finished = _Told(paths, steps)
    try:
        for step in steps:
            if step.shared:
                _take_part(paths, step.make(finished))
            else:
                meet()
        meet()
    except StopRequested:
        return


def _take_part(paths: RunPaths, stage: Stage) -> None:
    begun = int(distributed.from_first([0.0])[0])
    stage.load(_state(paths.stage(stage.name), begun) if begun else None)
    report = _Listening()
    unit = begun
    while unit < stage.units():  # asked each time: a stage may end early
        report.check_stop()
        stage.advance(unit, report)
        unit += 1


class _Listening:
    """Says nothing and stops with the first process: where that one reports, this one listens."""

    def step(self, step: int, steps: int, message: str = "") -> None:
        self.check_stop()

    def metric(self, name: str, value: float) -> None:
        """The first process tells it."""

    def check_stop(self) -> None:
        meet()

    def alone(self) -> AbstractContextManager[None]:
        """Wait until the first process is done."""
        meet()
        return nullcontext(None)


class _Told(dict[str, Stage]):
    """Stages that the first process has finished, made when one is asked for."""

    def __init__(self, paths: RunPaths, steps: Sequence[Step]) -> None:
        super().__init__()
        self._paths, self._steps = paths, {step.name: step for step in steps}

    def __missing__(self, name: str) -> Stage:
        made: Finished = self
        stage = self._steps[name].make(made)
        stage.load(_state(self._paths.stage(name)))
        self[name] = stage
        return stage


def _state(file: Path, finished: int | None = None) -> dict[str, Tensor]:
    """State of a stage after so many units (None: all), as soon as this machine sees it."""
    deadline = time.monotonic() + _LAG_S
    while time.monotonic() < deadline:
        header: dict[str, Any] = read_header(file) if file.is_file() else {}
        if header and header["finished"] == (header["units"] if finished is None else finished):
            return read_tensors(file)[0]
        time.sleep(0.2)
    raise ValueError(
        f"{file}, which the first process wrote, is not to be seen from here after {_LAG_S:.0f} s: "
        "all machines must share the run's folder."
    )
