"""The loop of a pretraining: resumable to the bit, limited by steps or time, in any processes.

The random numbers of a step come from (seed, step, rank), so a training that was killed and resumed
equals one that was not.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from napari_cryodeco.atomic import sweep
from napari_cryodeco.pretrain_config import PretrainConfig
from napari_cryodeco.runs.lock import RunLock
from napari_cryodeco.runs.pretraining import PretrainPaths, check_settings, write_settings
from napari_cryodeco.runs.progress import Progress, Status
from napari_cryodeco.train import distributed
from napari_cryodeco.train.device import choose_device, memory_advice, numerics
from napari_cryodeco.train.objective import Make
from napari_cryodeco.train.objectives import make_objective
from napari_cryodeco.train.pretrain_report import Report, SilentReport
from napari_cryodeco.train.pretrain_state import PretrainState
from napari_cryodeco.train.probe import ProbeSet, knn, read_probe
from napari_cryodeco.train.stopping import StopRequest

Limit = Literal["steps", "minutes", "stop"]


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    `limit` says what ended it; `step` of `steps` are done in `seconds` of all calls; `scores` are
    the shares 0…1 of right neighbours in each probe set; `finished`: the schedule has run out.
    """

    limit: Limit
    finished: bool
    step: int
    steps: int
    seconds: float
    scores: dict[str, float]


def pretrain(
    out: Path | str,
    config: PretrainConfig,
    listener: Callable[[Status], None] | None = None,
    make: Make = make_objective,
) -> Outcome:
    """Pretrain an encoder in `out`, or go on where an earlier call ended or was killed.

    Parameters
    ----------
    out
        Folder: new, empty, or of an earlier call with the same settings.
    config
        Settings; limits may differ from those of the earlier call.
    listener
        Called with each new status.
    make
        Makes the objective.

    Returns
    -------
    Outcome
        What ended it, and the scores.

    Raises
    ------
    ValueError
        If `out` holds something else, an input is wrong, the loss is no longer finite, or the
        device has too little memory.
    """
    paths = PretrainPaths(Path(out))
    device = distributed.own_device(choose_device(config.device))
    distributed.local(config.batch)
    with ExitStack() as stack:
        stack.enter_context(distributed.joined(device))
        stack.enter_context(numerics(config.threads, config.deterministic, device))
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        stack.enter_context(memory_advice(_too_little_memory(config)))
        check_settings(paths.root, config)
        probes = [read_probe(folder) for folder in config.probe]
        state = PretrainState(config, device, make)  # a wrong input ends here and leaves nothing
        report = _report(paths, config, listener, stack)
        if paths.state.is_file():
            state.load(paths.state)
        stop = stack.enter_context(StopRequest(paths.stop))
        return _Loop(paths, config, state, probes, report, stop).run()


def _report(
    paths: PretrainPaths,
    config: PretrainConfig,
    listener: Callable[[Status], None] | None,
    stack: ExitStack,
) -> Report | SilentReport:
    """Take hold of the folder, in the first process, and write the settings."""
    if distributed.rank() != 0:
        return SilentReport()
    paths.root.mkdir(parents=True, exist_ok=True)
    lock = stack.enter_context(RunLock(paths.root))
    sweep(paths.root)
    paths.stop.unlink(missing_ok=True)  # an old request
    write_settings(paths.root, config)
    return Report(stack.enter_context(Progress(paths.root, listener)), lock, config.batch)


class _Loop:
    def __init__(
        self,
        paths: PretrainPaths,
        config: PretrainConfig,
        state: PretrainState,
        probes: list[ProbeSet],
        report: Report | SilentReport,
        stop: StopRequest,
    ) -> None:
        self._paths, self._config = paths, config
        self._state, self._probes, self._report, self._stop = state, probes, report, stop
        self._first = distributed.rank() == 0
        self._before, self._begun = self._state.seconds, self._state.step

    def run(self) -> Outcome:
        state, config = self._state, self._config
        self._report.begin(state.seconds)
        saved = state.seconds
        while (limit := self._limit()) is None:
            loss = state.advance()
            self._report.step(state.step, self._last_step(), loss, state.rate)
            if state.step % config.probe_every == 0:
                self._probe()
            if state.seconds - saved >= 60 * config.save_minutes:
                self._save(draft=True)
                saved = state.seconds
        if self._probes and state.step % config.probe_every:
            self._probe()
        self._save(draft=False)
        finished = limit == "steps" or (limit == "minutes" and config.anneal)
        self._report.end(finished)
        return Outcome(limit, finished, state.step, config.steps, state.seconds, state.scores)

    def _limit(self) -> Limit | None:
        """Ask rank 0 whether this is the end; all processes hear the same time."""
        state, config = self._state, self._config
        asked, seconds = distributed.from_first([float(self._stop.asked()), self._report.seconds()])
        state.seconds = seconds
        spent = seconds if config.anneal else seconds - self._before
        if state.step >= config.steps:
            return "steps"
        if config.minutes is not None and spent >= 60 * config.minutes:
            return "minutes"
        return "stop" if asked else None

    def _last_step(self) -> int:
        """Where this call will end, as far as can be seen: for the estimate of its time."""
        state, minutes = self._state, self._config.minutes
        if minutes is None or self._config.anneal:
            return state.steps
        spent = (state.seconds - self._before) / (60 * minutes)
        if not 0 < spent < 1:
            return state.steps
        return min(state.steps, self._begun + round((state.step - self._begun) / spent))

    def _probe(self) -> None:
        if not self._first:
            return
        state = self._state
        with self._report.resting(), state.average.inside(state.objective.module):
            for probe in self._probes:
                score = knn(state.objective.embed(probe), probe.labels)
                state.scores[probe.name] = score
                self._report.metric(f"knn/{probe.name}", score)

    def _save(self, draft: bool) -> None:
        if not self._first:
            return
        self._report.check(self._state.step)
        with self._report.resting():
            self._state.save(self._paths.state)
            self._state.export(self._paths.prior, draft)


def _too_little_memory(config: PretrainConfig) -> str:
    return (
        f"The device has too little memory for a batch of {config.batch}: begin in a new folder "
        "with a smaller --batch, or share it by torchrun."
    )
