"""The Export panel: particles as rows of the user's own file, maps of clusters, the whole run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.gui.background import Report, Task
from napari_cryodeco.gui.docking import Scrolled
from napari_cryodeco.gui.editors import PathEditor
from napari_cryodeco.gui.export_choice import (
    CRYOSPARC,
    FORMATS,
    STAR,
    Which,
    chosen_rows,
    preview,
    suggest_target,
    suitable_format,
)
from napari_cryodeco.gui.session import session_of

if TYPE_CHECKING:
    import numpy as np
    from napari import Viewer

    from napari_cryodeco.explore.selection import Written
    from napari_cryodeco.runs.run import Run

NO_RUN = "Open a run in the Explorer first; then its particles and maps can be exported here."


class ExportPanel(QWidget):
    """Writes on a worker thread; every file is read back and counted before it is reported."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._session = session_of(viewer)
        self._task = Task(self)
        self._suggested: Path | None = None
        self.which = QComboBox()
        self.labels = QLineEdit()
        self.kind = QComboBox()
        self.target = PathEditor(False, "file to write", "Particles (*.star *.cs *.txt)", save=True)
        self.copy_images = QCheckBox("and a float32 image copy")
        self.sentence = QLabel(NO_RUN)
        self.write_particles = QPushButton("Export particles")
        self.maps_folder = PathEditor(True, "new folder for the maps", save=True)
        self.write_maps = QPushButton("Export cluster maps")
        self.run_folder = PathEditor(True, "new folder", save=True)
        self.write_run = QPushButton("Export whole run")
        self.bar = QProgressBar()
        self.cancel = QPushButton("Cancel")
        self.result = QLabel()
        self._lay_out()
        self._connect()
        self._run_opened()

    # ---- set-up

    def _lay_out(self) -> None:
        self.which.addItems([which.value for which in Which])
        self.kind.addItems([kind.name for kind in FORMATS])
        self.labels.setPlaceholderText("1,3")
        self.bar.hide()
        self.cancel.hide()
        for label in (self.sentence, self.result):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        hints: tuple[tuple[QWidget, str], ...] = (
            (self.which, "Which particles are written"),
            (self.labels, "Numbers of the clusters, from 1, separated by commas"),
            (self.kind, "STAR and .cs hold the rows of your own file; row numbers count from 0"),
            (self.copy_images, "For RELION 3.1, which cannot read 16-bit floats (MRC mode 12)"),
            (self.write_particles, "Write the file, read it back and count it"),
            (self.write_maps, "One MRC map per cluster centre, with its voxel size"),
            (self.write_run, "latents.npy, particles.star with poses and classes, and maps"),
        )
        for widget, hint in hints:
            widget.setToolTip(f"<qt>{hint}</qt>")
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(8, 8, 8, 8)
        column.addWidget(self._particles_box())
        column.addWidget(_box("Maps of the clusters", self.maps_folder, self.write_maps))
        column.addWidget(_box("The whole run", self.run_folder, self.write_run))
        row = QHBoxLayout()
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel)
        column.addLayout(row)
        column.addWidget(self.result)
        column.addStretch()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(Scrolled(page))

    def _particles_box(self) -> QGroupBox:
        box = QGroupBox("Particles")
        rows = QFormLayout(box)
        rows.addRow("Which", self.which)
        self._labels_name = QLabel("Clusters")
        rows.addRow(self._labels_name, self.labels)
        rows.addRow("Format", self.kind)
        rows.addRow("File", self.target)
        rows.addRow("", self.copy_images)
        rows.addRow(self.sentence)
        rows.addRow(self.write_particles)
        return box

    def _connect(self) -> None:
        session = self._session
        session.opened.connect(self._run_opened)
        session.selection_changed.connect(self._refresh)
        session.clustering_changed.connect(self._refresh)
        self.which.currentTextChanged.connect(self._suggest)
        self.kind.currentTextChanged.connect(self._suggest)
        self.labels.textChanged.connect(self._suggest)
        self.target.changed.connect(self._refresh)
        self.maps_folder.changed.connect(self._refresh)
        self.run_folder.changed.connect(self._refresh)
        self.write_particles.clicked.connect(self._export_particles)
        self.write_maps.clicked.connect(self._export_maps)
        self.write_run.clicked.connect(self._export_run)
        self.cancel.clicked.connect(self._cancelled)
        self._task.returned.connect(self._done)
        self._task.failed.connect(self._failed)
        self._task.progressed.connect(self._progressed)
        self._task.ended.connect(self._ended)

    # ---- the state of the widgets

    @property
    def _which(self) -> Which:
        return Which(self.which.currentText())

    @property
    def _format(self) -> Any:
        return FORMATS[self.kind.currentIndex()]

    def _run_opened(self, *_: object) -> None:
        run = self._session.run
        if run is not None:
            self.kind.setCurrentIndex(FORMATS.index(suitable_format(run.particles.source)))
            self.maps_folder.show_value(suggest_target(run.path / "export", "maps", ""))
            self.run_folder.show_value(suggest_target(run.path / "export", "whole", ""))
        self._suggest()

    def _suggest(self, *_: object) -> None:
        """Offer a free name that says what it is, until the user has typed one."""
        run = self._session.run
        if run is not None and self.target.value() in (None, self._suggested):
            numbers = "-".join(self.labels.text().replace(",", " ").split())
            name = {
                Which.SELECTION: "selected",
                Which.OTHERS: "others",
                Which.CLUSTERS: f"cluster-{numbers}",
                Which.ALL: "all",
            }[self._which]
            self._suggested = suggest_target(run.path / "export", name, self._format.suffix)
            self.target.show_value(self._suggested)
        self._refresh()

    def _refresh(self, *_: object) -> None:
        by_number = self._which is Which.CLUSTERS
        self.labels.setVisible(by_number)
        self._labels_name.setVisible(by_number)
        self.copy_images.setVisible(self._format is STAR)
        run, free = self._session.run, not self._task.busy
        places = (self.run_folder.value(), self.maps_folder.value())
        self.write_run.setEnabled(run is not None and places[0] is not None and free)
        clustered = self._session.clustering is not None
        self.write_maps.setEnabled(clustered and places[1] is not None and free)
        try:
            self.sentence.setText(self._preview(run))
            self.write_particles.setEnabled(free)
        except ValueError as error:
            self.sentence.setText(str(error))
            self.write_particles.setEnabled(False)

    def _preview(self, run: Run | None) -> str:
        if run is None:
            raise ValueError(NO_RUN)
        source, target = run.particles.source, self.target.value()
        if self._format is CRYOSPARC and source.suffix.lower() != ".cs":
            raise ValueError(f"{source.name} has no .cs fields: choose STAR.")
        rows = self._rows()
        if target is None:
            raise ValueError("Choose a file to write.")
        return preview(len(rows), len(run.particles), source, self._format, target)

    def _rows(self) -> np.ndarray:
        return chosen_rows(self._session, self._which, self.labels.text())

    # ---- writing

    def _export_particles(self) -> None:
        run, target = self._session.loaded().run, self.target.value()
        if target is None:
            return
        with_images = self.copy_images.isChecked() and self._format is STAR
        self._start(partial(_write_particles, run, self._rows(), target, with_images))

    def _export_maps(self) -> None:
        folder = self.maps_folder.value()
        if folder is not None:
            self._start(partial(_write_maps, self._session.loaded(), folder))

    def _export_run(self) -> None:
        folder = self.run_folder.value()
        if folder is not None:
            self._start(partial(_write_run, self._session.loaded().run, folder))

    def _start(self, work: Any) -> None:
        self.result.setText("")
        self.bar.setRange(0, 0)
        self.bar.show()
        self.cancel.show()
        self._task.start(work)
        self._refresh()

    def _progressed(self, done: int, of: int) -> None:
        self.bar.setRange(0, of)
        self.bar.setValue(done)

    def _done(self, sentence: str) -> None:
        self.result.setText(sentence)

    def _failed(self, sentence: str) -> None:
        self.result.setText(sentence)
        show_error(sentence)

    def _cancelled(self) -> None:
        self._task.cancel()
        self.result.setText("Cancelled; nothing was written under the final name.")

    def _ended(self) -> None:
        self.bar.hide()
        self.cancel.hide()
        self._suggest()


def _box(title: str, *widgets: QWidget) -> QGroupBox:
    box = QGroupBox(title)
    column = QVBoxLayout(box)
    for widget in widgets:
        column.addWidget(widget)
    return box


def _write_particles(
    run: Run, rows: np.ndarray, target: Path, with_images: bool, report: Report
) -> str:
    from napari_cryodeco.explore.selection import write, write_with_images

    run.check_source()
    if with_images:
        written = write_with_images(rows, run.particles, target, progress=report)
    else:
        written = write(rows, run.particles, target)
    return describe(written)


def describe(written: Written) -> str:
    """What was written, as read back, and what the user should know about it."""
    lines = [f"{written.path}: {written.count:,} particles written and read back."]
    return "\n".join([*lines, *written.warnings])


def _write_maps(snapshot: Any, folder: Path, report: Report) -> str:
    from napari_cryodeco.explore.exporting import export_maps

    made = export_maps(snapshot.run, snapshot.clustering.centres, folder, progress=report)
    return f"{folder}: {len(made)} maps written."


def _write_run(run: Run, folder: Path, report: Report) -> str:
    from napari_cryodeco.explore.exporting import export_run

    export_run(run, folder, progress=report)
    return f"{folder}: latents.npy, particles.star and maps of the whole run written."
