"""Fetch official weights: show the licence, ask, download in the background, load them once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.gui.background import Report, Task
from napari_cryodeco.gui.editors import PathEditor
from napari_cryodeco.gui.telling import readable
from napari_cryodeco.model.official import LICENCE, OFFICIAL, PAGE, default_folder, download

_KILO = 1024  # Qt's progress bar counts no more than two billion


def fetch(name: str, into: Path, report: Report) -> Path:
    """Download weights and load them once, strictly.

    In a process of its own: timm brings triton, which ends this one where OpenGL came first.
    """
    folder = download(name, into, lambda done, of: report(done // _KILO, of // _KILO))
    command = [sys.executable, "-m", "napari_cryodeco", "prior", "info", str(folder)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=False)
    if loaded.returncode:
        lines = loaded.stderr.strip().splitlines() or [f"{' '.join(command)} ended without a word."]
        raise ValueError(lines[-1].removeprefix("cryodeco: "))
    return folder


class DownloadDialog(QDialog):
    """Which weights, under what licence, into which folder.

    Attributes
    ----------
    fetched
        The folder of weights that were downloaded and loaded.
    """

    fetched = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Official weights")
        self.resize(520, 300)
        self._task = Task(self)
        self.names = QComboBox()
        for one in OFFICIAL.values():
            self.names.addItem(one.title, one.name)
        self.folder = PathEditor(True, "a folder for the weights")
        self.agreed = QCheckBox("I have read this and use them for academic research only")
        self.bar = QProgressBar()
        self.said = QLabel()
        self.page = QPushButton("Open their page")
        self.begin = QPushButton("Download")
        self.close_button = QPushButton("Close")
        self._lay_out()
        self.names.currentIndexChanged.connect(self._suggest)
        self.agreed.toggled.connect(self._refresh)
        self.page.clicked.connect(lambda: QDesktopServices.openUrl(QUrl(PAGE)))
        self.begin.clicked.connect(self._begin)
        self.close_button.clicked.connect(self.reject)
        self._task.progressed.connect(self._progressed)
        self._task.returned.connect(self._returned)
        self._task.failed.connect(self.said.setText)
        self._task.ended.connect(self._refresh)
        self._suggest()
        self._refresh()

    def reject(self) -> None:
        """Close; what was fetched so far is kept, and the next download goes on from there."""
        self._task.cancel()
        super().reject()

    def _lay_out(self) -> None:
        licence = QLabel(LICENCE)
        readable(licence)
        self.page.setToolTip(PAGE)
        self.names.setToolTip("Weights of the authors of CryoDECO")
        self.folder.setToolTip("Where the weights are kept; runs refer to this folder")
        self.begin.setToolTip("Fetch the weights; a download that broke off goes on")
        self.close_button.setToolTip("Stop and close; the next download goes on from there")
        self.said.setWordWrap(True)
        self.bar.setTextVisible(True)
        self.bar.hide()
        rows = QFormLayout()
        rows.addRow("Weights", self.names)
        rows.addRow("Folder", self.folder)
        buttons = QHBoxLayout()
        buttons.addWidget(self.page)
        buttons.addStretch()
        buttons.addWidget(self.begin)
        buttons.addWidget(self.close_button)
        column = QVBoxLayout(self)
        column.addLayout(rows)
        column.addWidget(licence)
        column.addWidget(self.agreed)
        column.addWidget(self.bar)
        column.addWidget(self.said)
        column.addStretch()
        column.addLayout(buttons)

    def _suggest(self) -> None:
        self.folder.show_value(default_folder(self.names.currentData()))

    def _begin(self) -> None:
        name, into = self.names.currentData(), self.folder.value()
        if into is None:
            self.said.setText("Folder: nothing is chosen yet; give a folder for the weights.")
            return
        self.said.setText("Asking the host…")
        self.bar.setRange(0, 0)
        self.bar.show()
        self._task.start(lambda report: fetch(name, into, report))
        self._refresh()

    def _progressed(self, done: int, of: int) -> None:
        self.bar.setRange(0, max(of, 1))
        self.bar.setValue(done)
        loading = done >= of
        self.said.setText(
            "Loading them once…" if loading else f"{done / 1024:,.0f} of {of / 1024:,.0f} MB"
        )

    def _returned(self, folder: Path) -> None:
        self.fetched.emit(folder)
        self.accept()

    def _refresh(self) -> None:
        busy = self._task.busy
        self.begin.setEnabled(self.agreed.isChecked() and not busy)
        for widget in (self.names, self.folder, self.agreed):
            widget.setEnabled(not busy)
        self.bar.setVisible(busy)
