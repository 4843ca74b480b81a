"""Work off the GUI thread of which only the newest counts: what is asked meanwhile goes before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_cryodeco.gui.background import EXPECTED, Report, Task, one_sentence

Work = Callable[[Report], Any]


@dataclass(frozen=True, eq=False)
class _Answer:
    """What the function asked for as `number` returned, or the sentence of its error."""

    number: int
    value: Any = None
    error: str = ""


class Latest(QObject):
    """Runs the function asked for last, as soon as the one before it has ended.

    Attributes
    ----------
    returned
        What the newest function returned; answers and errors of older ones, and of forgotten ones,
        are dropped.
    failed
        One sentence, when it raised an expected error.
    progressed
        ``(done, of)`` as the function that runs reports it.
    """

    returned = Signal(object)
    failed = Signal(str)
    progressed = Signal(int, int)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._task = Task(self)
        self._asked = 0
        self._next: Work | None = None
        self._task.returned.connect(self._take)
        self._task.progressed.connect(self.progressed)
        self._task.ended.connect(self._go_on)

    @property
    def busy(self) -> bool:
        """Whether something runs or waits."""
        return self._next is not None or self._task.busy

    def ask(self, work: Work) -> None:
        """Run ``work(report)`` next; what runs now is told to end at its next report."""
        self._asked += 1
        self._next = work
        self._task.cancel()
        self._go_on()

    def forget(self) -> None:
        """Want nothing any more."""
        self._asked += 1
        self._next = None
        self._task.cancel()

    def _go_on(self) -> None:
        if self._next is not None and not self._task.busy:
            work, self._next, number = self._next, None, self._asked
            self._task.start(lambda report: _answered(number, work, report))

    def _take(self, answer: _Answer) -> None:
        if answer.number != self._asked:
            return
        if answer.error:
            self.failed.emit(answer.error)
        else:
            self.returned.emit(answer.value)


def _answered(number: int, work: Work, report: Report) -> _Answer:
    try:
        return _Answer(number, work(report))
    except EXPECTED as error:
        return _Answer(number, error=one_sentence(error))
