"""What a decode server does: it lists and gives the files of one run, and decodes its maps."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cryodeco.explore import served_files
from napari_cryodeco.explore.lanes import Lanes
from napari_cryodeco.explore.wire import MOST_POINTS, PROTOCOL, program
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import read_status

if TYPE_CHECKING:
    from napari_cryodeco.explore.volumes import VolumeDecoder

_OPEN_DECODERS = 2  # the epoch that is shown and the one before it
_MOST_LANE = 100  # characters


@dataclass(frozen=True, eq=False)
class Coefficients:
    """What was decoded: ``(m, count)`` float32, and where, in words."""

    values: np.ndarray
    where: str


class Service:
    """One run, read only; safe to call from several threads.

    Parameters
    ----------
    run
        Run directory.
    device
        ``"auto"``: as the run's settings say, beside its training; else that one.
    """

    def __init__(self, run: Path, device: str = "auto") -> None:
        self.run, self._device = Path(run).resolve(), device
        self.host = socket.gethostname()
        self._opening = threading.Lock()
        self._decoders: OrderedDict[tuple[int, str, int], VolumeDecoder] = OrderedDict()
        self._lanes = Lanes()

    def describe(self) -> dict[str, Any]:
        """What a client needs to make a copy: files with their stamps, epochs, the status now."""
        files = {}
        for name, path in served_files.served(self.run).items():
            try:
                files[name] = served_files.stamp(path)
            except FileNotFoundError:
                continue  # it was replaced this moment
        return {
            "protocol": PROTOCOL,
            "program": program(),
            "identity": self._identity(),
            "host": self.host,
            "path": str(self.run),
            "status": asdict(read_status(self.run)),
            "decoders": served_files.decoders(self.run),
            "files": files,
        }

    def file(self, name: str) -> Path | None:
        """The file of a name that `describe` lists, None of any other."""
        return served_files.served(self.run).get(name)

    def open(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Open the decoder of an epoch; its sizes, and where it will decode.

        Raises
        ------
        ValueError
            When the run has no such epoch, or it no decoder.
        """
        decoder = self._decoder(_epoch(asked))
        return {
            "geometry": decoder.geometry.to_dict(),
            "latent_dim": decoder.latent_dim,
            "where": decoder.where,
        }

    def decode(self, asked: dict[str, Any], gone: Callable[[], bool]) -> Coefficients:
        """Decode the points that were asked for; only the newest request of its lane.

        Raises
        ------
        ValueError
            When the request is wrong.
        Unwanted
            When nobody waits for the answer any more.
        """
        points, radius, lane = _points(asked), asked.get("radius"), asked.get("lane")
        if not isinstance(lane, str) or len(lane) > _MOST_LANE:
            raise ValueError("A request names its lane.")
        if radius is not None and type(radius) is not int:
            raise ValueError("A Fourier radius is a whole number.")
        decoder = self._decoder(_epoch(asked))
        with self._lanes.turn(lane, gone) as check:
            return Coefficients(decoder.coefficients(points, radius, check), decoder.where)

    def _decoder(self, number: int) -> VolumeDecoder:
        from napari_cryodeco.explore.devices import beside_training  # all of them import torch
        from napari_cryodeco.explore.volumes import VolumeDecoder
        from napari_cryodeco.runs.run import Run

        with self._opening:
            run = Run.open(self.run)
            device, why = self._device, ""
            if device == "auto":
                device, why = beside_training(self.run, run.config.device)
            field = run.epoch(number).field_path
            key = (number, device, field.stat().st_mtime_ns)
            if key not in self._decoders:
                self._decoders[key] = VolumeDecoder(field, device, why=why)
            self._decoders.move_to_end(key)
            while len(self._decoders) > _OPEN_DECODERS:
                self._decoders.popitem(last=False)
            return self._decoders[key]

    def _identity(self) -> str:
        """The same wherever this run is served: a copy of it is found again."""
        record = json.loads(RunPaths(self.run).data.read_text(encoding="utf-8"))
        text = json.dumps([str(self.run), record["fingerprint"], record["count"]])
        return hashlib.sha256(text.encode()).hexdigest()


def _epoch(asked: dict[str, Any]) -> int:
    number = asked.get("epoch")
    if type(number) is not int:
        raise ValueError("A request names its epoch.")
    return number


def _points(asked: dict[str, Any]) -> np.ndarray:
    wrong = f"A request holds 1 to {MOST_POINTS} latent points."
    given = asked.get("points")
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_POINTS:
        raise ValueError(wrong)
    try:
        points = np.array(given, dtype=np.float32)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(wrong) from None
    if points.ndim != 2:
        raise ValueError(wrong)
    return points
