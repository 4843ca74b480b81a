"""Is it real: the health card of what is to be exported, stability of clusters, core particles."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.gui.background import Task
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.health_view import HealthView
from napari_cryodeco.gui.judging import (
    TRIALS,
    Sureness,
    colouring_by,
    judge_group,
    keep_core,
    try_clusters_again,
)
from napari_cryodeco.gui.session import Session
from napari_cryodeco.gui.task_row import TaskRow
from napari_cryodeco.gui.telling import attempt, explain
from napari_cryodeco.gui.wheel import leave_wheel_to_page

if TYPE_CHECKING:
    from napari_cryodeco.explore.alarm import Finding
    from napari_cryodeco.explore.figure import Group
    from napari_cryodeco.explore.health import HealthCard

EMPTY = "Choose one group of particles above; Judge tells what speaks against it."
CHANGED = "The particles chosen are others now: press Judge again."


class JudgeView(QWidget):
    """Judges when asked, on a worker thread; a card is kept until the particles chosen change.

    Parameters
    ----------
    session
        Of the viewer.
    asked
        The one group that is meant now; raises ValueError where none is.
    """

    judged = Signal(object)  # HealthCard, or None once it holds no more

    def __init__(self, session: Session, asked: Callable[[], Group]) -> None:
        super().__init__()
        self._session, self._asked = session, asked
        self._task, self._trying, self._reading = Task(self), Task(self), Task(self)
        self._group: Group | None = None
        self._of: tuple[Path, int] | None = None  # run and epoch that were judged
        self.card: HealthCard | None = None
        self.sentence = QLabel(EMPTY)
        self.judge = QPushButton("Judge this selection")
        self.work = TaskRow(self._task, "columns compared")
        self.view = HealthView()
        self.again = QPushButton("Stability of the clusters")
        self.trials = TaskRow(self._trying, "trials")
        self.sureness, self.threshold = QComboBox(), QDoubleSpinBox()
        self.keep = QPushButton("Keep core particles")
        self.told = QLabel()
        self._lay_out()
        self._connect()
        self.refresh()

    def _lay_out(self) -> None:
        self.sureness.addItems([str(name) for name in Sureness])
        self.threshold.setRange(0.05, 1.0)
        self.threshold.setSingleStep(0.05)
        self.threshold.setDecimals(2)
        self.threshold.setValue(0.9)
        self.threshold.setPrefix("≥ ")
        leave_wheel_to_page(self.sureness)
        leave_wheel_to_page(self.threshold)
        for label in (self.sentence, self.told):
            label.setWordWrap(True)
        self.told.hide()
        hints: dict[QWidget, str] = {
            self.judge: "Compare it with the rest in every condition of imaging; count, views (%), "
            "defocus (µm), ceiling of resolution (Å): go, careful or no-go, with the reasons",
            self.again: f"Make the clusters again {TRIALS} times, from other seeds and four fifths "
            "of the particles: the Jaccard index (0 to 1) tells whether each comes back",
            self.sureness: "posterior: how surely a particle is of its cluster (0 to 1); "
            "confidence: the mean of that over the trials of Stability",
            self.threshold: "Smallest posterior or confidence that is kept, 0 to 1",
            self.keep: "Keep of the selection only particles that are surely of their cluster; "
            "where nothing is selected, of all particles. A step of the history, and undone as one",
        }
        explain(hints)
        core = QHBoxLayout()
        core.addWidget(self.sureness, 1)
        core.addWidget(self.threshold)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 0, 0, 4)
        column.setSpacing(4)
        for widget in (self.sentence, self.judge, self.work, self.view, self.again, self.trials):
            column.addWidget(widget)
        column.addLayout(core)
        column.addWidget(self.keep)
        column.addWidget(self.told)

    def _connect(self) -> None:
        self.judge.clicked.connect(self._judge)
        self.again.clicked.connect(self._try_again)
        self.keep.clicked.connect(self._keep)
        self.view.finding_chosen.connect(self._colour)
        self._task.returned.connect(self._take_card)
        self._trying.returned.connect(self._take_stability)
        self._reading.returned.connect(self._take_colouring)
        self._reading.failed.connect(self._tell)
        for task in (self._task, self._trying):
            task.ended.connect(self.refresh)
        session = self._session
        bind(
            self, (session.clustering_changed, self._forget_trials), (session.opened, self.refresh)
        )

    # ---- the state of the widgets

    def refresh(self, *_: object) -> None:
        """Look again at what is chosen; a card of something else goes."""
        try:
            group, why = self._asked(), ""
        except ValueError as error:
            group, why = None, str(error)
        same = group is not None and self._is_of(group)
        if self.card is not None and not same:
            self.card = None
            self.view.hide()
            self.judged.emit(None)
            why = why or CHANGED
        self.judge.setEnabled(group is not None and not self._task.busy)
        self.sentence.setText(why or ("" if same or group is None else _counted(group)))
        self.sentence.setVisible(bool(self.sentence.text()))
        clustered = self._session.clustering is not None
        self.again.setEnabled(clustered and not self._trying.busy)
        for widget in (self.sureness, self.threshold, self.keep):
            widget.setEnabled(clustered)

    def _is_of(self, group: Group) -> bool:
        """Whether the card is of these particles, in this epoch."""
        known = self._group
        return (
            self.card is not None
            and known is not None
            and self._of == self._shown()
            and np.array_equal(known.rows, group.rows)
        )

    def _shown(self) -> tuple[Path, int]:
        snapshot = self._session.loaded()
        return snapshot.run.path, snapshot.epoch

    def _forget_trials(self) -> None:
        if not self._trying.busy:
            self.trials.say("")
        self.refresh()

    def _tell(self, sentence: str) -> None:
        self.told.setText(sentence)
        self.told.setVisible(bool(sentence))

    # ---- the work

    def _judge(self) -> None:
        self._group, self._of = self._asked(), self._shown()
        self.card = None
        self.view.hide()
        self.work.say("Comparing with the rest…")
        self.work.start(partial(judge_group, self._session.loaded(), self._group))
        self.refresh()

    def _take_card(self, card: HealthCard) -> None:
        self.card = card
        self.work.say("")
        self.view.show_card(card)
        self.judged.emit(card)

    def _colour(self, place: int) -> None:
        if self.card is None or self.card.alarm is None or self._reading.busy:
            return
        finding: Finding = self.card.alarm.findings[place]
        self._tell("")
        self._reading.start(partial(colouring_by, self._session.loaded(), finding))

    def _take_colouring(self, colouring: Any) -> None:
        self._session.set_colouring(colouring)

    def _try_again(self) -> None:
        self.trials.say("Making the clusters again…")
        self.trials.start(partial(try_clusters_again, self._session.loaded()))
        self.refresh()

    def _take_stability(self, found: Any) -> None:
        now = self._session.clustering
        if now is not None and np.array_equal(now.labels, found.labels):
            self._session.clustering_changed.emit()  # there is one more column
            self.trials.say("\n".join(found.sentences()))

    def _keep(self) -> None:
        said: list[str] = []
        sureness = Sureness(self.sureness.currentText())

        def work() -> None:
            said.append(keep_core(self._session, sureness, self.threshold.value()))

        if attempt(work, self._tell):
            self._tell(said[0])


def _counted(group: Group) -> str:
    return f"{group.name}: {len(group.rows):,} particles, not judged yet."
