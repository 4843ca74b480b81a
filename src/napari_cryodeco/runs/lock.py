"""One process at a time trains a run."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from napari_cryodeco.atomic import explain, replacing
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.process import alive
from napari_cryodeco.runs.progress import LOST_AFTER, read_status


class RunLock:
    """Holds the run in the directory `path` while entered; a dead holder's lock is taken over.

    A file made exclusively, not `flock`, which many network file systems lack. The holder on this
    machine counts as dead when its process is gone; any holder when it gave no sign of life for a
    minute.

    Raises
    ------
    ValueError
        On entering, if another living process trains this run.
    """

    def __init__(self, path: Path | str) -> None:
        self._paths = RunPaths(Path(path))
        self._token = secrets.token_hex(8)

    def __enter__(self) -> RunLock:
        record = self._record()
        try:
            with self._paths.lock.open("x", encoding="utf-8") as file:
                file.write(record)
        except FileExistsError:
            self._take_over(record)
        except OSError as error:
            explain(error, self._paths.root)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._holder().get("token") == self._token:
            with suppress(OSError):
                self._paths.lock.unlink()

    def check(self) -> None:
        """Raise ValueError if this process slept so long that another one took the run over."""
        holder = self._holder()
        if holder.get("token") != self._token:
            raise ValueError(f"{self._paths.root}: {_who(holder)} took this run over meanwhile.")

    def _record(self) -> str:
        host, now = socket.gethostname(), time.time()
        return json.dumps({"host": host, "pid": os.getpid(), "time": now, "token": self._token})

    def _holder(self) -> dict[str, Any]:
        try:
            holder = json.loads(self._paths.lock.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # gone, or a killed job left it empty
        return holder if isinstance(holder, dict) else {}

    def _take_over(self, record: str) -> None:
        holder = self._holder()
        if self._lives(holder):
            raise ValueError(
                f"{self._paths.root} is being trained by {_who(holder)}: wait for it, or stop it "
                "first."
            )
        with replacing(self._paths.lock) as part:
            part.write_text(record, encoding="utf-8")
        self.check()  # of two that take over at once, the later rename wins

    def _lives(self, holder: dict[str, Any]) -> bool:
        if not holder:
            return False
        if holder["host"] == socket.gethostname() and not alive(int(holder["pid"])):
            return False
        last = max(float(holder["time"]), read_status(self._paths.root).beat)
        return time.time() - last < LOST_AFTER


def _who(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid', '?')} on {holder.get('host', '?')}"
