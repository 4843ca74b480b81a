"""Choose what a run begins with: the bundled prior, none, or a folder of weights."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFileDialog

from napari_cryodeco.gui.editors import Editor, narrow
from napari_cryodeco.gui.prior_download import DownloadDialog
from napari_cryodeco.gui.wheel import leave_wheel_to_page
from napari_cryodeco.model.official import OFFICIAL, default_folder, is_downloaded
from napari_cryodeco.stage_config import BUNDLED_PRIOR, NO_PRIOR

FOLDER, DOWNLOAD = "\0folder", "\0download"  # no path looks like these
_HINTS = {
    BUNDLED_PRIOR: "The encoder that comes with the package: small, for any machine",
    NO_PRIOR: "No prior: species are sought in classical image features",
    FOLDER: "Weights of Cryo-IEF or CryoRanker, or of your own `cryodeco pretrain`",
    DOWNLOAD: "Fetch the weights of Cryo-IEF or CryoRanker (academic research only)",
}


class PriorEditor(Editor):
    """The prior of a run, as the settings name it: "bundled", "none", or a path."""

    def __init__(self) -> None:
        super().__init__()
        self._box = QComboBox()
        narrow(self._box)
        for text, data in (
            ("Bundled", BUNDLED_PRIOR),
            ("None", NO_PRIOR),
            ("Folder…", FOLDER),
            ("Download official…", DOWNLOAD),
        ):
            self._box.addItem(text, data)
            self._hint(self._box.count() - 1, _HINTS[data])
        for name in filter(is_downloaded, OFFICIAL):
            self._add(str(default_folder(name)))
        self._shown = BUNDLED_PRIOR
        self._box.activated.connect(self._activated)
        leave_wheel_to_page(self._box)
        self._hold(self._box)

    def value(self) -> str:
        """The word or the path."""
        return self._shown

    def show_value(self, value: str) -> None:
        """Show a word or a path; a path that is not on the list is added."""
        if self._box.findData(value) < 0:
            self._add(value)
        self._box.setCurrentIndex(self._box.findData(value))
        changed, self._shown = value != self._shown, value
        if changed:
            self.changed.emit()

    def _add(self, path: str) -> None:
        """Offer a path, above the two that open a dialogue."""
        place = self._box.findData(FOLDER)
        self._box.insertItem(place, "/".join(Path(path).parts[-2:]), path)
        self._hint(place, path)

    def _hint(self, place: int, text: str) -> None:
        self._box.setItemData(place, text, Qt.ItemDataRole.ToolTipRole)

    def _activated(self, place: int) -> None:
        chosen = self._box.itemData(place)
        self._box.setCurrentIndex(self._box.findData(self._shown))  # a dialogue may be cancelled
        if chosen == FOLDER:
            start = self._shown if Path(self._shown).is_dir() else str(Path.home())
            folder = QFileDialog.getExistingDirectory(self, "Folder of weights", start)
            if folder:
                self.show_value(folder)
        elif chosen == DOWNLOAD:
            dialog = DownloadDialog(self)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.fetched.connect(lambda folder: self.show_value(str(folder)))
            dialog.open()
        else:
            self.show_value(chosen)
