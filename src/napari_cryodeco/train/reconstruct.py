"""The loop of a reconstruction: stage by stage, unit by unit, each saved before the next begins.

Of several processes (torchrun) the first runs this loop, and the others follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from napari_cryodeco.atomic import sweep
from napari_cryodeco.runs.checkpoint import write_epoch
from napari_cryodeco.runs.lock import RunLock
from napari_cryodeco.runs.mirrored import refuse_mirror
from napari_cryodeco.runs.origin import refuse_adopted
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import Progress, Status, read_status
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_header, read_tensors, write_tensors
from napari_cryodeco.train import distributed
from napari_cryodeco.train.device import choose_device, memory_advice, numerics
from napari_cryodeco.train.following import alone, follow, meet
from napari_cryodeco.train.stages import (
    Finished,
    Reporter,
    Stage,
    Step,
    StopRequested,
    WritesEpochs,
)


class _FileReporter:
    """Reports to the run directory and looks for the request to stop."""

    def __init__(self, paths: RunPaths, progress: Progress) -> None:
        self._paths, self._progress = paths, progress

    def step(self, step: int, steps: int, message: str = "") -> None:
        self._progress.step(step, steps, message)
        self.check_stop()

    def metric(self, name: str, value: float) -> None:
        self._progress.metric(name, value)

    def check_stop(self) -> None:
        if self._paths.stop.exists():
            raise StopRequested

    def alone(self) -> AbstractContextManager[Reporter | None]:
        return nullcontext(self)


class _SharedReporter(_FileReporter):
    """The same in a stage that all processes do: they stop together."""

    def check_stop(self) -> None:
        meet(self._paths.stop.exists())

    @contextmanager
    def alone(self) -> Iterator[Reporter | None]:
        try:
            yield _FileReporter(self._paths, self._progress)
        except StopRequested:
            meet(stop=True)
        meet()


def reconstruct(run: Run, listener: Callable[[Status], None] | None = None) -> Status:
    """Train a run, or go on where it was stopped or killed.

    Parameters
    ----------
    run
        The run; everything is read from and written to its directory.
    listener
        Called with each new status.

    Returns
    -------
    Status
        "done", or "stopped" when the file ``stop`` appeared.

    Raises
    ------
    ValueError
        If another process trains this run, if an input is wrong, or if the device has too little
        memory: the sentence names the setting to lower.
    """
    refuse_adopted(run.path)
    refuse_mirror(run.path)
    from napari_cryodeco.train.pipeline import steps  # loads timm, which the loop does not need

    paths = run.paths
    if distributed.rank():
        with _computing(run) as device:
            follow(paths, steps(run, device))
        return read_status(paths.root)
    told = Progress(paths.root, listener)
    with RunLock(paths.root) as lock, told as progress, _computing(run) as device:
        run_steps(paths, steps(run, device), progress, lock)
    return progress.status


@contextmanager
def _computing(run: Run) -> Iterator[torch.device]:
    """Compute on this process's device as the settings ask, with the other processes joined."""
    config = run.config
    device = distributed.own_device(choose_device(config.device))
    numbers = numerics(config.threads, config.deterministic, device)
    with distributed.joined(device), numbers, memory_advice(_too_little_memory(run)):
        yield device


def run_steps(paths: RunPaths, steps: Sequence[Step], progress: Progress, lock: RunLock) -> None:
    """Run what is not done yet; each unit's state is saved before the next unit begins."""
    sweep(paths.root, paths.epochs, paths.stages)
    progress.plan({step.name: step.weight for step in steps})
    for step in steps:
        _count_finished(paths, step.name, progress)
    finished: Finished = {}
    epochs = 0
    try:
        for step in steps:
            stage = step.make(finished)
            with alone(step):
                _run_stage(paths, stage, step.shared, progress, lock, epochs)
            finished[step.name] = stage
            epochs += stage.units() if isinstance(stage, WritesEpochs) else 0
        meet()
    except StopRequested:
        progress.finish("stopped")
    else:
        progress.finish("done")


def _run_stage(
    paths: RunPaths, stage: Stage, shared: bool, progress: Progress, lock: RunLock, epochs: int
) -> None:
    report: Reporter = (_SharedReporter if shared else _FileReporter)(paths, progress)
    file = paths.stage(stage.name)
    tensors, header = read_tensors(file) if file.is_file() else (None, {})
    begun, seconds = int(header.get("finished", 0)), float(header.get("seconds", 0.0))
    if shared:
        distributed.from_first([begun])
    stage.load(tensors)
    if begun:
        _save_epoch(paths, stage, epochs + begun)  # it may have been killed between the two
    unit = begun
    while unit < stage.units():  # asked each time: a stage may end early
        report.check_stop()
        progress.unit(stage.name, unit, stage.units(), seconds)
        stage.advance(unit, report)
        seconds = progress.seconds()
        lock.check()
        unit += 1
        state = {"finished": unit, "units": stage.units(), "seconds": seconds}
        write_tensors(file, stage.tensors(), state)
        _save_epoch(paths, stage, epochs + unit)
    progress.unit(stage.name, stage.units(), stage.units(), seconds)


def _save_epoch(paths: RunPaths, stage: Stage, number: int) -> None:
    if isinstance(stage, WritesEpochs):
        write_epoch(paths, number, stage.epoch_files)


def _count_finished(paths: RunPaths, name: str, progress: Progress) -> None:
    """Let the estimate know what earlier jobs did."""
    file = paths.stage(name)
    if file.is_file():
        header = read_header(file)
        done = header.get("finished", 0) / max(header.get("units", 1), 1)
        progress.done_before(name, done, header.get("seconds", 0.0))


def _too_little_memory(run: Run) -> str:
    return (
        f"The device has too little memory: lower refine.batch (now {run.config.refine.batch}) in "
        f"{run.paths.config} and train again, or make a new run with a smaller data.box."
    )
