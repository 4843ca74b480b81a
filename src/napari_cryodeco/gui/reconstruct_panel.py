"""The Reconstruct panel: choose particles, set, start, watch, stop, resume.

Training is a process of its own. The panel only writes the run directory, starts the command that
it shows, and reads files: it may be closed and opened again at any time.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtCore import QSettings, Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco import jobs, submission
from napari_cryodeco.config import TrainConfig, effort_values
from napari_cryodeco.gui.background import Task
from napari_cryodeco.gui.devices import Device, list_devices
from napari_cryodeco.gui.docking import Scrolled
from napari_cryodeco.gui.editors import ChoiceEditor, PathEditor
from napari_cryodeco.gui.form import ModelForm
from napari_cryodeco.gui.prior_chooser import PriorEditor
from napari_cryodeco.gui.progress_view import LogDialog, ProgressView
from napari_cryodeco.gui.run_place import RunPlace, start
from napari_cryodeco.gui.species_retry import SpeciesRetry
from napari_cryodeco.gui.watching import RunWatcher
from napari_cryodeco.runs.latent_size import read_latent_size
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.prior_record import read_record
from napari_cryodeco.runs.species import read_species
from napari_cryodeco.submit_config import SubmitConfig

if TYPE_CHECKING:
    from napari_cryodeco.runs.progress import Status, Update

BASIC = (
    "data.source",
    "data.datadir",
    "poses",
    "preset",
    "effort",
    "abinitio.classes",
    "encoder.prior",
    "refine.epochs",
    "device",
)
PATTERNS = "Particles (*.star *.cs *.mrcs *.mrc)"
LAST_RUN = "last_run"


@dataclass(frozen=True)
class Actions:
    """Which buttons make sense now."""

    start: bool
    stop: bool
    resume: bool
    explore: bool

    @classmethod
    def of(cls, status: Status | None, has_epochs: bool, busy: bool) -> Actions:
        """From the status of the run in the chosen folder (None: no run there yet)."""
        if busy or status is None:
            return cls(start=status is None and not busy, stop=False, resume=False, explore=False)
        running = status.state == "running" or (status.state == "queued" and status.pid > 0)
        resume = not running and status.state != "done"
        return cls(start=False, stop=running, resume=resume, explore=has_epochs)


def begin(
    config: TrainConfig, path: Path, place: SubmitConfig | None
) -> jobs.Job | submission.Submitted:
    """Make the run directory and start training: what ``new`` and ``train`` or ``submit`` do."""
    from napari_cryodeco.data.read import read_particles  # brings torch: on a worker thread only
    from napari_cryodeco.runs.run import Run

    particles = read_particles(config.data.source, config.data.datadir)
    Run.create(path, particles, config)
    return start(path, place)


def suggest_folder(source: Path) -> Path:
    """A free run folder in the user's home; the folder of the particles is another job's."""
    home = Path.home() / "cryodeco"
    name = source.stem if source.stem != "particles" else source.resolve().parent.name
    number = 1
    while (home / f"{name}-{number}").exists():
        number += 1
    return home / f"{name}-{number}"


class ReconstructPanel(QWidget):
    """Settings above, progress below.

    Attributes
    ----------
    explore_requested
        The run folder that the user wants to explore.
    """

    explore_requested = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._attached: Path | None = None
        self._suggested: Path | None = None
        self._status: Status | None = None
        self._has_epochs = False
        self._job = Task(self)
        self._devices = Task(self)
        self._watcher = RunWatcher(self)
        self._device = ChoiceEditor(["auto", "cpu"])
        source = PathEditor(False, "STAR, .cs or .mrcs; drop it here", PATTERNS)
        editors = {
            "data.source": source,
            "encoder.prior": PriorEditor(),
            "device": self._device,
        }
        self.form = ModelForm(TrainConfig, BASIC, editors)
        self._effort = self.form.editor("effort").value()
        self.folder = PathEditor(True, "a new folder, or one of a run to watch it")
        where = "Where everything of this run is written; nothing goes elsewhere."
        self.form.add_row("Run folder", self.folder, where)
        self.place = RunPlace()
        self.progress = ProgressView()
        self.again = SpeciesRetry()
        self.start = QPushButton("Start")
        self.stop = QPushButton("Stop")
        self.resume = QPushButton("Resume")
        self.explore = QPushButton("Open in Explorer")
        self.log = QPushButton("Log")
        self.command = QLineEdit()
        self.error = QLabel()
        self._lay_out()
        self._connect()
        self._refresh()
        self._devices.start(lambda report: list_devices())
        last = QSettings("napari-cryodeco", "napari-cryodeco").value(LAST_RUN, "", str)
        if last and RunPaths(Path(last)).config.is_file():
            self.folder.show_value(Path(last))

    def attach(self, path: Path) -> None:
        """Show a run that exists: its settings, its numbers so far and what it does now."""
        try:
            text = RunPaths(path).config.read_text(encoding="utf-8")
            config = TrainConfig.from_yaml(text, RunPaths(path).config)
        except (OSError, ValueError) as error:
            self.show_error(str(error))
            return
        self._attached, self._has_epochs = path, False
        self._effort = config.effort
        self.form.write(config)
        self.progress.clear()
        self._show_command()
        self._watcher.watch(path)
        QSettings("napari-cryodeco", "napari-cryodeco").setValue(LAST_RUN, str(path))

    def show_error(self, sentence: str) -> None:
        """Say what is wrong, here and in napari's corner."""
        self.error.setText(sentence)
        self.error.setVisible(bool(sentence))
        if sentence:
            show_error(sentence)

    def _lay_out(self) -> None:
        page = QWidget()
        rows = QVBoxLayout(page)
        rows.setContentsMargins(0, 0, 6, 0)
        rows.addWidget(self.form)
        rows.addWidget(self.place)
        rows.addStretch()
        below = QWidget()
        column = QVBoxLayout(below)
        column.setContentsMargins(0, 4, 0, 0)
        buttons = QHBoxLayout()
        for button, hint in (
            (self.start, "Write the run folder and train in a process of its own"),
            (self.stop, "Ask the training to stop at its next step; nothing is lost"),
            (self.resume, "Go on from the last checkpoint"),
            (self.log, "Show the output of the training process"),
        ):
            button.setToolTip(hint)
            buttons.addWidget(button)
        self.explore.setToolTip("Show the particles of the newest finished epoch; training goes on")
        self.error.setWordWrap(True)
        self.error.setObjectName("error")
        self.error.setStyleSheet("color: #ff7b54")
        self.error.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.error.hide()
        self.command.setReadOnly(True)
        self.command.setPlaceholderText("the command that Start runs stands here")
        self.command.setToolTip(
            "The command that Start or Resume runs, or has run; it can be copied to a terminal"
        )
        column.addLayout(buttons)
        column.addWidget(self.error)
        column.addWidget(self.progress, 1)
        column.addWidget(self.again)
        column.addWidget(self.command)
        column.addWidget(self.explore)

        parts = QSplitter(Qt.Orientation.Vertical)
        parts.addWidget(Scrolled(page))
        parts.addWidget(below)
        parts.setChildrenCollapsible(False)
        parts.setStretchFactor(0, 1)
        parts.setStretchFactor(1, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(8, 8, 8, 8)
        whole.addWidget(parts)

    def _connect(self) -> None:
        self.start.clicked.connect(self._start)
        self.stop.clicked.connect(self._stop)
        self.resume.clicked.connect(self._resume)
        self.log.clicked.connect(self._show_log)
        self.explore.clicked.connect(self._explore)
        self.form.changed.connect(self._settings_changed)
        self.place.changed.connect(self._show_command)
        self.form.editor("effort").changed.connect(self._effort_changed)
        self.folder.changed.connect(self._folder_changed)
        self.again.made.connect(self.folder.show_value)
        self.again.failed.connect(self.show_error)
        self._watcher.updated.connect(self._updated)
        self._watcher.failed.connect(self.show_error)
        self._job.returned.connect(self._started)
        self._job.failed.connect(self.show_error)
        self._job.ended.connect(self._refresh)
        self._devices.returned.connect(self._offer_devices)
        self._devices.failed.connect(self.show_error)

    # ---- what the user does

    def _start(self) -> None:
        self.show_error("")
        path = self.folder.value()
        try:
            config, place = self.form.read(), self.place.value()
            if path is None:
                raise ValueError("Run folder: nothing is chosen yet; give a new folder.")
        except ValueError as error:
            self.show_error(str(error))
            return
        self.progress.line.setText("Reading the particles…")
        self._job.start(lambda report: begin(config, path, place))
        self._refresh()

    def _resume(self) -> None:
        path = self._attached
        if path is None:
            return
        self.show_error("")
        try:
            place = self.place.value()
        except ValueError as error:
            self.show_error(str(error))
            return
        self._job.start(lambda report: start(path, place))
        self._refresh()

    def _stop(self) -> None:
        if self._attached is None:
            return
        try:
            jobs.stop(self._attached)
        except OSError as error:
            self.show_error(str(error))
            return
        self.stop.setEnabled(False)
        self.progress.line.setText("Stopping at the next step…")

    def _explore(self) -> None:
        self.explore_requested.emit(self._attached)

    def _show_log(self) -> None:
        if self._attached is not None:
            LogDialog(RunPaths(self._attached).log, self).show()

    def _settings_changed(self) -> None:
        self.show_error("")
        source = self.form.editor("data.source").value()
        if source is not None and self.folder.value() in (None, self._suggested):
            self._suggested = suggest_folder(source)
            self.folder.show_value(self._suggested)

    def _effort_changed(self) -> None:
        """Show what the effort sets; what the user has set to something else stays."""
        chosen = self.form.editor("effort").value()
        before, self._effort = effort_values(self._effort), chosen
        for name, value in effort_values(chosen).items():
            editor = self.form.editor(name)
            try:
                untouched = editor.value() == before[name]
            except ValueError:  # half typed
                continue
            if untouched:
                editor.show_value(value)

    def _folder_changed(self) -> None:
        path = self.folder.value()
        self.place.show_folder(path)
        if path == self._attached:
            return
        self._attached, self._status = None, None
        self._show_command()
        self._watcher.stop()
        self.progress.clear()
        self.again.offer(None, ())
        if path is not None and RunPaths(path).config.is_file():
            self.attach(path)
        self._refresh()

    def _show_command(self) -> None:
        """Show what Start or Resume will run."""
        self.command.setText(self.place.command())

    # ---- what comes back

    def _started(self, job: jobs.Job | submission.Submitted) -> None:
        path = self.folder.value()
        if path is not None:
            self.attach(path)
        self.command.setText(shlex.join(job.command))
        self.command.setCursorPosition(0)

    def _updated(self, update: Update) -> None:
        failed_now = update.status.state == "failed" and (
            self._status is None or self._status.state != "failed"
        )
        self._status = update.status
        self._has_epochs = self._has_epochs or bool(update.epochs)
        self.progress.show_update(update)
        self._show_facts()
        if failed_now:
            self.show_error(update.status.error)
        self._refresh()

    def _show_facts(self) -> None:
        """What is known by now of the prior, of z and of each species."""
        if self._attached is None:
            return
        try:
            prior, species = read_record(self._attached), read_species(self._attached)
            size = read_latent_size(self._attached)
        except (OSError, ValueError) as error:
            self.show_error(str(error))
            return
        self.progress.show_facts("" if prior is None else prior.sentence, species, size)
        ended = self._status is not None and self._status.ended
        self.again.offer(self._attached, species if ended else ())

    def _offer_devices(self, devices: tuple[Device, ...]) -> None:
        self._device.offer([device.name for device in devices])
        lines = "<br>".join(f"<b>{device.name}</b>: {device.what}" for device in devices)
        self._device.setToolTip(f"<qt>Where the training runs.<br>{lines}</qt>")

    def _refresh(self) -> None:
        allowed = Actions.of(self._status, self._has_epochs, self._job.busy)
        self.start.setEnabled(allowed.start)
        self.stop.setEnabled(allowed.stop)
        self.resume.setEnabled(allowed.resume)
        self.explore.setEnabled(allowed.explore)
        self.log.setEnabled(self._attached is not None)
