"""The order in which frames are shown: once, round and round, or to and fro. No Qt in here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Repeat(StrEnum):
    """What happens at the last frame."""

    LOOP = "loop"
    PING_PONG = "to and fro"
    ONCE = "once"


@dataclass(frozen=True)
class Playhead:
    """A place in a clip: `frame` from 0, and which way it is going (+1 or −1)."""

    frame: int = 0
    step: int = 1

    def next(self, count: int, repeat: Repeat) -> Playhead | None:
        """The next place in a clip of `count` frames; None when it is over."""
        if count < 2:
            return None
        after = self.frame + self.step
        if 0 <= after < count:
            return Playhead(after, self.step)
        if repeat is Repeat.LOOP:
            return Playhead(0, 1)
        if repeat is Repeat.PING_PONG:
            return Playhead(self.frame - self.step, -self.step)
        return None
