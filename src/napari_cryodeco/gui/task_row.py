"""A task of a panel while it runs: a bar, the time left, Cancel, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from napari.utils.notifications import show_error
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_cryodeco.gui.background import Report, Task
from napari_cryodeco.gui.telling import readable
from napari_cryodeco.runs.estimate import Estimate
from napari_cryodeco.terminal import duration


class TaskRow(QWidget):
    """Takes no room while nothing runs and nothing is to be said.

    Parameters
    ----------
    task
        What it runs.
    counted
        What the steps of the task are, e.g. ``"particles put back"``.
    """

    def __init__(self, task: Task, counted: str) -> None:
        super().__init__()
        self._task, self._counted = task, counted
        self._begun, self._estimate, self._cancelled = 0.0, Estimate({"": 1.0}), False
        self.bar = QProgressBar()
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop; what is in the viewer stays as it is")
        self.message = QLabel()
        readable(self.message)
        row = QHBoxLayout()
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.message)
        self.cancel.clicked.connect(self._cancel)
        task.progressed.connect(self._progressed)
        task.failed.connect(self._failed)
        task.ended.connect(self._ended)
        self._ended()
        self.say("")

    def start(self, work: Callable[[Report], Any]) -> None:
        """Run ``work(report)``."""
        self._begun, self._estimate, self._cancelled = time.monotonic(), Estimate({"": 1.0}), False
        self.bar.setRange(0, 0)
        self.bar.show()
        self.cancel.show()
        self._task.start(work)

    def say(self, sentence: str) -> None:
        """Show a sentence, or none."""
        self.message.setText(sentence)
        self.message.setVisible(bool(sentence))

    def _progressed(self, done: int, of: int) -> None:
        if self._cancelled:
            return  # told before the work heard of it
        self.bar.setRange(0, of)
        self.bar.setValue(done)
        self._estimate.observe("", done / max(of, 1), time.monotonic() - self._begun)
        left = duration(self._estimate.remaining()) if done < of else "nearly done"
        self.say(f"{done:,} of {of:,} {self._counted}, {left}.")

    def _cancel(self) -> None:
        self._cancelled = True
        self._task.cancel()
        self.say("Cancelled.")

    def _failed(self, sentence: str) -> None:
        self.say(sentence)
        show_error(sentence)

    def _ended(self) -> None:
        self.bar.hide()
        self.cancel.hide()
