"""Where it moves: a motion mapped on a thread, shown as colours, its parts in a table, saved."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QLabel,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_cryodeco.explore.palette import UNCLEAR, far_ramp
from napari_cryodeco.gui.background import Task
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.camera import camera_rotation
from napari_cryodeco.gui.colour_bar import ColourBar
from napari_cryodeco.gui.comparing import NO_RUN, RIGID, group_names, likely_groups
from napari_cryodeco.gui.domain_table import DomainTable
from napari_cryodeco.gui.editors import PathEditor, in_line, narrow, offer
from napari_cryodeco.gui.export_choice import suggest_target
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.motion_layer import MotionLayer, Shown
from napari_cryodeco.gui.moving import (
    BETWEEN,
    PATH,
    Mapped,
    Way,
    map_motion,
    save_motion,
    way_called,
    way_names,
)
from napari_cryodeco.gui.session import session_of
from napari_cryodeco.gui.task_row import TaskRow
from napari_cryodeco.gui.telling import explain, readable
from napari_cryodeco.gui.wheel import leave_wheel_to_page

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.gui.snapshot import Snapshot

_COLOURS: dict[str, tuple[Shown, str]] = {
    "how far it moves (Å)": ("movement", "Å"),
    "spread of the maps (σ)": ("spread", "σ"),
}
MOST_FRAMES = 40


class MotionView(QGroupBox):
    """A way, its maps, the colours, the parts that move, and a folder for all of it."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__("Where does it move?")
        self._viewer, self._session, self._map = viewer, session_of(viewer), map_view_of(viewer)
        self.layer = MotionLayer(viewer)
        self._task = Task(self)
        self._asked: Snapshot | None = None
        self._mapped: Mapped | None = None
        self.way, self.first, self.second = QComboBox(), QComboBox(), QComboBox()
        self.frames = QSpinBox()
        self.start, self.clear = QPushButton("&Map the motion"), QPushButton("C&lear")
        self.work = TaskRow(self._task, "steps")
        self.sentence, self.result = QLabel(), QLabel()
        self.colours, self.bar = QComboBox(), ColourBar(far_ramp())
        self.least = QDoubleSpinBox()
        self.with_boxes = QCheckBox("Boxes")
        self.table = DomainTable()
        self.file = PathEditor(True, "new folder", save=True)
        self.save = QPushButton("Save")
        self._lay_out()
        self._explain()
        self._connect()
        self.list_ways()

    # ---- set-up

    def _lay_out(self) -> None:
        for box in (self.way, self.first, self.second):
            narrow(box, 12)
        for label in (self.sentence, self.result):
            readable(label)
        self.frames.setRange(2, MOST_FRAMES)
        self.frames.setValue(9)
        self.least.setRange(0.1, 500)
        self.least.setDecimals(1)
        self.least.setSuffix(" Å")
        self.least.setKeyboardTracking(False)
        for number in (self.frames, self.least):
            leave_wheel_to_page(number)
        self.with_boxes.setChecked(True)
        self.colours.addItems(list(_COLOURS))
        self._rows = rows = QFormLayout(self)
        rows.addRow("Along", self.way)
        rows.addRow("A", self.first)
        rows.addRow("B", self.second)
        rows.addRow("Maps", self.frames)
        rows.addRow(self.sentence)
        rows.addRow(in_line(self.start, self.clear))
        rows.addRow(self.work)
        rows.addRow(self.result)
        rows.addRow("Colours", self.colours)
        rows.addRow(self.bar)
        rows.addRow("Moves more than", in_line(self.least, self.with_boxes))
        rows.addRow(self.table)
        rows.addRow(in_line(self.file, self.save))

    def _explain(self) -> None:
        hints: dict[QWidget, str] = {
            self.way: "A principal component (from the 5th to the 95th percentile of the "
            "particles), the path drawn in the plot, or straight from group A to group B",
            self.first: "Particles at whose mean z the motion begins",
            self.second: "Particles at whose mean z the motion ends",
            self.frames: "Number of maps on the way: more maps, smaller steps, more time. A path "
            "has its own",
            self.start: "Decode the maps, follow the density of the middle one through all others, "
            "and colour its surface by how far it moves, in Å",
            self.clear: "Take the colours and boxes out of the viewer, and show again what they "
            "covered",
            self.colours: "Movement in Å: the distance between the two places farthest apart that "
            "a piece of density goes to. Spread in σ: how much the density of a place changes, "
            "whether it moves or comes and goes. Choose again to see the colours where another map "
            "took their place",
            self.bar: f"<span style='color:{UNCLEAR}'>■</span> unclear: there the maps change and "
            "movement does not explain it, or tears the density apart",
            self.least: "Å above which density counts as moving; connected parts of more than "
            "4,000 Å³ are listed",
            self.with_boxes: "Draw a box about each moving part in the viewer",
            self.file: "A new folder for motion.mrc (Å), spread.mrc (σ), middle.mrc, mean.mrc, "
            "motion.png and motion.json; nothing is overwritten",
            self.save: "Write maps, picture and numbers",
        }
        explain(hints)

    def _connect(self) -> None:
        session = self._session
        bind(
            self,
            (session.selection_changed, self.refresh),
            (session.named_changed, self.list_ways),
            (session.clustering_changed, self.list_ways),
            (session.path_changed, self.list_ways),
            (session.target_changed, self._give_way),
            (session.cursor_changed, self._give_way),
        )
        for box in (self.way, self.first, self.second):
            box.activated.connect(self.refresh)
        self.file.changed.connect(self.refresh)
        self.start.clicked.connect(self._start)
        self.clear.clicked.connect(self._clear)
        self.save.clicked.connect(self._save)
        self.colours.activated.connect(self._colour)
        self.least.valueChanged.connect(self._find_parts)
        self.with_boxes.toggled.connect(self._draw_boxes)
        self._task.returned.connect(self._returned)
        self._task.ended.connect(self.refresh)

    # ---- the state of the widgets

    def forget(self) -> None:
        """Another run is open: what was made of the last one goes."""
        self._task.cancel()
        self._clear()
        self.work.say("")
        folder = self._session.loaded().run.path / "export"
        self.file.show_value(suggest_target(folder, "motion", ""))

    def _give_way(self, *_: object) -> None:
        """Another point is decoded: what was asked for last is seen."""
        self.layer.give_way()

    def _clear(self) -> None:
        self._mapped = None
        self.layer.remove()
        self.table.show_domains(())
        self.result.setText("")
        self.refresh()

    def list_ways(self, *_: object) -> None:
        """List what there is to choose; a choice stays while it is there."""
        groups = group_names(self._session)
        likely = likely_groups(self._session) or [""]
        ways = way_names(self._session)
        offer(self.way, ways, (ways or [""])[0])
        for place, box in enumerate((self.first, self.second)):
            offer(box, groups, likely[min(place, len(likely) - 1)])
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Say what is missing; what does not apply is not shown."""
        between, why = self.way.currentText() == BETWEEN, ""
        for box in (self.first, self.second):
            box.setVisible(between)
            self._rows.labelForField(box).setVisible(between)
        run = self._session.run
        try:
            if run is None:
                raise ValueError(NO_RUN)
            if run.config.rigid:
                raise ValueError(RIGID)
            self._way()
        except ValueError as error:
            why = str(error)
        free, there = not self._task.busy, self._mapped is not None
        self.sentence.setText(why)
        self.sentence.setVisible(bool(why))
        self.start.setEnabled(free and not why)
        self.frames.setEnabled(not why and self.way.currentText() != PATH)
        for widget in (self.colours, self.least, self.with_boxes, self.clear):
            widget.setEnabled(there)
        self.bar.setVisible(there)
        self.table.setVisible(there)
        self.save.setEnabled(there and self.file.value() is not None and free)

    def _way(self) -> Way:
        names = (box.currentText() for box in (self.first, self.second))
        return way_called(self._session, self.way.currentText(), self.frames.value(), *names)

    # ---- the work

    def _start(self) -> None:
        session = self._session
        self._asked = session.loaded()
        level = self._map.level if self._map.layer is not None else None
        self.work.say("Decoding the maps…")
        work = partial(map_motion, self._asked, self._way(), session.map_filter, level)
        self.work.start(work)
        self.refresh()

    def _returned(self, answer: Mapped | str) -> None:
        if isinstance(answer, str):
            self.work.say(answer)
            return
        self.work.say("")
        if self._asked is not self._session.snapshot:
            return  # of a run that is no longer open
        from napari_cryodeco.explore.domains import suggest_least  # brings torch

        self._mapped = answer
        self.result.setText(answer.text)
        self.least.blockSignals(True)
        self.least.setValue(suggest_least(answer.motion))
        self.least.blockSignals(False)
        self._colour()
        self._find_parts()
        self.refresh()

    def _colour(self, *_: object) -> None:
        if self._mapped is None:
            return
        from napari_cryodeco.explore.motion_files import scale_of

        motion = self._mapped.motion
        shown, unit = _COLOURS[self.colours.currentText()]
        moved = shown == "movement"
        most = scale_of(motion) if moved else max(float(motion.spread.max()), 0.1)
        self.layer.show(motion, shown, most)
        self.bar.show_scale(most, unit, (UNCLEAR, "unclear") if moved else None)

    def _find_parts(self, *_: object) -> None:
        if self._mapped is None:
            return
        from napari_cryodeco.explore.domains import moving_domains

        self.table.show_domains(moving_domains(self._mapped.motion, self.least.value()))
        self._draw_boxes()

    def _draw_boxes(self, *_: object) -> None:
        if self._mapped is not None:
            drawn = self.table.domains if self.with_boxes.isChecked() else ()
            self.layer.show_boxes(self._mapped.motion, drawn)

    def _save(self) -> None:
        from napari_cryodeco.explore.render import View

        path = self.file.value()
        if self._mapped is None or path is None:
            return
        view = View(camera_rotation(self._viewer), size=(600, 600))
        least, parts = self.least.value(), self.table.domains
        self.work.start(partial(save_motion, self._mapped, parts, least, path, view))
        self.refresh()
