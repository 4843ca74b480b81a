"""The Export panel: choose particles, ask whether they are real, see the dry run, write."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.gui.background import Task
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.camera import camera_view
from napari_cryodeco.gui.docking import Scrolled
from napari_cryodeco.gui.editors import Fold, PathEditor, narrow
from napari_cryodeco.gui.export_choice import (
    FORMATS,
    STAR,
    Format,
    Which,
    chosen_groups,
    suggest_target,
    suitable_format,
)
from napari_cryodeco.gui.export_plan import Order, What, carry_out, make_plan
from napari_cryodeco.gui.judge_view import JudgeView
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.original_row import OriginalRow
from napari_cryodeco.gui.plan_view import PlanView
from napari_cryodeco.gui.session import session_of
from napari_cryodeco.gui.task_row import TaskRow
from napari_cryodeco.gui.telling import explain

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.explore.bundle import BundleOptions
    from napari_cryodeco.explore.figure import Group
    from napari_cryodeco.explore.health import HealthCard

NO_RUN = "Open a run in the Explorer first; then its particles and maps can be exported here."


class ExportPanel(QWidget):
    """Writes on a worker thread; every file of particles is read back and counted."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer, self._session = viewer, session_of(viewer)
        self._task = Task(self)
        self._suggested: Path | None = None
        self.what, self.which, self.kind = QComboBox(), QComboBox(), QComboBox()
        self.labels = QLineEdit()
        self.judge = JudgeView(self._session, self._one_group)
        self.real = Fold("Is it real?", self.judge)
        self.original = OriginalRow(self._session)
        self.copy_images = QCheckBox("and a float32 image copy")
        self.half_maps = QCheckBox("with half-maps and FSC")
        self.target = PathEditor(False, "new file or folder", save=True)
        self.replace = QCheckBox("replace it")
        self.plan = PlanView()
        self.write = QPushButton("Write")
        self.work = TaskRow(self._task, "steps")
        self._rows = QFormLayout()
        self._lay_out()
        self._explain()
        self._connect()
        self._run_opened()

    # ---- set-up

    def _lay_out(self) -> None:
        self.what.addItems([what.value for what in What])
        self.which.addItems([which.value for which in Which])
        self.kind.addItems([kind.name for kind in FORMATS])
        for box in (self.what, self.which, self.kind):
            narrow(box, 12)
        self.labels.setPlaceholderText("1,3")
        rows = self._rows
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("Write", self.what)
        rows.addRow("Which", self.which)
        rows.addRow("Clusters", self.labels)
        rows.addRow(self.real)
        rows.addRow("Format", self.kind)
        rows.addRow("", self.copy_images)
        rows.addRow("Rows of", self.original)
        rows.addRow("", self.half_maps)
        rows.addRow("To", self.target)
        rows.addRow("", self.replace)
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(6)
        column.addLayout(rows)
        column.addWidget(self.plan)
        column.addStretch()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(Scrolled(page), 1)
        foot = QVBoxLayout()  # in sight also in a low dock
        foot.setContentsMargins(8, 0, 8, 8)
        for widget in (self.write, self.work):
            foot.addWidget(widget)
        whole.addLayout(foot)

    def _explain(self) -> None:
        hints: dict[QWidget, str] = {
            self.what: "Particles as rows of your own file; or a bundle: particles, decoded maps, "
            "cards, figure, ChimeraX script, methods text; or maps; or all that there is",
            self.which: "Which particles are written",
            self.labels: "Numbers of the clusters, from 1, separated by commas",
            self.real.button: "Judge what is chosen before it is written: a health card (go, "
            "careful, no-go), an alarm for artefacts, stability of clusters, core particles",
            self.kind: "STAR and .cs hold the rows of your own file; row numbers count from 0",
            self.copy_images: "For RELION 3.1, which cannot read 16-bit floats (MRC mode 12)",
            self.half_maps: "Put the particles of each group back into two half-maps (seconds to "
            "minutes each), with their FSC",
            self.target: "A new file or folder; what is there is not replaced unless you say so",
            self.replace: "Replace what is there under this name. Your own particle file never is",
            self.write: "Write what is listed above, read the particles back and count them",
        }
        explain(hints)

    def _connect(self) -> None:
        session = self._session
        bind(
            self,
            (session.opened, self._run_opened),
            (session.selection_changed, self._refresh),
            (session.named_changed, self._refresh),
            (session.clustering_changed, self._refresh),
        )
        for box in (self.what, self.which, self.kind):
            box.currentTextChanged.connect(self._suggest)
        self.labels.textChanged.connect(self._suggest)
        self.target.changed.connect(self._target_changed)
        for tick in (self.copy_images, self.half_maps, self.replace):
            tick.toggled.connect(self._refresh)
        self.original.changed.connect(self._refresh)
        self.judge.judged.connect(self._show_verdict)
        self.write.clicked.connect(self._write)
        self._task.returned.connect(self.work.say)
        self._task.ended.connect(self._ended)

    # ---- the state of the widgets

    @property
    def _what(self) -> What:
        return What(self.what.currentText())

    @property
    def _which(self) -> Which:
        return Which(self.which.currentText())

    @property
    def _format(self) -> Format:
        return FORMATS[self.kind.currentIndex()]

    def _run_opened(self, *_: object) -> None:
        run = self._session.run
        if run is not None:
            self.kind.setCurrentIndex(FORMATS.index(suitable_format(run.particles.source)))
        self._suggest()

    def _suggest(self, *_: object) -> None:
        """Offer a free name that says what it is, until the user has typed one."""
        run = self._session.run
        if run is not None and self.target.value() in (None, self._suggested):
            single = self._what is What.PARTICLES and not self._which.several
            suffix = self._format.suffix if single else ""
            self._suggested = suggest_target(run.path / "export", self._name(), suffix)
            self.target.show_value(self._suggested)
        self._refresh()

    def _name(self) -> str:
        if self._what in (What.MAPS, What.RUN):
            return "maps" if self._what is What.MAPS else "whole"
        numbers = "-".join(self.labels.text().replace(",", " ").split())
        name = {
            Which.SELECTION: "selected",
            Which.OTHERS: "others",
            Which.CLUSTERS: f"cluster-{numbers}",
            Which.ALL: "all",
            Which.EACH_CLUSTER: "clusters",
            Which.EACH_NAMED: "named",
        }[self._which]
        return f"bundle-{name}" if self._what is What.BUNDLE else name

    def _target_changed(self, *_: object) -> None:
        self.replace.setChecked(False)  # it was said of another name
        self._refresh()

    def _show_options(self) -> None:
        """Only what the choice has a use for."""
        chosen = self._what in (What.PARTICLES, What.BUNDLE)
        files = self._what is What.PARTICLES
        own = self.original.file.value() is None
        target = self.target.value()
        shown: dict[QWidget, bool] = {
            self.which: chosen,
            self.labels: chosen and self._which is Which.CLUSTERS,
            self.real: chosen,
            self.kind: files,
            self.copy_images: files and self._format is STAR and own and not self._which.several,
            self.original: chosen,
            self.half_maps: self._what is What.BUNDLE,
            self.replace: target is not None and target.exists(),
        }
        for widget, visible in shown.items():
            self._rows.setRowVisible(widget, visible)

    def _refresh(self, *_: object) -> None:
        self._show_options()
        self.judge.refresh()
        free = not self._task.busy
        try:
            order = self._order()
            plan = make_plan(order, self._session.loaded())
        except ValueError as error:
            self.original.show_counts(None)
            self.plan.show_obstacle(str(error))
            self.write.setEnabled(False)
            return
        self.plan.show_plan(plan)
        self.write.setEnabled(free and not plan.obstacle)

    def _show_verdict(self, card: HealthCard | None) -> None:
        verdict = "" if card is None else f"  {card.verdict.upper()}"
        self.real.set_title(f"Is it real?{verdict}")

    # ---- the order

    def _groups(self) -> tuple[Group, ...]:
        return chosen_groups(self._session, self._which, self.labels.text())

    def _one_group(self) -> Group:
        """What the health card is of."""
        if self._session.run is None:
            raise ValueError(NO_RUN)
        groups = self._groups()
        if len(groups) > 1:
            raise ValueError("Judge takes one group at a time; a bundle holds a card of each.")
        return groups[0]

    def _order(self) -> Order:
        if self._session.run is None:
            raise ValueError(NO_RUN)
        what, target, kind = self._what, self.target.value(), self._format
        chosen = what in (What.PARTICLES, What.BUNDLE)
        groups = self._groups() if chosen else ()
        if groups:
            self.original.show_counts(np.concatenate([group.rows for group in groups]))
        if target is None:
            raise ValueError("Choose a name to write to.")
        onto = self.original.file.value() if chosen else None
        bundle = what is What.BUNDLE
        return Order(
            what,
            target,
            groups,
            apart=what is What.PARTICLES and self._which.several,
            kind=kind,
            with_images=self.copy_images.isChecked() and self._rows.isRowVisible(self.copy_images),
            onto=onto,
            mapped=self.original.mapped if onto is not None else None,
            datadir=self.original.datadir.value() if onto is not None else None,
            partial=self.original.partial.isChecked(),
            replace=self.replace.isChecked(),
            options=self._options(onto) if bundle else None,
        )

    def _options(self, onto: Path | None) -> BundleOptions:
        """A bundle looks as the window does: view, axes, camera, level, colour and filter."""
        from napari_cryodeco.explore.bundle import BundleOptions  # torch

        session, shown = self._session, map_view_of(self._viewer)
        there = shown.layer is not None
        return BundleOptions(
            half_maps=self.half_maps.isChecked(),
            view=session.view,
            axes=session.axes,
            level=shown.level if there else None,
            camera=camera_view(self._viewer) if there else None,
            surface=shown.colour if there else None,
            low_pass=session.map_filter.low_pass,
            b_factor=session.map_filter.b_factor,
            onto=onto,
            datadir=self.original.datadir.value() if onto is not None else None,
            partial=self.original.partial.isChecked(),
        )

    # ---- writing

    def _write(self) -> None:
        try:
            order = self._order()
        except ValueError as error:
            self.work.say(str(error))
            return
        self.work.say("Writing…")
        self.work.start(partial(carry_out, order, self._session.loaded()))
        self._refresh()

    def _ended(self) -> None:
        self.replace.setChecked(False)
        self._suggest()
