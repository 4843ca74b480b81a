"""One device, many who ask: one decodes at a time, and in each lane only the newest is wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOK_EVERY = 0.05  # seconds between two looks at whether somebody still waits for the answer
MOST_LANES = 256


class Unwanted(Exception):
    """Nobody waits for this answer any more."""


class Lanes:
    """Turns at one device. A request gives way to a newer one of its lane, waiting or at work.

    Examples
    --------
    >>> with lanes.turn("coarse", client_is_gone) as check:
    ...     decode(z, check)  # calls check() now and then; it raises Unwanted
    """

    def __init__(self) -> None:
        self._device = threading.Lock()
        self._guard = threading.Lock()
        self._newest: dict[str, int] = {}
        self._number = 0

    @contextmanager
    def turn(self, lane: str, gone: Callable[[], bool]) -> Iterator[Callable[[], None]]:
        """Wait for the device and hold it.

        Raises
        ------
        Unwanted
            When a newer request came into the lane, or `gone()` says that its client went away.
        """
        number = self._enter(lane)
        looked = 0.0

        def check() -> None:
            nonlocal looked
            if self._newest.get(lane) != number:
                raise Unwanted
            if time.monotonic() - looked >= _LOOK_EVERY:
                looked = time.monotonic()
                if gone():
                    raise Unwanted

        check()
        while not self._device.acquire(timeout=_LOOK_EVERY):
            check()
        try:
            check()
            yield check
            check()
        finally:
            self._device.release()

    def _enter(self, lane: str) -> int:
        with self._guard:
            self._number += 1
            self._newest.pop(lane, None)  # to the end: the lanes least lately used are forgotten
            self._newest[lane] = self._number
            while len(self._newest) > MOST_LANES:
                del self._newest[next(iter(self._newest))]
            return self._number
