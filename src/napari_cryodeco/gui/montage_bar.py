"""What the montage shows: of which particles, how treated, how many."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QGridLayout, QPushButton, QSpinBox, QWidget

from napari_cryodeco.gui.telling import explain

SELECTED, NEAREST = "Selected", "Near the mouse"
TREATMENTS = {  # as `explore.montage.TREATMENTS`, whose import brings torch
    "raw": "Raw",
    "low-passed": "Low-passed",
    "CTF-flipped": "CTF-flipped",
    "aligned": "Aligned",
}


class MontageBar(QWidget):
    """Two lines of choices."""

    changed = Signal()
    another = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.source, self.treatment = QComboBox(), QComboBox()
        self.low_pass, self.side = QDoubleSpinBox(), QSpinBox()
        self.other = QPushButton("Other sample")
        self.source.addItems([SELECTED, NEAREST])
        for key, words in TREATMENTS.items():
            self.treatment.addItem(words, key)
        self.treatment.setCurrentIndex(3)
        self.low_pass.setRange(0, 200)
        self.low_pass.setDecimals(0)
        self.low_pass.setValue(20)
        self.low_pass.setSuffix(" Å")
        self.low_pass.setSpecialValueText("no filter")
        self.side.setRange(2, 8)
        self.side.setValue(4)
        self.side.setSuffix(" a line")
        hints: dict[Any, str] = {
            self.source: "<b>Selected</b>: a sample of the selected particles, of all where none "
            "is selected. <b>Near the mouse</b>: the particle that the mouse is on in another "
            "view, and those nearest to it in z",
            self.treatment: "Each goes on from the one before. <b>Raw</b>: as in your file. "
            "<b>Low-passed</b>: the run's working image, protein bright. <b>CTF-flipped</b>: "
            "contrast put right where the CTF reverses it. <b>Aligned</b>: turned in plane and "
            "shifted by the poses of the run; what is seen from one direction lies alike",
            self.low_pass: "Details finer than this are left out, Å; 0: no filter. Raw images stay "
            "as they are",
            self.side: "Images in a line, and lines",
            self.other: "Draw another sample; the number of the sample stands below the images",
        }
        explain(hints)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.addWidget(self.source, 0, 0)
        grid.addWidget(self.treatment, 0, 1)
        grid.addWidget(self.low_pass, 0, 2)
        grid.addWidget(self.side, 1, 0)
        grid.addWidget(self.other, 1, 1, 1, 2)
        for box in (self.source, self.treatment):
            box.currentIndexChanged.connect(self._tell)
        self.low_pass.valueChanged.connect(self._tell)
        self.side.valueChanged.connect(self._tell)
        self.other.clicked.connect(lambda: self.another.emit())

    def _tell(self, *_: object) -> None:
        self.low_pass.setEnabled(self.treatment.currentData() != "raw")
        self.changed.emit()
