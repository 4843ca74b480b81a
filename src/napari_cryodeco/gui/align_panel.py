"""The Align panel: one map of the viewer laid over another, as a new layer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_cryodeco.gui.background import Report, Task
from napari_cryodeco.gui.docking import Scrolled
from napari_cryodeco.gui.editors import narrow
from napari_cryodeco.gui.readers import map_options
from napari_cryodeco.gui.task_row import TaskRow
from napari_cryodeco.gui.viewer_maps import Place, maps_in

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.explore.alignment import MapAlignment
    from napari_cryodeco.explore.volumes import Volume

HINT = (
    "Open two maps (drop .mrc files on the viewer), or decode one in the Explorer. The first is "
    "turned, moved and, where that fits better, mirrored to lie over the second."
)


class AlignPanel(QWidget):
    """Two choices, a button, and what was found."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._task = Task(self)
        self._asked: tuple[str, Place] = ("", (0.0, 0.0, 0.0))
        self.moving, self.reference = QComboBox(), QComboBox()
        self.start = QPushButton("Align")
        self.work = TaskRow(self._task, "steps done")
        self.hint = QLabel(HINT)
        self._lay_out()
        self.start.clicked.connect(self._align)
        self._task.returned.connect(self._done)
        self._task.ended.connect(self._refresh)
        self._listen()
        self._refresh()

    def _listen(self) -> None:
        """Follow the layer list until the panel goes."""
        layers, refresh = self._viewer.layers, self._refresh
        events = (layers.events.inserted, layers.events.removed, layers.selection.events.changed)
        for event in events:
            event.connect(refresh)

        def leave() -> None:
            for event in events:
                event.disconnect(refresh)

        self.destroyed.connect(leave)

    def _lay_out(self) -> None:
        self.hint.setWordWrap(True)
        for box in (self.moving, self.reference):
            narrow(box, 12)
        self.reference.setToolTip(
            "<qt>The map it is laid over: the copy has its voxel size (Å), its box and its place. "
            "Of two layers selected in the list the lower one is taken.</qt>"
        )
        self.moving.setToolTip("The map that is moved (a copy of it; the layer stays as it is)")
        self.start.setToolTip(
            "<qt>Search rotation (all), shift (Å) and hand (both) in the background; some seconds "
            "for 64 voxels a side, a minute or two for 256.</qt>"
        )
        rows = QFormLayout()
        rows.addRow("Move", self.moving)
        rows.addRow("Align to", self.reference)
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(8, 8, 8, 8)
        for widget in (self.hint, self.start, self.work):
            column.addWidget(widget)
        column.insertLayout(1, rows)
        column.addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(Scrolled(page))

    def _refresh(self, _: object = None) -> None:
        names = list(maps_in(self._viewer))
        order = [layer.name for layer in self._viewer.layers]
        picked = [layer.name for layer in self._viewer.layers.selection]
        picked = sorted((name for name in picked if name in names), key=order.index)
        if len(picked) == 2:
            wanted = [picked[1], picked[0]]
        else:
            wanted = [box.currentText() for box in (self.moving, self.reference)]
        moving = wanted[0] if wanted[0] in names else (names or [""])[-1]
        others = [name for name in names if name != moving]
        reference = wanted[1] if wanted[1] in others else (others or [""])[0]
        for box, name in ((self.moving, moving), (self.reference, reference)):
            box.clear()
            box.addItems(names)
            box.setCurrentText(name)
        self.start.setEnabled(len(names) > 1 and not self._task.busy)

    def _align(self) -> None:
        maps = maps_in(self._viewer)
        names = [box.currentText() for box in (self.moving, self.reference)]
        if names[0] == names[1]:
            self.work.say("Both are the same layer: choose two maps.")
            return
        from napari_cryodeco.explore.volumes import Volume  # torch: not when the window starts

        moving, reference = (
            Volume(np.asarray(maps[name][0], np.float32), maps[name][1]) for name in names
        )
        self._asked = (f"{names[0]} on {names[1]}", maps[names[1]][2])
        self.work.say("")
        self.start.setEnabled(False)
        self.work.start(partial(_aligned, moving, reference))

    def _done(self, found: MapAlignment) -> None:
        name, place = self._asked
        options: dict[str, Any] = map_options(found.volume.data, found.volume.voxel_size, name)
        self._viewer.add_image(found.volume.data, translate=place, **options)
        self.work.say(" ".join(found.sentences))


def _aligned(moving: Volume, reference: Volume, report: Report) -> MapAlignment:
    from napari_cryodeco.explore.alignment import align_maps

    return align_maps(moving, reference, report)
