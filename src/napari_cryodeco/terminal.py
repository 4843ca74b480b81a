"""What the command line says: a bar with an estimate on a terminal, lines in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from napari_cryodeco.runs.estimate import Estimate
from napari_cryodeco.runs.progress import Status

_LINE_EVERY = 10.0  # seconds between two lines of a log


def say(line: str) -> None:
    """Write one line to standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def complain(line: str) -> None:
    """Write one line to standard error."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def duration(seconds: float | None) -> str:
    """Write a time left as people say it."""
    if seconds is None:
        return "estimating…"
    if seconds < 90:
        return f"{max(round(seconds), 1)} s left"
    if seconds < 5400:
        return f"{round(seconds / 60)} min left"
    return f"{seconds / 3600:.1f} h left"


def describe(status: Status) -> str:
    """Write a status in a few words."""
    if not status.stage:
        return status.message or status.state
    unit = f" {min(status.unit + 1, status.units)}/{status.units}" if status.units > 1 else ""
    return f"{status.stage}{unit}"


class Bar:
    """Progress with an estimate on standard error, to be entered.

    Parameters
    ----------
    title
        What is being done.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task(title, total=1.0, left="")
        self._estimate = Estimate({title: 1.0})
        self._begun = self._told = time.monotonic()

    def __enter__(self) -> Bar:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def count(self, done: int, of: int) -> None:
        """Tell that `done` of `of` equal parts are done."""
        share = done / max(of, 1)
        self._estimate.observe(self._title, share, time.monotonic() - self._begun)
        self.show(self._title, share, self._estimate.remaining())

    def status(self, status: Status) -> None:
        """Show the status of a run."""
        if not status.ended:
            self.show(f"{self._title}: {describe(status)}", status.share, status.eta_s)

    def show(self, text: str, share: float, seconds: float | None) -> None:
        """Show what is done, its share 0…1 and the seconds left (None: not known yet)."""
        if self._console.is_terminal:
            self._progress.update(
                self._task, description=text, completed=share, left=duration(seconds)
            )
        elif time.monotonic() - self._told >= _LINE_EVERY:
            self._told = time.monotonic()
            complain(f"{text}, {share:.0%}, {duration(seconds)}")
