"""The paths that are kept with a run: open one, or save the one shown."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QSizePolicy, QWidget

from napari_cryodeco.gui.editors import narrow


class PathFiles(QWidget):
    """A list of files and a button."""

    chosen = Signal(object)  # Path
    save_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.saved = QComboBox()
        self.saved.setToolTip("Paths saved under trajectories/ of the run; choose one to show it")
        self.saved.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        narrow(self.saved)
        self.save = QPushButton("Save path")
        self.save.setToolTip(
            "Write points and recipe of this path as JSON under trajectories/ of the run; "
            "`cryodeco movie RUN --path FILE` films it"
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.saved, 1)
        row.addWidget(self.save)
        self.saved.activated.connect(self._choose)
        self.save.clicked.connect(lambda: self.save_asked.emit())
        self.show_folder(None)

    def show_folder(self, folder: Path | None, shown: Path | None = None) -> None:
        """List the paths in a folder; the one `shown` is on."""
        files = sorted(folder.glob("*.json")) if folder is not None else []
        self.saved.clear()
        self.saved.addItem("saved paths…" if files else "no saved paths", None)
        for file in files:
            self.saved.addItem(file.stem, file)
        self.saved.setCurrentIndex(files.index(shown) + 1 if shown in files else 0)
        self.saved.setEnabled(bool(files))

    def _choose(self, _: int) -> None:
        if (file := self.saved.currentData()) is not None:
            self.chosen.emit(file)
