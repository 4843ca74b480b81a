"""Loads epochs of a run off the GUI thread, and follows a run that is still being trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_cryodeco.explore.read_columns import ReadColumns
from napari_cryodeco.gui.background import Task
from napari_cryodeco.gui.importing import wait_for_runs
from napari_cryodeco.gui.latest import Latest
from napari_cryodeco.gui.snapshot import Snapshot, load_snapshot
from napari_cryodeco.gui.watching import RunWatcher, headline
from napari_cryodeco.runs.mirrored import read_mirrored
from napari_cryodeco.runs.paths import RunPaths

if TYPE_CHECKING:
    from napari_cryodeco.runs.progress import Update


def list_columns(snapshot: Snapshot) -> ReadColumns:
    """What is known of each particle; a large file is looked through, but no column is kept."""
    return ReadColumns.of_run(snapshot.run, snapshot.epoch)


def _loaded(path: Path, epoch: int | None) -> Snapshot:
    wait_for_runs()
    return load_snapshot(path, epoch)


class RunLoader(QObject):
    """One run at a time: its newest epoch, or the one chosen."""

    loaded = Signal(object)  # Snapshot
    columns_listed = Signal(object)  # ReadColumns of the epoch loaded
    counted = Signal(object)  # list of the finished epochs, when there are more
    waiting = Signal(object)  # Path of a run without an epoch
    told = Signal(str)  # what the run does now
    rested = Signal()  # its training has just ended
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path: Path | None = None
        self._chosen: int | None = None
        self._trains = False
        self._host = ""  # where the run of a copy is trained
        self._next: tuple[Path, int | None] | None = None
        self._loading, self._listing = Task(self), Latest(self)
        self._loading.returned.connect(self._take)
        self._loading.failed.connect(self.failed)
        self._loading.ended.connect(self._go_on)
        self._listing.returned.connect(self.columns_listed)
        self._listing.failed.connect(self.failed)
        self._watcher = RunWatcher(self)
        self._watcher.updated.connect(self._see)
        self._watcher.failed.connect(self.failed)

    @property
    def chosen(self) -> int | None:
        """Number of the epoch that is kept to; None: the newest is followed."""
        return self._chosen

    def opens(self, path: Path) -> bool:
        """Whether `path` is a run folder; if it is none, that is told."""
        there = RunPaths(path).config.is_file()
        if not there:
            self.failed.emit(
                f"{path} is no run folder (it has no run.yaml): choose a folder that Reconstruct "
                "or `cryodeco new` made. Latents of another program: Plugins → CryoDECO → Other "
                "programs."
            )
        return there

    def open(self, path: Path, epoch: int | None = None) -> None:
        """Load an epoch of a run; None: the newest, and newer ones as they come."""
        there = epoch in RunPaths(path).epoch_numbers()
        self._path, self._chosen = path, epoch if there else None
        mirrored = read_mirrored(path)
        self._host = "" if mirrored is None else mirrored.host
        self.waiting.emit(path)
        if there:
            self._load(path, epoch)
        self._watcher.watch(path)

    def close(self) -> None:
        """Follow nothing any more; what is being loaded is loaded."""
        self._watcher.stop()
        self._next = None

    def choose_epoch(self, number: int | None) -> None:
        """Show one epoch and stay there; None follows the newest."""
        self._chosen = number
        if self._path is None:
            return
        numbers = RunPaths(self._path).epoch_numbers()
        if numbers:
            self._load(self._path, numbers[-1] if number is None else number)

    def _see(self, update: Update) -> None:
        self.told.emit("" if update.status.state == "done" else headline(update.status, self._host))
        if self._trains and update.status.ended:
            self.rested.emit()
        self._trains = update.status.state == "running"
        if update.epochs and self._path is not None:
            numbers = RunPaths(self._path).epoch_numbers()
            self.counted.emit(numbers)
            if self._chosen is None and numbers[-1] in update.epochs:  # earlier ones may come late
                self._load(self._path, numbers[-1])

    def _load(self, path: Path, number: int | None) -> None:
        self._next = (path, number)
        if not self._loading.busy:
            self._go_on()

    def _go_on(self) -> None:
        if self._next is None:
            return
        (path, number), self._next = self._next, None
        self._loading.start(lambda _: _loaded(path, number))

    def _take(self, snapshot: Snapshot) -> None:
        if snapshot.run.path != self._path:
            return  # another run was opened meanwhile
        self.loaded.emit(snapshot)
        self._listing.ask(lambda _: list_columns(snapshot))
