"""The ways to ask a training to save and stop: a file, SIGTERM, Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Hears requests to stop while entered.

    A batch system's SIGTERM and a first Ctrl-C are requests; a second Ctrl-C interrupts. Signals
    reach only a process's main thread, elsewhere the file alone counts.

    Parameters
    ----------
    file
        The request is there when this file is.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._signalled = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def asked(self) -> bool:
        """Tell whether to stop."""
        return self._signalled or self._file.exists()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._signalled and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signalled = True
