"""Which run and which epoch are shown."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QPushButton, QSlider, QWidget
from superqt import QElidingLabel


class RunBar(QWidget):
    """A button, a name, an epoch; under them what the run does now."""

    open_asked = Signal()
    epoch_chosen = Signal(object)  # number, or None for the newest

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.open = QPushButton("Open run…")
        self.open.setToolTip("Open a run folder; you can also drop one on this panel")
        self.name = QElidingLabel("no run open")
        self.name.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.epoch = QComboBox()
        self.epoch.setToolTip(
            "Epoch of the training that is shown; 'newest' follows a run that is being trained"
        )
        self.epoch.setVisible(False)
        self.scrubber = QSlider(Qt.Orientation.Horizontal)
        self.scrubber.setToolTip(
            "Scrub through the finished epochs (←, →); views of earlier ones are turned onto the "
            "newest. At the right end the newest is followed while the run trains"
        )
        self.scrubber.setAccessibleName("Epoch shown")
        self.scrubber.setVisible(False)
        self._numbers: list[int] = []
        self.status = QElidingLabel("")
        self.status.setVisible(False)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.addWidget(self.open, 0, 0)
        grid.addWidget(self.name, 0, 1)
        grid.addWidget(self.epoch, 0, 2)
        grid.addWidget(self.scrubber, 1, 0, 1, 3)
        grid.addWidget(self.status, 2, 0, 1, 3)
        grid.setColumnStretch(1, 1)
        self.open.clicked.connect(lambda: self.open_asked.emit())
        self.epoch.activated.connect(lambda _: self.epoch_chosen.emit(self.epoch.currentData()))
        self.scrubber.valueChanged.connect(self._scrubbed)

    def _scrubbed(self, place: int) -> None:
        newest = place == len(self._numbers) - 1
        number = None if newest else self._numbers[place]
        self.epoch.setCurrentIndex(self.epoch.findData(number))
        self.epoch_chosen.emit(number)

    def show_run(self, path: Path, particles: int) -> None:
        """Show a run's name."""
        self.name.setText(f"{path.name} · {particles:,} particles")
        self.name.setToolTip(str(path))

    def show_epochs(self, epochs: list[int], shown: int, follows: bool) -> None:
        """Show the finished epochs, more of which come while a run trains."""
        self.epoch.clear()
        self.epoch.addItem(f"newest ({epochs[-1]})", None)
        for number in reversed(epochs):
            self.epoch.addItem(f"epoch {number}", number)
        self.epoch.setCurrentIndex(0 if follows else self.epoch.findData(shown))
        self.epoch.setVisible(True)
        if not self.scrubber.isSliderDown():  # who drags it is ahead of what is loaded
            self._numbers = epochs
            self.scrubber.blockSignals(True)
            self.scrubber.setRange(0, len(epochs) - 1)
            self.scrubber.setValue(epochs.index(shown))
            self.scrubber.blockSignals(False)
        self.scrubber.setVisible(len(epochs) > 1)

    def show_status(self, text: str) -> None:
        """Say what the run does now; nothing when it is done."""
        self.status.setText(text)
        self.status.setVisible(bool(text))
