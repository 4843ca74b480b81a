"""The difference of two groups' maps: chosen, made on a thread, shown as one layer, saved."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QGroupBox, QLabel, QPushButton, QWidget
from superqt import QLabeledDoubleSlider

from napari_cryodeco.gui.background import Task
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.comparing import (
    NO_RUN,
    Compared,
    group_called,
    group_names,
    likely_groups,
    save_difference,
    subtract,
)
from napari_cryodeco.gui.difference_layer import LESS, MORE, DifferenceLayer
from napari_cryodeco.gui.editors import PathEditor, in_line, narrow
from napari_cryodeco.gui.export_choice import suggest_target
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.session import session_of
from napari_cryodeco.gui.task_row import TaskRow
from napari_cryodeco.gui.telling import explain, readable

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.explore.figure import Group


class DifferenceView(QGroupBox):
    """A − B of the viewer's session; the map of A is shown around it, translucent."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__("Difference of two groups")
        self._session, self._map = session_of(viewer), map_view_of(viewer)
        self.layer = DifferenceLayer(viewer)
        self._task = Task(self)
        self._compared: Compared | None = None
        self._chosen: set[int] = set()  # of A (0) and B (1): what the user chose, not we
        self.first, self.second = QComboBox(), QComboBox()
        self.sentence, self.result = QLabel(NO_RUN), QLabel()
        self.subtract = QPushButton("Show A − B")
        self.work = TaskRow(self._task, "maps subtracted")
        self.level = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.file = PathEditor(False, "new .mrc file", "Maps (*.mrc)", save=True)
        self.save = QPushButton("Save")
        self._lay_out()
        self._explain()
        self._connect()
        self.list_groups()

    # ---- set-up

    def _lay_out(self) -> None:
        for box in (self.first, self.second):
            narrow(box, 12)
        for label in (self.sentence, self.result):
            readable(label)
        self.level.setDecimals(2)
        rows = QFormLayout(self)
        rows.addRow("A", self.first)
        rows.addRow("B", self.second)
        for widget in (self.sentence, self.subtract, self.work, self.result):
            rows.addRow(widget)
        rows.addRow("Level (± σ)", self.level)
        rows.addRow(in_line(self.file, self.save))

    def _explain(self) -> None:
        groups = "the selection, the rest, all, a cluster, a named selection"
        hints: dict[QWidget, str] = {
            self.first: f"The particles whose map is taken first: {groups}",
            self.second: f"The particles whose map is subtracted: {groups}",
            self.subtract: "Decode both maps at the mean z of their particles, with the filter of "
            "the Explorer, and show their difference as one layer: "
            f"<span style='color:{MORE}'>■</span> A has more, "
            f"<span style='color:{LESS}'>■</span> A has less",
            self.level: "Height of both surfaces of the difference, in σ of the maps",
            self.file: "A new .mrc file for A − B, voxel size in Å; nothing is overwritten",
            self.save: "Write the difference map",
        }
        explain(hints)

    def _connect(self) -> None:
        session = self._session
        bind(
            self,
            (session.selection_changed, self.refresh),
            (session.named_changed, self.list_groups),
            (session.clustering_changed, self.list_groups),
        )
        for place, box in enumerate((self.first, self.second)):
            box.activated.connect(partial(self._choose_group, place))
        self.file.changed.connect(self.refresh)
        self.subtract.clicked.connect(self._subtract)
        self.level.valueChanged.connect(self.layer.set_level)
        self.save.clicked.connect(self._save)
        self._task.returned.connect(self._subtracted)
        self._task.ended.connect(self.refresh)

    # ---- the state of the widgets

    def forget(self) -> None:
        """Another run is open: what was made of the last one goes."""
        self._task.cancel()
        self._compared = None
        self._chosen.clear()
        self.layer.remove()
        self.result.setText("")
        self.work.say("")
        folder = self._session.loaded().run.path / "export"
        self.file.show_value(suggest_target(folder, "difference", ".mrc"))

    def list_groups(self, *_: object) -> None:
        """List what may be compared; what the user chose stays chosen while it is there."""
        names, likely = group_names(self._session), likely_groups(self._session)
        for place, box in enumerate((self.first, self.second)):
            before = box.currentText()
            box.clear()
            box.addItems(names)
            if place in self._chosen and before in names:
                box.setCurrentText(before)
            elif likely:
                box.setCurrentText(likely[min(place, len(likely) - 1)])
        self.refresh()

    def _choose_group(self, place: int, _: int) -> None:
        self._chosen.add(place)
        self.refresh()

    def _groups(self) -> tuple[Group, Group]:
        if self._session.run is None:
            raise ValueError(NO_RUN)
        first, second = self.first.currentText(), self.second.currentText()
        if first == second:
            raise ValueError("A and B are the same: choose another group.")
        return group_called(self._session, first), group_called(self._session, second)

    def refresh(self, *_: object) -> None:
        """Say which particles are meant, or why none are."""
        free, there = not self._task.busy, self._compared is not None
        try:
            first, second = self._groups()
            self.sentence.setText(
                f"A: {len(first.rows):,} particles. B: {len(second.rows):,} particles."
            )
            self.subtract.setEnabled(free)
        except ValueError as error:
            self.sentence.setText(str(error))
            self.subtract.setEnabled(False)
        self.level.setEnabled(there)
        self.save.setEnabled(there and self.file.value() is not None and free)

    # ---- the work

    def _subtract(self) -> None:
        session = self._session
        first, second = self._groups()
        self.work.say("Decoding both maps…")
        self.work.start(partial(subtract, session.loaded(), first, second, session.map_filter))
        self.refresh()

    def _subtracted(self, answer: Compared | str) -> None:
        if isinstance(answer, str):
            self.work.say(answer)
            return
        self.work.say("")
        self._compared = answer
        made = answer.difference
        self.result.setText(f"A: {answer.first.name}, B: {answer.second.name}. {made.sentence}")
        most = max(abs(value) for value in made.extremes) or 1.0
        self.level.blockSignals(True)
        self.level.setRange(most / 50, most)
        self.level.setValue(made.level)
        self.level.blockSignals(False)
        self._map.show(made.first)
        self.layer.show(made.in_sigma, made.volume.voxel_size, made.level)
        if self._map.layer is not None:
            self.layer.see_through(self._map.layer)

    def _save(self) -> None:
        path = self.file.value()
        if self._compared is not None and path is not None:
            self.work.start(partial(save_difference, self._compared, path))
            self.refresh()
