"""The Evidence panel: a map of chosen particles themselves, compared with the decoded one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.gui.background import Task
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.docking import Scrolled
from napari_cryodeco.gui.editors import PathEditor
from napari_cryodeco.gui.evidence_choice import Asked, Source, asked_for, judge_asked, save_verdict
from napari_cryodeco.gui.evidence_view import EvidenceView
from napari_cryodeco.gui.export_choice import suggest_target
from napari_cryodeco.gui.layers import map_view_of, particles_view_of
from napari_cryodeco.gui.session import session_of
from napari_cryodeco.gui.task_row import TaskRow
from napari_cryodeco.gui.telling import explain, readable

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.explore.evidence import Verdict

NO_RUN = (
    "Open a run in the Explorer first and choose particles there. Here a map is made of their "
    "images, and the decoded map is compared with it."
)


class EvidencePanel(QWidget):
    """Choice above, result below; both maps appear in the viewer, at the same level."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._session = session_of(viewer)
        self._decoded, self._particles = map_view_of(viewer), particles_view_of(viewer)
        self._task = Task(self)
        self._run_path: Path | None = None
        self._suggested: Path | None = None
        self._verdict: Verdict | None = None
        self.source = QComboBox()
        self.labels = QLineEdit()
        self.count = QSpinBox()
        self.sentence = QLabel(NO_RUN)
        self.start = QPushButton("Reconstruct from particles")
        self.work = TaskRow(self._task, "particles put back")
        self.view = EvidenceView()
        self.folder = PathEditor(True, "new folder for the maps", save=True)
        self.save = QPushButton("Save")
        self._lay_out()
        self._explain()
        self._connect()
        self._run_opened()

    # ---- set-up

    def _lay_out(self) -> None:
        self.source.addItems([source.value for source in Source])
        self.labels.setPlaceholderText("1,3")
        self.count.setRange(20, 100_000)
        self.count.setSingleStep(100)
        self.count.setValue(500)
        readable(self.sentence)
        self._names = {self.labels: QLabel("Clusters"), self.count: QLabel("How many")}
        rows = QFormLayout()
        rows.addRow("Particles", self.source)
        for widget, name in self._names.items():
            rows.addRow(name, widget)
        saving = QHBoxLayout()
        saving.addWidget(self.folder, 1)
        saving.addWidget(self.save)
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(4)
        column.addLayout(rows)
        column.addWidget(self.sentence)
        column.addWidget(self.start)
        column.addWidget(self.work)
        column.addWidget(self.view, 1)
        column.addLayout(saving)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(Scrolled(page))

    def _explain(self) -> None:
        hints: dict[QWidget, str] = {
            self.source: "Which particles are put back into a map",
            self.labels: "Numbers of the clusters, from 1, separated by commas",
            self.count: "How many particles about the cursor in z; the nearer count the more",
            self.start: "Put the images back at the poses of the run, CTF-corrected, in two halves;"
            " compare the map decoded at their mean z with what they show",
            self.folder: "A new folder; nothing is overwritten",
            self.save: "Write map.mrc, half_map_1.mrc, half_map_2.mrc and decoded.mrc (voxel size "
            "in Å), fsc.json, and rows.txt (row numbers from 0)",
        }
        explain(hints)

    def _connect(self) -> None:
        session = self._session
        bind(
            self,
            (session.opened, self._run_opened),
            (session.selection_changed, self._refresh),
            (session.clustering_changed, self._refresh),
            (session.cursor_changed, self._refresh),
        )
        self.source.currentTextChanged.connect(self._refresh)
        self.labels.textChanged.connect(self._refresh)
        self.count.valueChanged.connect(self._refresh)
        self.folder.changed.connect(self._refresh)
        self.start.clicked.connect(self._reconstruct)
        self.save.clicked.connect(self._save)
        self._task.returned.connect(self._done)
        self._task.ended.connect(self._refresh)

    # ---- the state of the widgets

    def _run_opened(self, *_: object) -> None:
        """Forget what was found in another run; a newer epoch of the same run leaves it."""
        run = self._session.run
        if run is not None and run.path != self._run_path:
            self._run_path = run.path
            self._task.cancel()
            self._verdict = None
            self.view.clear()
            self.work.say("")
            self.folder.show_value(None)
            self._suggest()
        self._refresh()

    def _suggest(self) -> None:
        """Offer a free name, until the user has typed one."""
        if self._run_path is not None and self.folder.value() in (None, self._suggested):
            self._suggested = suggest_target(self._run_path / "export", "evidence", "")
            self.folder.show_value(self._suggested)

    def _asked(self) -> Asked:
        if self._session.snapshot is None:
            raise ValueError(NO_RUN)
        source = Source(self.source.currentText())
        return asked_for(self._session, source, self.labels.text(), self.count.value())

    def _refresh(self, *_: object) -> None:
        source, free = Source(self.source.currentText()), not self._task.busy
        used = {self.labels: Source.CLUSTERS, self.count: Source.NEIGHBOURS}
        for widget, name in self._names.items():
            widget.setVisible(source is used[widget])
            name.setVisible(source is used[widget])
        named = self.folder.value() is not None
        self.save.setEnabled(self._verdict is not None and named and free)
        try:
            asked = self._asked()
        except ValueError as error:
            self.sentence.setText(str(error))
            self.start.setEnabled(False)
            return
        of = len(self._session.loaded().latents)
        self.sentence.setText(f"{asked.count:,} of {of:,} particles: {asked.source}.")
        self.start.setEnabled(free)

    # ---- the work

    def _reconstruct(self) -> None:
        work = partial(judge_asked, self._session.loaded(), self._asked())
        self._verdict = None
        self.view.clear()
        self.work.say("Reading the images…")
        self.work.start(work)
        self._refresh()

    def _save(self) -> None:
        folder = self.folder.value()
        if self._verdict is not None and folder is not None:
            self.work.start(partial(save_verdict, self._verdict, folder))
            self._refresh()

    def _done(self, answer: Verdict | str) -> None:
        if isinstance(answer, str):
            self.work.say(answer)
            self._suggest()
            return
        self._verdict = answer
        self.work.say("")
        self.view.show_verdict(answer)
        if answer.decoded is not None:
            self._decoded.show(answer.decoded)
        self._particles.show(answer.particles.whole)
