"""Work that takes time, off the GUI thread: one task at a time, answered by a signal."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QObject, Signal

Report = Callable[[int, int], None]

# What engine code raises on bad input, a full disk or a missing optional package. Anything else is
# a bug of ours and goes to threading.excepthook, where napari shows it with its traceback.
EXPECTED = (ValueError, OSError, ImportError, MemoryError, RuntimeError)


LAST_WAIT_S = 5.0

_running: set[tuple[threading.Thread, Callable[[], None]]] = set()


class Cancelled(Exception):
    """Raised inside a task, at its next report, after `Task.cancel`."""


class Task(QObject):
    """Runs one function at a time on a daemon thread.

    Attributes
    ----------
    returned
        What the function returned.
    failed
        One sentence, when it raised an expected error.
    progressed
        ``(done, of)`` as the function reports it.
    ended
        After any of the above, and after a cancel; a new function may start now.
    """

    returned = Signal(object)
    failed = Signal(str)
    progressed = Signal(int, int)
    ended = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: threading.Thread | None = None
        self._cancel = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether a function is running."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, function: Callable[[Report], Any]) -> None:
        """Run ``function(report)``.

        The function calls ``report(done, of)`` when it can, which is where it may be cancelled.

        Raises
        ------
        RuntimeError
            While another function runs.
        """
        if self.busy:
            raise RuntimeError("The last task is still running: wait or cancel it.")
        self._cancel.clear()
        thread = threading.Thread(target=self._run, args=(function,), daemon=True)
        self._thread = thread
        end_before_exit(thread, self._cancel.set)
        thread.start()

    def cancel(self) -> None:
        """Ask the running function to end at its next report."""
        self._cancel.set()

    def _run(self, function: Callable[[Report], Any]) -> None:
        # A closed panel deletes this object while its thread still runs: nobody listens any more.
        with suppress(Cancelled):
            try:
                answer = function(self._report)
            except EXPECTED as error:
                self._tell("failed", one_sentence(error))
            else:
                self._tell("returned", answer)
            finally:
                self._thread = None
                self._tell("ended")

    def _report(self, done: int, of: int) -> None:
        if self._cancel.is_set():
            raise Cancelled
        self._tell("progressed", done, of)

    def _tell(self, signal: str, *values: Any) -> None:
        with suppress(RuntimeError):  # Qt: the C++ object behind the signal is gone
            getattr(self, signal).emit(*values)


def end_before_exit(thread: threading.Thread, ask: Callable[[], None]) -> None:
    """Have a thread asked to end, and awaited for a while, before the process ends.

    Threads of torch abort a process that goes away under them.
    """
    _running.difference_update([one for one in _running if not one[0].is_alive()])
    _running.add((thread, ask))


@atexit.register
def _end_all() -> None:
    running = list(_running)
    for _, ask in running:
        ask()
    for thread, _ in running:
        if thread.is_alive():
            thread.join(LAST_WAIT_S)


def one_sentence(error: BaseException) -> str:
    """The message without line breaks; the kind of error where there is no message."""
    return " ".join(str(error).split()) or type(error).__name__
