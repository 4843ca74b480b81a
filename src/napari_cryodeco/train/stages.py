"""What a step of a reconstruction is: a resumable sequence of units.

The random numbers of a unit come from :func:`generator`, so no random state has to be kept, and a
run that was killed and resumed equals one that was not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


class StopRequested(Exception):
    """The user asked the run to stop; what is finished is saved."""


class Reporter(Protocol):
    """What a stage may say while it works."""

    def step(self, step: int, steps: int, message: str = "") -> None:
        """Tell that `step` of `steps` of this unit are done; may raise StopRequested."""

    def metric(self, name: str, value: float) -> None:
        """Record one number: a loss, a resolution in Å, a share."""

    def check_stop(self) -> None:
        """Raise StopRequested if the user asked for it."""

    def alone(self) -> AbstractContextManager[Reporter | None]:
        """Let the first process alone do something, with a reporter of its own.

        The others get None, when it is done: it may report as often as it likes.
        """


class Silent:
    """A reporter that says nothing and never stops."""

    def step(self, step: int, steps: int, message: str = "") -> None:
        """Ignore the step."""

    def metric(self, name: str, value: float) -> None:
        """Ignore the number."""

    def check_stop(self) -> None:
        """Go on."""

    def alone(self) -> AbstractContextManager[Reporter | None]:
        """Go on saying nothing."""
        return nullcontext(self)


class Stage(Protocol):
    """A resumable sequence of units; the state after each unit is a dict of tensors."""

    name: str

    def units(self) -> int:
        """Count the units, known once :meth:`load` has been called; fewer if it ends early."""

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Take up the state after the last finished unit; None: begin."""

    def advance(self, unit: int, report: Reporter) -> None:
        """Do one unit, counted from 0."""

    def tensors(self) -> dict[str, Tensor]:
        """Give the whole state after the last unit."""


@runtime_checkable
class WritesEpochs(Protocol):
    """A stage of which each unit is an epoch for the explorer."""

    def epoch_files(self, folder: Path) -> None:
        """Write the files of the epoch just finished into `folder`."""


Finished = dict[str, Stage]
"""The stages that are done, by name: later ones read their results."""


@dataclass(frozen=True)
class Step:
    """One stage to come: its name, its expected share of the time, and what makes it.

    `shared`: of several processes all do each unit, every one its part of the particles; all call
    ``report.step`` equally often. Otherwise the first works alone.
    """

    name: str
    weight: float
    make: Callable[[Finished], Stage]
    shared: bool = False


def generator(seed: int, stage: str, unit: int, device: str = "cpu") -> torch.Generator:
    """Make the random numbers of one unit: the same for the same seed, stage and unit."""
    digest = hashlib.sha256(f"{seed}/{stage}/{unit}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)
