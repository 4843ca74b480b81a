"""Another file of the same particles, un-binned say: chosen, looked up, and the counts of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_cryodeco.gui.background import Report, Task
from napari_cryodeco.gui.editors import PathEditor
from napari_cryodeco.gui.session import Session
from napari_cryodeco.gui.task_row import TaskRow

if TYPE_CHECKING:
    from napari_cryodeco.explore.mapback import MapBack
    from napari_cryodeco.runs.run import Run


class OriginalRow(QWidget):
    """Looks all particles of the run up in a file, once, on a worker thread.

    Which of them are exported may then change; the counts follow at once.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session, self._task = session, Task(self)
        self._asked: tuple[Path, Path] | None = None  # run and file that are being looked up
        self._found: tuple[tuple[Path, Path], MapBack] | None = None
        self.file = PathEditor(
            False, "rows of the run's own file", "Particles (*.star *.cs);;All files (*)"
        )
        self.datadir = PathEditor(True, "folder of its stacks: near the file")
        self.match = QPushButton("Match")
        self.counts = QLabel()
        self.counts.setWordWrap(True)
        self.partial = QCheckBox("leave these out")
        self.work = TaskRow(self._task, "files compared")
        self.file.setToolTip(
            "<qt>Another STAR or .cs file of the same particles, not binned for example: its rows "
            "are written, with all its columns. Leave empty for the run's own file.</qt>"
        )
        self.datadir.setToolTip(
            "<qt>Folder in which the image stacks of that file lie, where they are not near it: "
            "their names in the file are looked for from here. Leave empty where they are.</qt>"
        )
        self.match.setToolTip(
            "<qt>Look the particles up in that file: by uid, else by the name of the image, else "
            "by micrograph and coordinates within one pixel of the micrograph</qt>"
        )
        self.partial.setToolTip(
            "<qt>Write although particles are unmatched or ambiguous; only those with a certain "
            "row are written</qt>"
        )
        row = QHBoxLayout()
        row.addWidget(self.file, 1)
        row.addWidget(self.match)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(row)
        for widget in (self.datadir, self.work, self.counts, self.partial):
            column.addWidget(widget)
        self.file.changed.connect(self._file_changed)
        self.datadir.changed.connect(self.changed)
        self.match.clicked.connect(self.look_up)
        self.partial.toggled.connect(self.changed)
        self._task.returned.connect(self._take)
        self._task.ended.connect(self._ended)
        self.show_counts(None)
        self._file_changed()

    @property
    def mapped(self) -> MapBack | None:
        """Where the particles lie in the file chosen, once that is known."""
        if self._found is None or self._found[0] != self._wanted():
            return None
        return self._found[1]

    def show_counts(self, rows: np.ndarray | None) -> None:
        """Say how many of these rows were found, and offer to leave the others out."""
        mapped = self.mapped
        incomplete = False
        if mapped is None or rows is None:
            self.counts.hide()
        else:
            some = mapped.only(rows)
            by = ", ".join(f"{count:,} by {kind}" for kind, count in mapped.by if count)
            self.counts.setText(
                f"{some.matched:,} matched, {some.unmatched:,} unmatched, "
                f"{int(some.ambiguous.sum()):,} ambiguous of {len(some.rows):,} particles"
                f"{f' (all particles of the run: {by})' if by else ''}"
            )
            self.counts.show()
            incomplete = not some.complete and some.matched > 0
        self.partial.setVisible(incomplete)
        if not incomplete:
            self.partial.setChecked(False)

    def look_up(self) -> None:
        """Match the particles of the run with the rows of the file."""
        wanted = self._wanted()
        if wanted is None or self._task.busy:
            return
        self._asked = wanted
        self.work.say("Reading both files…")
        self.work.start(partial(_look_up, self._session.loaded().run, wanted[1]))
        self.match.setEnabled(False)

    def _wanted(self) -> tuple[Path, Path] | None:
        file, run = self.file.value(), self._session.run
        return None if file is None or run is None else (run.path, file)

    def _file_changed(self) -> None:
        self.match.setEnabled(self._wanted() is not None and not self._task.busy)
        self.partial.setChecked(False)
        self.datadir.setVisible(self.file.value() is not None)
        self.work.say("")
        self.changed.emit()

    def _take(self, mapped: MapBack) -> None:
        self.work.say("")
        if self._asked is not None:
            self._found = self._asked, mapped

    def _ended(self) -> None:
        self.match.setEnabled(self._wanted() is not None)
        self.changed.emit()


def _look_up(run: Run, original: Path, report: Report) -> MapBack:
    from napari_cryodeco.explore.mapback import map_back  # torch

    report(0, 1)
    found = map_back(run, np.arange(len(run.particles)), original)
    report(1, 1)  # who cancelled meanwhile does not want it
    return found
