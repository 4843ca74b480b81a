"""What a pretraining tells: its status, and its numbers every few seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from napari_cryodeco.runs.lock import RunLock
from napari_cryodeco.runs.progress import Progress

STAGE = "pretrain"
_TELL_EVERY = 5.0  # seconds; the loss leaves the device only then, so that steps can queue


class SilentReport:
    """What processes other than the first say: nothing."""

    def begin(self, seconds: float) -> None:
        """Ignore the start."""

    def seconds(self) -> float:
        """No time: rank 0's counts."""
        return 0.0

    def step(self, step: int, steps: int, loss: Tensor, rate: float) -> None:
        """Ignore the step."""

    def metric(self, name: str, value: float) -> None:
        """Ignore the number."""

    def resting(self) -> AbstractContextManager[None]:
        """Ignore the pause."""
        return nullcontext()

    def check(self, step: int) -> None:
        """Trust rank 0."""

    def end(self, finished: bool) -> None:
        """Ignore the end."""


class Report:
    """Writes the status and the numbers of a pretraining.

    Parameters
    ----------
    progress
        Where to.
    lock
        The hold on the folder, checked before each save.
    batch
        Images per step.
    """

    def __init__(self, progress: Progress, lock: RunLock, batch: int) -> None:
        self._progress, self._lock, self._batch = progress, lock, batch
        self._losses: list[Tensor] = []
        self._told = time.monotonic()

    def begin(self, seconds: float) -> None:
        """Tell that training begins, after `seconds` of earlier calls."""
        self._progress.plan({STAGE: 1.0})
        self._progress.unit(STAGE, 0, 1, seconds)
        self._told = time.monotonic()

    def seconds(self) -> float:
        """Seconds of training, earlier calls included."""
        return self._progress.seconds()

    def step(self, step: int, steps: int, loss: Tensor, rate: float) -> None:
        """Tell that `step` of `steps` are done; now and then also loss, rate and speed."""
        self._losses.append(loss.detach())
        self._progress.step(step, steps)
        if time.monotonic() - self._told >= _TELL_EVERY:
            self._tell(step, rate)

    def metric(self, name: str, value: float) -> None:
        """Record one number."""
        self._progress.metric(name, value)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Leave out of the speed what is done inside the block: a probe, a save."""
        begun = time.monotonic()
        yield
        self._told += time.monotonic() - begun

    def check(self, step: int) -> None:
        """Refuse to save a broken state, or over another process's.

        Raises
        ------
        ValueError
            If the last losses are not finite, or another process took the folder over.
        """
        self._lock.check()
        if self._losses:
            self._tell(step, None)

    def end(self, finished: bool) -> None:
        """Tell how it ended."""
        if finished:
            self._progress.unit(STAGE, 1, 1, self._progress.seconds())
        self._progress.finish("done" if finished else "stopped")

    def _tell(self, step: int, rate: float | None) -> None:
        loss = float(torch.stack(self._losses).float().mean())
        if not math.isfinite(loss):
            raise ValueError(
                f"The loss is {loss} at step {step}: begin in a new folder with a lower --rate; "
                "the last save is whole."
            )
        now = time.monotonic()
        self.metric("loss", loss)
        if rate is not None:
            self.metric("rate", rate)
            self.metric("images/s", len(self._losses) * self._batch / (now - self._told))
        self._losses, self._told = [], now
