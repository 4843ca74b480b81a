"""Opens the run of a decode server as a copy here, and keeps the copy up to date."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, QTimer, Signal

from napari_cryodeco.explore.mirror import connect, default_home, mirror_at
from napari_cryodeco.explore.wire import Address, parse_address
from napari_cryodeco.gui.background import Report
from napari_cryodeco.gui.latest import Latest
from napari_cryodeco.runs.mirrored import read_mirrored

FOLLOW_MS = 3000


class RemoteRun(QObject):
    """One server at a time; all that waits for it is done on a thread.

    Attributes
    ----------
    ready
        Path of a copy that can be opened.
    told
        How the connection is, in one sentence; empty where there is none.
    failed
        One sentence: an address could not be opened.
    lost, returned
        The server does not answer any more, and does again.
    """

    ready = Signal(object)
    told = Signal(str)
    failed = Signal(str)
    lost = Signal()
    returned = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path: Path | None = None
        self._opening = self._lost = False
        self._work = Latest(self)
        self._work.returned.connect(self._done)
        self._work.failed.connect(self._broken)
        self._work.progressed.connect(self._progressed)
        self._timer = QTimer(self)
        self._timer.setInterval(FOLLOW_MS)
        self._timer.timeout.connect(self._sync)

    def open(self, text: str, home: Path | None = None) -> None:
        """Copy the run of the server at an address, or what is new of it, into `home`."""
        try:
            address = parse_address(text)
        except ValueError as error:
            self.failed.emit(str(error))
            return
        self._timer.stop()
        self._opening = True
        self.told.emit(f"Asking {address.place}…")
        self._work.ask(partial(_copy, address, home or default_home()))

    def follow(self, path: Path) -> None:
        """Keep the copy at `path` up to date from now on; of any other run there is nothing to do.

        Raises
        ------
        ValueError
            If what names the server was damaged.
        """
        mirrored = read_mirrored(path)
        self.close()
        if mirrored is not None:
            self._path = path
            self._timer.start()
            self._sync()

    def close(self) -> None:
        """Follow nothing any more."""
        self._timer.stop()
        self._work.forget()
        self._path, self._opening, self._lost = None, False, False
        self.told.emit("")

    def _sync(self) -> None:
        if self._path is not None and not self._work.busy:
            self._work.ask(partial(_update, self._path))

    def _progressed(self, done: int, of: int) -> None:
        if self._opening and of > 1:
            self.told.emit(f"Copying the run: {done / 1000:.1f} of {of / 1000:.1f} MB")

    def _done(self, path: Path) -> None:
        if self._opening:
            self._opening = False
            self.ready.emit(path)
            return
        mirrored = read_mirrored(path)
        if mirrored is not None:
            self.told.emit(f"Maps are decoded on {mirrored.host}; a copy of {mirrored.path}")
        if self._lost:
            self._lost = False
            self.returned.emit()

    def _broken(self, sentence: str) -> None:
        if self._opening:
            self._opening = False
            self.told.emit("")
            self.failed.emit(sentence)
            if self._path is not None:
                self._timer.start()
            return
        self.told.emit(f"Not up to date, tried again by itself. {sentence}")
        if not self._lost:
            self._lost = True
            self.lost.emit()


def _copy(address: Address, home: Path, report: Report) -> Path:
    mirror = connect(address, home)
    mirror.sync(report)
    return mirror.path


def _update(path: Path, report: Report) -> Path:
    if (mirror := mirror_at(path)) is not None:
        mirror.sync(report)
    return path
