"""Live decoding off the GUI thread: the newest request wins, coarse at once, then full."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_cryodeco.explore.connection import ServerGone
from napari_cryodeco.gui.background import EXPECTED, end_before_exit
from napari_cryodeco.gui.map_filter import MapFilter

if TYPE_CHECKING:
    from napari_cryodeco.explore.volumes import Volume, VolumeDecoder, VolumeRequest
    from napari_cryodeco.runs.run import Run

Floats = NDArray[np.floating[Any]]
PREVIEW_SECONDS = 0.08
FINE_BELOW = 64  # voxels


def open_decoder(run: Run, epoch: int) -> VolumeDecoder:
    """Open the decoder of an epoch, or where it has none its codebook; not for the GUI thread.

    The codebook stands in for a server that does not answer, too.

    Raises
    ------
    ValueError, OSError
        If it has neither.
    """
    if run.epoch(epoch).has_decoder:
        try:
            return open_field(run, epoch)
        except ServerGone:
            if (book := _open_codebook(run, epoch, "no server answers: ")) is None:
                raise
            return book
    return _open_codebook(run, epoch) or open_field(run, epoch)


def _open_codebook(run: Run, epoch: int, why: str = "") -> VolumeDecoder | None:
    from napari_cryodeco.explore.codebook import load_codebook  # imports torch
    from napari_cryodeco.explore.volumes import VolumeDecoder

    if (book := load_codebook(run, epoch)) is None:
        return None
    why += f"nearest of {len(book.points)} maps of the codebook"
    return VolumeDecoder(book.decoder(), "cpu", why=why)


def open_field(run: Run, epoch: int) -> VolumeDecoder:
    """Open the decoder of an epoch where it does not disturb a training; not for the GUI thread."""
    from napari_cryodeco.explore import decoders  # both import torch
    from napari_cryodeco.explore.devices import beside_training

    device, why = beside_training(run.path, run.config.device)
    return decoders.open_decoder(run.epoch(epoch), device, why=why)


class MapDecoder(Protocol):
    """What `VolumeDecoder` offers to the window."""

    def decode(self, request: VolumeRequest) -> Volume:
        """Decode one map."""

    def preview(self, z: Floats, budget_s: float) -> VolumeRequest:
        """The finest request that takes about so long."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """A map and how it came about.

    Parameters
    ----------
    volume
        The map.
    caption
        What was decoded, in words.
    full
        False for the coarse map while the full one is on its way.
    radius
        Fourier radius, cycles per box.
    seconds
        Time it took.
    device
        Where it ran, in words.
    """

    volume: Volume
    caption: str
    full: bool
    radius: int
    seconds: float
    device: str


@dataclass(frozen=True, eq=False)
class _Asked:
    number: int
    z: Floats
    caption: str
    filter: MapFilter
    full: bool  # whether a full map is wanted, too


class _Slot:
    """Holds the newest request only; a taker waits for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._content: _Asked | None = None
        self._closed = False

    def put(self, asked: _Asked | None) -> None:
        with self._changed:
            self._content = asked
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def take(self) -> _Asked | None:
        """Wait for a request; None when the slot is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._content is not None)
            asked, self._content = self._content, None
            return None if self._closed else asked


class DecodeThread(QObject):
    """Two daemon threads, for coarse and for full maps, each with a slot for the newest request.

    A full map may take seconds on a CPU; with a thread of its own it never delays the coarse ones
    that follow the mouse. It begins when the coarse one of its request has been told, which comes
    sooner with the cores to itself. An answer that a newer request has overtaken is dropped, and of
    the answers that come while the window is busy only the last is told: to show the others, one
    after the other, would keep the window busy. All is told in the thread of this object.

    Examples
    --------
    >>> thread = DecodeThread()
    >>> thread.decoded.connect(show)
    >>> thread.use(lambda: open_decoder(run, 12))
    >>> thread.request(z, "cluster 2")
    """

    decoded = Signal(object)  # Decoded
    failed = Signal(str)  # one sentence
    busy_changed = Signal(bool)  # whether a full map is on its way
    _arrived = Signal()  # something lies in the tray

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._number = 0
        self._shown = 0
        self._lock = threading.Lock()
        self._opening = threading.Lock()  # of the two threads only: opening may wait for a server
        self._opener = 0  # which one; another comes with another epoch
        self._full_worker: int | None = None  # the thread that decodes a full map now
        self._open: Callable[[], MapDecoder] | None = None
        self._decoder: MapDecoder | None = None
        # by signal the newest answer, until it is told, and the request whose coarse map it is
        self._tray: dict[str, tuple[object, _Asked | None]] = {}
        self._soon = QTimer(self)  # after what else waits: two maps in a row are not drawn between
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._tell)
        self._arrived.connect(self._soon.start)
        self._coarse, self._full = _Slot(), _Slot()
        for slot, full in ((self._coarse, False), (self._full, True)):
            name = "cryodeco full maps" if full else "cryodeco coarse maps"
            work = (slot, full)
            thread = threading.Thread(target=self._work, args=work, name=name, daemon=True)
            end_before_exit(thread, slot.close)
            thread.start()
        self.destroyed.connect(self._coarse.close)
        self.destroyed.connect(self._full.close)

    def use(self, open_decoder: Callable[[], MapDecoder]) -> None:
        """Take the decoder of another epoch; it is opened on the thread that first needs it."""
        with self._lock:
            self._open, self._decoder = open_decoder, None
            self._opener += 1

    def reopen(self) -> None:
        """Open the same decoder anew at the next request: another device may be free now."""
        with self._lock:
            self._decoder = None
            self._opener += 1

    def request(
        self, z: Floats, caption: str, full: bool = True, map_filter: MapFilter | None = None
    ) -> None:
        """Ask for the map of a latent point; what was asked before and is not done is dropped.

        Parameters
        ----------
        z
            Latent point ``(d,)``.
        caption
            What it is, in words.
        full
            Whether the full map follows the coarse one: not while the mouse still moves.
        map_filter
            Of both maps; None: none.
        """
        with self._lock:
            self._number += 1
            chosen = map_filter or MapFilter()
            asked = _Asked(self._number, np.array(z, np.float32), caption, chosen, full)
        self._abandon_full()  # before the thread can have taken the new one
        self._full.put(None)
        self._coarse.put(asked)
        self.busy_changed.emit(full)

    def _abandon_full(self) -> None:
        """Let a server stop at a full map that is overtaken: it may take seconds there."""
        abandon = getattr(self._decoder, "abandon", None)
        worker = self._full_worker
        if abandon is not None and worker is not None:
            abandon(worker)

    def stop(self) -> None:
        """End both threads; what is being decoded is finished, and dropped."""
        with self._lock:
            self._number += 1
            self._shown = self._number
            self._tray.clear()
        self._abandon_full()
        self._coarse.close()
        self._full.close()

    def _work(self, slot: _Slot, full: bool) -> None:
        while (asked := slot.take()) is not None:
            try:
                if full:
                    self._full_worker = threading.get_ident()
                answer = self._decode(asked, full)
            except EXPECTED as error:
                self._hand_in(asked, full, "failed", _sentence(error))
                continue
            finally:
                if full:
                    self._full_worker = None
            if answer is not None:
                self._hand_in(asked, full, "decoded", answer)

    def _decode(self, asked: _Asked, full: bool) -> Decoded | None:
        from napari_cryodeco.explore.volumes import VolumeRequest  # imports torch

        decoder = self._opened()
        if decoder is None:
            return None
        if full:
            request = VolumeRequest(asked.z, box=display_box(decoder))
        else:
            request = decoder.preview(asked.z, PREVIEW_SECONDS)
        begun = time.perf_counter()
        volume = decoder.decode(asked.filter.on(request))
        taken = time.perf_counter() - begun
        whole = getattr(getattr(decoder, "geometry", None), "radius", 0)
        device = str(getattr(decoder, "where", "cpu"))
        return Decoded(volume, asked.caption, full, request.radius or whole, taken, device)

    def _opened(self) -> MapDecoder | None:
        with self._opening:
            while True:
                with self._lock:
                    number, opener, decoder = self._opener, self._open, self._decoder
                if decoder is not None or opener is None:
                    return decoder
                decoder = opener()
                with self._lock:
                    if number == self._opener:
                        self._decoder = decoder

    def _hand_in(self, asked: _Asked, full: bool, signal: str, answer: object) -> None:
        """Have an answer told that is still wanted, and nothing older than what is shown.

        A full map must be of the newest request. A coarse one need only be newer than what is
        shown: while the mouse moves faster than maps are decoded every answer is overtaken, and
        the map would stand still. All under the lock, or the other thread's newer answer could
        come in between.
        """
        with self._lock:
            wanted = asked.number == self._number if full else asked.number > self._shown
            if wanted:
                self._shown = asked.number
                self._tray.pop(signal, None)  # in the order in which they came
                self._tray[signal] = (answer, None if full else asked)
                with suppress(RuntimeError):  # Qt: the panel was closed, the signals are gone
                    self._arrived.emit()

    def _tell(self) -> None:
        with self._lock:
            tray, self._tray = self._tray, {}
        for signal, (answer, coarse_of) in tray.items():
            getattr(self, signal).emit(answer)
            if signal == "decoded" and coarse_of is not None:
                self._go_on_with(coarse_of)

    def _go_on_with(self, asked: _Asked) -> None:
        """Have the full map decoded of a request whose coarse one has been told."""
        with self._lock:
            newest = asked.number == self._number
        if newest and asked.full:
            self._full.put(asked)


def display_box(decoder: MapDecoder) -> int | None:
    """A small map is sampled twice as fine: a smoother surface of the same resolution."""
    box = getattr(getattr(decoder, "geometry", None), "box", None)
    return 2 * box if box is not None and box <= FINE_BELOW else None


def _sentence(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    if "out of memory" in text.lower():
        return (
            "The graphics card has no memory left for decoding: choose the CPU as device, or end "
            "other programs that use the card."
        )
    return text.splitlines()[0]
