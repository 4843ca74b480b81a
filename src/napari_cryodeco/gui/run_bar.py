"""Which run and which epoch are shown."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QPushButton, QWidget
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
        self.status = QElidingLabel("")
        self.status.setVisible(False)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.addWidget(self.open, 0, 0)
        grid.addWidget(self.name, 0, 1)
        grid.addWidget(self.epoch, 0, 2)
        grid.addWidget(self.status, 1, 0, 1, 3)
        grid.setColumnStretch(1, 1)
        self.open.clicked.connect(lambda: self.open_asked.emit())
        self.epoch.activated.connect(lambda _: self.epoch_chosen.emit(self.epoch.currentData()))

    def show_run(self, path: Path, epochs: list[int], shown: int, particles: int) -> None:
        """Show a run's name, its epochs and which one is on."""
        self.name.setText(f"{path.name} · {particles:,} particles")
        self.name.setToolTip(str(path))
        follows = self.epoch.count() == 0 or self.epoch.currentData() is None
        self.epoch.clear()
        self.epoch.addItem(f"newest ({epochs[-1]})", None)
        for number in reversed(epochs):
            self.epoch.addItem(f"epoch {number}", number)
        self.epoch.setCurrentIndex(
            0 if follows and shown == epochs[-1] else self.epoch.findData(shown)
        )
        self.epoch.setVisible(True)

    def show_status(self, text: str) -> None:
        """Say what the run does now; nothing when it is done."""
        self.status.setText(text)
        self.status.setVisible(bool(text))
