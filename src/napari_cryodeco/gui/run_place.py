"""Where a training runs: here, or on a cluster by a submission script that is shown before."""

from __future__ import annotations

import shlex
from pathlib import Path

from qtpy.QtCore import QSettings, Signal
from qtpy.QtGui import QFontDatabase
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QPlainTextEdit, QVBoxLayout, QWidget

from napari_cryodeco import jobs, submission
from napari_cryodeco.gui.editors import PathEditor
from napari_cryodeco.gui.form import ModelForm
from napari_cryodeco.gui.wheel import leave_wheel_to_page
from napari_cryodeco.submit_config import SubmitConfig

HERE, CLUSTER = "This computer", "A cluster, by a submission script"
KEPT = "submission"


def start(path: Path, place: SubmitConfig | None) -> jobs.Job | submission.Submitted:
    """Start the training of a run here (None), or hand it to a batch system."""
    if place is None:
        return jobs.start("train", str(path))
    return submission.submit(path, place)


class RunPlace(QWidget):
    """A choice, the settings of a submission, and the script that they make.

    Attributes
    ----------
    changed
        Emitted after the user changed anything.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.where = QComboBox()
        self.where.addItems([HERE, CLUSTER])
        self.where.setToolTip("Where Start and Resume run the training; both write the run folder")
        self.where.setAccessibleName("Runs on")
        leave_wheel_to_page(self.where)
        template = PathEditor(False, "the Slurm example of this package", "Scripts (*)")
        names = list(SubmitConfig.model_fields)
        self.form = ModelForm(SubmitConfig, names, {"template": template})
        self.form.advanced.hide()
        self.script = QPlainTextEdit()
        self.script.setReadOnly(True)
        self.script.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.script.setMinimumHeight(150)
        self.script.setToolTip("The script that will be handed over, as RUN/submit.sh")
        self._folder: Path | None = None
        self._lay_out()
        self._recall()
        self._refresh()
        self.where.currentTextChanged.connect(self._changed)
        self.form.changed.connect(self._changed)

    def value(self) -> SubmitConfig | None:
        """The submission that is set, None for this computer; ValueError names a wrong field."""
        return self.form.read() if self.where.currentText() == CLUSTER else None

    def show_folder(self, folder: Path | None) -> None:
        """Take the run folder that the script is for."""
        self._folder = folder
        self._refresh()

    def command(self) -> str:
        """The command that Start runs, empty while that is not known."""
        if self._folder is None:
            return ""
        try:
            place = self.value()
        except ValueError:
            return ""
        if place is None:
            return shlex.join(["cryodeco", "train", str(self._folder)])
        return shlex.join(submission.command(self._folder, place))

    def _lay_out(self) -> None:
        top = QWidget()
        row = QFormLayout(top)
        row.setContentsMargins(0, 0, 0, 0)
        row.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        row.addRow(QLabel("Runs on"), self.where)
        self._cluster = QWidget()
        inside = QVBoxLayout(self._cluster)
        inside.setContentsMargins(12, 0, 0, 0)
        inside.addWidget(self.form)
        inside.addWidget(self.script)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(top)
        column.addWidget(self._cluster)

    def _changed(self) -> None:
        self._refresh()
        self._keep()
        self.changed.emit()

    def _refresh(self) -> None:
        on_cluster = self.where.currentText() == CLUSTER
        self._cluster.setVisible(on_cluster)
        if on_cluster:
            self.script.setPlainText(self._text())

    def _text(self) -> str:
        """The script, or the sentence that says why there is none yet."""
        try:
            return submission.script(self._folder or Path("RUN"), self.form.read())
        except (OSError, ValueError) as error:
            return str(error)

    def _keep(self) -> None:
        """Remember a cluster's settings for the next window."""
        try:
            place = self.value()
        except ValueError:
            return
        text = "" if place is None else place.model_dump_json()
        QSettings("napari-cryodeco", "napari-cryodeco").setValue(KEPT, text)

    def _recall(self) -> None:
        text = QSettings("napari-cryodeco", "napari-cryodeco").value(KEPT, "", str)
        try:
            kept = SubmitConfig.model_validate_json(text) if text else None
        except ValueError:
            return  # of another version
        if kept is not None:
            self.form.write(kept)
            self.where.setCurrentText(CLUSTER)
