"""Another chance for one species: its number, and a button, beside the report on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSpinBox, QVBoxLayout, QWidget

from napari_cryodeco.gui.background import Report, Task
from napari_cryodeco.gui.telling import readable
from napari_cryodeco.runs.species import SpeciesRecord

if TYPE_CHECKING:
    from napari_cryodeco.train.again import Retried

STARTS = 12


class SpeciesRetry(QWidget):
    """Offers nothing until a run that has ended knows its species.

    Attributes
    ----------
    made
        Folder of the new run, where a better map was found.
    failed
        Why it could not be tried.
    """

    made = Signal(object)
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._run: Path | None = None
        self._task = Task(self)
        self.species = QSpinBox()
        self.species.setPrefix("species ")
        self.species.setToolTip("Number of the species, as the report counts them, from 1.")
        self.button = QPushButton("Try again")
        self.button.setToolTip(
            f"<qt>Look for a better map of this species: up to {STARTS} random starts from its "
            "particles, judged on particles left out. Only a better one makes a new run beside "
            "this one, which stays as it is. Minutes; press again to stop.</qt>"
        )
        self.answer = QLabel()
        readable(self.answer)
        self.answer.hide()
        self.choice = QWidget()
        row = QHBoxLayout(self.choice)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Another map for"))
        row.addWidget(self.species)
        row.addWidget(self.button)
        row.addStretch()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.choice)
        column.addWidget(self.answer)
        self.button.clicked.connect(self._clicked)
        self._task.returned.connect(self._returned)
        self._task.failed.connect(self._failed)
        self._task.ended.connect(self._ended)
        self.choice.hide()

    def offer(self, run: Path | None, records: Sequence[SpeciesRecord]) -> None:
        """Offer the species of a run; the first that is in doubt, where the run is another."""
        if run != self._run:
            self._task.cancel()
            if records:
                self.tell("")
            self.species.setRange(1, max(1, len(records)))
            doubtful = [n for n, one in enumerate(records, 1) if not one.sound]
            self.species.setValue(doubtful[0] if doubtful else 1)
        self._run = run if records else None
        self.choice.setVisible(self._run is not None)

    def tell(self, sentence: str) -> None:
        """Say how it stands, or what came of it."""
        self.answer.setText(sentence)
        self.answer.setVisible(bool(sentence))

    def _clicked(self) -> None:
        if self._task.busy:
            self._task.cancel()
            return
        run, number = self._run, self.species.value()
        assert run is not None

        def work(report: Report) -> Retried:
            from napari_cryodeco.runs.run import Run  # torch: on a worker thread only
            from napari_cryodeco.train.again import (
                Again,
                another_seed,
                default_place,
                retry_species,
            )

            asked = Again(number - 1, STARTS, another_seed(Run.open(run).config.seed))
            return retry_species(run, asked, default_place(run, number), lambda: report(0, 1))

        self.tell(f"Species {number} of {run.name}: up to {STARTS} starts from nothing…")
        self._task.start(work)
        self.button.setText("Stop")

    def _returned(self, found: Retried) -> None:
        self.tell(found.sentence)
        if found.made is not None:
            self.made.emit(found.made)

    def _ended(self) -> None:
        self.button.setText("Try again")
        if self.answer.text().endswith("…"):  # cancelled
            self.tell("")

    def _failed(self, sentence: str) -> None:
        self.tell("")
        self.failed.emit(sentence)
