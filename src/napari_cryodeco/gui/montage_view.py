"""Images of the selected particles, or of those near the mouse, and their class average."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QWidget

from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.latest import Latest
from napari_cryodeco.gui.linked_view import LinkedView
from napari_cryodeco.gui.montage_bar import NEAREST, MontageBar
from napari_cryodeco.gui.montage_choice import Asked, average, read_pictures
from napari_cryodeco.gui.montage_grid import MontageGrid
from napari_cryodeco.gui.session import Session

if TYPE_CHECKING:
    from napari_cryodeco.explore.montage import ClassAverage, Pictures

WAIT_MS = 120  # a selection that is still being drawn changes often


class MontageView(LinkedView):
    """A sample of images above, their class average below."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.bar, self.grid, self.average = MontageBar(), MontageGrid(), MontageGrid(110)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.seed = 0
        self._about: int | None = None  # the particle that the mouse was on last
        self._averaging = Latest(self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self._ask)
        self.average.setFixedSize(120, 120)
        self.average.setToolTip(
            "<qt>Mean of the particles that are seen within 15° of their commonest viewing "
            "direction: CTF-flipped, turned and shifted at the poses of the run.</qt>"
        )
        self.grid.set_describe(session.describe)
        below = QHBoxLayout()
        below.addWidget(self.average)
        below.addWidget(self.words, 1)
        self.column.addWidget(self.bar)
        self.column.addWidget(self.grid, 1)
        self.column.addWidget(self.message)
        self.column.addLayout(below)
        self.bar.changed.connect(self._soon)
        self.bar.another.connect(self._resample)
        self.grid.hovered.connect(session.set_hovered)
        self.grid.picked.connect(self._pick)
        self._averaging.returned.connect(self._show_average)
        self._averaging.failed.connect(self._no_average)
        bind(
            self,
            (session.hover_changed, self._hovered),
            (session.operation_changed, self._set_operation),
        )

    # ---- what is asked for

    def _load(self) -> None:
        self._about = None
        self._soon()

    def _show_selection(self) -> None:
        if self.bar.source.currentText() != NEAREST:
            self._soon()

    def _soon(self) -> None:
        self._timer.start()

    def _resample(self) -> None:
        self.seed += 1
        self._soon()

    def _set_operation(self, operation: str) -> None:
        self.grid.operation = operation

    def _hovered(self, row: int | None) -> None:
        self.grid.set_marked(row)
        if row is not None and not self.grid.underMouse():
            self._about = row
            if self.isVisible() and self.bar.source.currentText() == NEAREST:
                self._soon()

    def _ask(self) -> None:
        if self.session.snapshot is None or not self.isVisible():
            return
        near = self.bar.source.currentText() == NEAREST
        if near and self._about is None:
            self._empty("Move the mouse over particles in the Explorer or over the directions.")
            return
        low_pass = self.bar.low_pass.value() or None
        asked = Asked(
            self.session.snapshot, self.session.selected, self._about if near else None, low_pass
        )
        count, treatment = self.bar.side.value() ** 2, self.bar.treatment.currentData()
        self.say("Reading images…")
        self.reading.ask(partial(read_pictures, asked, treatment, count, self.seed))
        self.words.setText("Averaging…")
        self._averaging.ask(partial(average, asked, self.seed))

    def _empty(self, sentence: str) -> None:
        nothing = np.empty((0, 1, 1), np.float32)
        for grid in (self.grid, self.average):
            grid.set_pictures(nothing, np.empty(0, np.int64), 1)
        self.words.setText("")
        self.say(sentence)

    # ---- what came of it

    def _take(self, answer: tuple[Pictures, int]) -> None:
        pictures, count = answer
        shown = len(pictures.rows)
        self.grid.set_pictures(pictures.images, pictures.rows, self.bar.side.value())
        if self.bar.source.currentText() == NEAREST:
            about = 0 if self._about is None else self._about
            self.say(f"The {shown:,} particles nearest in z to particle {about + 1:,}.")
            return
        which = "selected particles" if len(self.session.selected) else "particles (none selected)"
        if shown == count:
            self.say(f"All {count:,} {which}.")
        else:
            self.say(f"Sample {self.seed + 1}: {shown:,} of {count:,} {which}.")

    def _show_average(self, found: ClassAverage) -> None:
        self.average.set_pictures(found.image[None], np.empty(0, np.int64), 1)
        mean = f"Mean of {found.used:,}"
        if found.used < found.alike:
            mean += f", a sample of the {found.alike:,}"
        azimuth = f"{found.azimuth:.0f}°".replace("-", "−")
        self.words.setText(
            f"{mean} seen within {found.within:.0f}° of the commonest direction (azimuth "
            f"{azimuth}, tilt {found.tilt:.0f}°), of {found.count:,} particles. Side "
            f"{found.image.shape[0] * found.pixel_size:.0f} Å."
        )

    def _no_average(self, sentence: str) -> None:
        self.average.set_pictures(np.empty((0, 1, 1), np.float32), np.empty(0, np.int64), 1)
        self.words.setText(sentence)

    def _pick(self, row: int, operation: str) -> None:
        mask = np.zeros(len(self.session.loaded().latents), bool)
        mask[row] = True
        self._try(lambda: self.session.select(mask, operation, Step.of_rows(mask)))
