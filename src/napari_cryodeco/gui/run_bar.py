"""Which run and which epoch are shown."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QSlider,
    QWidget,
)
from superqt import QElidingLabel

from napari_cryodeco.runs.mirrored import Mirrored


class RunBar(QWidget):
    """A button, a name, an epoch; under them what the run does now, and where it is."""

    open_asked = Signal()
    address_given = Signal(str)  # of a decode server
    epoch_chosen = Signal(object)  # number, or None for the newest

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.open, self.more, self.address = QPushButton("Open run…"), QPushButton("▾"), QLineEdit()
        self._make_open()
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
        self.connection = QElidingLabel("")
        self.connection.setVisible(False)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        opening = QHBoxLayout()
        opening.setSpacing(1)
        opening.addWidget(self.open)
        opening.addWidget(self.more)
        grid.addLayout(opening, 0, 0)
        grid.addWidget(self.name, 0, 1)
        grid.addWidget(self.epoch, 0, 2)
        for row, widget in enumerate((self.address, self.scrubber, self.status, self.connection)):
            grid.addWidget(widget, row + 1, 0, 1, 3)
        grid.setColumnStretch(1, 1)
        self.open.clicked.connect(lambda: self.open_asked.emit())
        self.epoch.activated.connect(lambda _: self.epoch_chosen.emit(self.epoch.currentData()))
        self.scrubber.valueChanged.connect(self._scrubbed)

    def _make_open(self) -> None:
        self.open.setToolTip("Open a run folder; you can also drop one on this panel")
        self.more.setToolTip("More ways to open a run: by the address of another machine")
        self.more.setAccessibleName("More ways to open a run")
        self.more.setFixedWidth(self.more.fontMetrics().horizontalAdvance("▾") + 14)
        menu = QMenu(self)
        menu.addAction("Run folder…", lambda: self.open_asked.emit())
        menu.addAction("Address of another machine…", self.ask_address)
        self.more.clicked.connect(
            lambda: menu.popup(self.open.mapToGlobal(self.open.rect().bottomLeft()))
        )
        self.address.setPlaceholderText("http://localhost:PORT/#TOKEN")
        self.address.setToolTip(
            "<qt>The address that <tt>cryodeco serve RUN</tt> printed on the other machine; Enter "
            "opens it. The ssh command printed beside it must be running on this one</qt>"
        )
        self.address.setAccessibleName("Address of a decode server")
        self.address.setVisible(False)
        self.address.returnPressed.connect(self._give_address)

    def ask_address(self) -> None:
        """Show the field for an address."""
        self.address.setVisible(True)
        self.address.setFocus()

    def _give_address(self) -> None:
        if text := self.address.text().strip():
            self.address_given.emit(text)
        else:
            self.address.setVisible(False)

    def _scrubbed(self, place: int) -> None:
        newest = place == len(self._numbers) - 1
        number = None if newest else self._numbers[place]
        self.epoch.setCurrentIndex(self.epoch.findData(number))
        self.epoch_chosen.emit(number)

    def show_run(self, path: Path, particles: int, mirrored: Mirrored | None = None) -> None:
        """Show a run's name; of a copy, that of the run there."""
        name = path.name if mirrored is None else f"{mirrored.name} on {mirrored.host}"
        self.name.setText(f"{name} · {particles:,} particles")
        self.name.setToolTip(str(path))

    def show_connection(self, text: str) -> None:
        """Say how the connection with another machine is; nothing where there is none."""
        self.connection.setText(text)
        self.connection.setToolTip(text)
        self.connection.setVisible(bool(text))

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
