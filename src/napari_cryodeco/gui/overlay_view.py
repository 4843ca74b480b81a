"""Two maps together: laid over each other, or beside each other under one camera."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_cryodeco.explore.palette import PAIR
from napari_cryodeco.gui.background import Task
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.comparing import likely_groups
from napari_cryodeco.gui.editors import narrow, offer
from napari_cryodeco.gui.layers import LEVELS
from napari_cryodeco.gui.pair_layers import SEEN_THROUGH, PairLayers
from napari_cryodeco.gui.session import session_of
from napari_cryodeco.gui.sources import Pair, Source, lay_out, source_called, source_names
from napari_cryodeco.gui.task_row import TaskRow
from napari_cryodeco.gui.telling import explain, readable

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.gui.snapshot import Snapshot

_MARKS = tuple(f"<span style='color:{colour}'>■</span>" for colour in PAIR)


class OverlayView(QGroupBox):
    """Chooses A and B of the viewer's session and its layers, and how they are looked at."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__("Two maps together")
        self._viewer, self._session = viewer, session_of(viewer)
        self.layers = PairLayers(viewer)
        self._task = Task(self)
        self._asked: Snapshot | None = None
        self._pair: Pair | None = None
        self.first, self.second = QComboBox(), QComboBox()
        self.show_both, self.swap = QPushButton("&Show A and B"), QPushButton("S&wap")
        self.clear = QPushButton("&Clear")
        self.work = TaskRow(self._task, "maps")
        self.sentence, self.result = QLabel(), QLabel()
        self.level = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.opacity = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.shown = (QCheckBox("A"), QCheckBox("B"))
        self.beside = QCheckBox("Side &by side")
        self._lay_out()
        self._explain()
        self._connect()
        self.list_sources()

    # ---- set-up

    def _lay_out(self) -> None:
        for box in (self.first, self.second):
            narrow(box, 12)
        for label in (self.sentence, self.result):
            readable(label)
        for slider, low, high, value in (
            (self.level, *LEVELS, 3.0),
            (self.opacity, 0.0, 1.0, SEEN_THROUGH),
        ):
            slider.setRange(low, high)
            slider.setDecimals(2)
            slider.setValue(value)
        looks = QHBoxLayout()
        for box in (*self.shown, self.beside):
            box.setChecked(box is not self.beside)
            looks.addWidget(box)
        looks.addStretch(1)
        buttons = QHBoxLayout()
        buttons.addWidget(self.show_both, 1)
        buttons.addWidget(self.swap)
        buttons.addWidget(self.clear)
        rows = QFormLayout(self)
        rows.addRow(f"{_MARKS[0]} A", self.first)
        rows.addRow(f"{_MARKS[1]} B", self.second)
        rows.addRow(self.sentence)
        rows.addRow(buttons)
        rows.addRow(self.work)
        rows.addRow("Show", looks)
        rows.addRow("Level (σ)", self.level)
        rows.addRow("B is solid", self.opacity)
        rows.addRow(self.result)

    def _explain(self) -> None:
        what = (
            "a selection or cluster (decoded at its mean z), a frame of the path, or a map that is "
            "in the viewer: drop an .mrc file there. Maps of other programs are laid with their "
            "centres on each other; the Align panel turns one to the other first"
        )
        hints: dict[QWidget, str] = {
            self.first: f"The solid map, {_MARKS[0]}: {what}",
            self.second: f"The map seen through, {_MARKS[1]}: {what}",
            self.show_both: "Decode what must be decoded, with the filter of the Explorer, and "
            "show both maps at one level, each at its voxel size in Å. Other maps are hidden "
            "meanwhile",
            self.clear: "Take A and B out of the viewer, and show again what they covered",
            self.swap: "B becomes the solid one and A is seen through; nothing is decoded again",
            self.shown[0]: "Show or hide A",
            self.shown[1]: "Show or hide B",
            self.beside: "A on the left and B on the right, under one camera: turn, move or zoom "
            "either. Other layers are hidden meanwhile",
            self.level: "Height of both surfaces in σ: of both maps together if both are decoded, "
            "of each map's own if one is a layer",
            self.opacity: "How solid B is, from 0 (not seen) to 1; side by side both are solid",
        }
        explain(hints)

    def _connect(self) -> None:
        session, layers = self._session, self._viewer.layers
        bind(
            self,
            (session.selection_changed, self.refresh),
            (session.target_changed, self._give_way),
            (session.cursor_changed, self._give_way),
            (session.named_changed, self.list_sources),
            (session.clustering_changed, self.list_sources),
            (session.path_changed, self.list_sources),
            (layers.events.inserted, self.list_sources),
            (layers.events.removed, self.list_sources),
            (self.layers.beside_changed, self._beside_changed),
        )
        self.first.activated.connect(self.refresh)
        self.second.activated.connect(self.refresh)
        self.show_both.clicked.connect(self._show)
        self.swap.clicked.connect(self._swap)
        self.clear.clicked.connect(self._clear)
        self.level.valueChanged.connect(self.layers.set_level)
        self.opacity.valueChanged.connect(self.layers.set_opacity)
        for place, box in enumerate(self.shown):
            box.toggled.connect(partial(self.layers.set_visible, place))
        self.beside.toggled.connect(self.layers.set_beside)
        self._task.returned.connect(self._laid)
        self._task.ended.connect(self.refresh)
        self.destroyed.connect(partial(_leave_grid, self.layers))

    # ---- the state of the widgets

    def forget(self) -> None:
        """Another run is open: what was made of the last one goes."""
        self._task.cancel()
        self._pair = None
        self._clear()
        self.work.say("")

    def list_sources(self, *_: object) -> None:
        """List what may be chosen; a choice stays while it is there."""
        names = source_names(self._session, self._viewer)
        likely = likely_groups(self._session) or names or [""]
        for place, box in enumerate((self.first, self.second)):
            offer(box, names, likely[min(place, len(likely) - 1)])
        self.refresh()

    def _sources(self) -> tuple[Source, Source]:
        first, second = self.first.currentText(), self.second.currentText()
        if first == second and first:
            raise ValueError("A and B are the same: choose another map.")
        session, viewer = self._session, self._viewer
        return source_called(session, viewer, first), source_called(session, viewer, second)

    def refresh(self, *_: object) -> None:
        """Say what is missing; controls without anything to control are grey."""
        why, free, there = "", not self._task.busy, self.layers.complete
        try:
            self._sources()
        except ValueError as error:
            why = str(error)
        self.sentence.setText(why)
        self.sentence.setVisible(bool(why))
        self.show_both.setEnabled(free and not why)
        self.swap.setEnabled(there and self._pair is not None and free)
        for widget in (*self.shown, self.beside, self.level, self.clear):
            widget.setEnabled(there)
        self.opacity.setEnabled(there and not self.layers.beside)

    def _beside_changed(self, beside: bool) -> None:
        self.beside.setChecked(beside)
        self.refresh()

    # ---- the work

    def _show(self) -> None:
        first, second = self._sources()
        self._asked = self._session.snapshot
        self.work.say("Decoding…")
        self.work.start(partial(lay_out, self._asked, first, second, self._session.map_filter))
        self.refresh()

    def _laid(self, pair: Pair) -> None:
        self.work.say("")
        if self._asked is self._session.snapshot:  # else of a run that is no longer open
            self._show_pair(pair)

    def _show_pair(self, pair: Pair) -> None:
        self._pair = pair
        for box in self.shown:
            box.setChecked(True)
        self.layers.show(pair)
        self.level.blockSignals(True)
        self.level.setValue(self.layers.level)
        self.level.blockSignals(False)
        sizes = [one.volume_at(self.layers.level) / 1000 for one in (pair.first, pair.second)]
        note = "" if pair.one_sigma else " Each is in its own σ."
        self.result.setText(
            f"Above {self.layers.level:.2f} σ: A, {pair.first.name}, {sizes[0]:,.0f} nm³; B, "
            f"{pair.second.name}, {sizes[1]:,.0f} nm³.{note} "
            "The decoded map is hidden until you clear these or choose another point."
        )
        self.refresh()

    def _give_way(self, *_: object) -> None:
        """Another point is decoded: what was asked for last is seen; ticks bring A and B back."""
        self.layers.set_beside(False)
        if self.layers.complete:
            for box in self.shown:
                box.setChecked(False)

    def _clear(self) -> None:
        self.layers.remove()
        self.result.setText("")
        self.refresh()

    def _swap(self) -> None:
        if self._pair is None:
            return
        names = self.second.currentText(), self.first.currentText()
        for box, name in zip((self.first, self.second), names, strict=True):
            box.setCurrentText(name)
        self._show_pair(Pair(self._pair.second, self._pair.first, self._pair.one_sigma))


def _leave_grid(layers: PairLayers, *_: object) -> None:
    """The panel was closed: the viewer has one view again."""
    layers.set_beside(False)
