"""Work off the GUI thread of which only the newest counts: what is asked meanwhile goes before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_cryodeco.gui.background import Report, Task

Work = Callable[[Report], Any]


class Latest(QObject):
    """Runs the function asked for last, as soon as the one before it has ended.

    Attributes
    ----------
    returned
        What the newest function returned; answers of older ones are dropped.
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
        self._task.failed.connect(self._fail)
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
            self._task.start(lambda report: (number, work(report)))

    def _take(self, answer: tuple[int, Any]) -> None:
        if answer[0] == self._asked:
            self.returned.emit(answer[1])

    def _fail(self, sentence: str) -> None:
        if self._next is None:
            self.failed.emit(sentence)
