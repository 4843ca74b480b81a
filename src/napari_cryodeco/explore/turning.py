"""Which frame each picture of a movie shows, and how far the camera has turned by then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

Axis = Literal["vertical", "horizontal", "sight"]

AXES: dict[Axis, tuple[float, float, float]] = {  # in the picture's right, up, to the viewer
    "vertical": (0.0, 1.0, 0.0),
    "horizontal": (1.0, 0.0, 0.0),
    "sight": (0.0, 0.0, 1.0),
}


@dataclass(frozen=True)
class Turn:
    """How the molecule turns while it moves.

    Parameters
    ----------
    degrees
        Over the whole movie; of a wiggle, from one side to the other. Negative turns the other way.
    axis
        Of the picture, through what the camera looks at: upright ("vertical": what is in front goes
        to the right), from left to right ("horizontal": the front goes down), or the line of sight
        (counter-clockwise).
    wiggle
        Once to either side and back, in place of round.
    """

    degrees: float = 0.0
    axis: Axis = "vertical"
    wiggle: bool = False

    def __post_init__(self) -> None:
        if self.axis not in AXES:
            raise ValueError(f"Axis {self.axis!r}: choose one of {', '.join(AXES)}.")
        if not abs(self.degrees) <= 3600:
            raise ValueError(f"A turn of {self.degrees}°: choose −3600° to 3600°.")

    def angles(self, count: int, loops: bool) -> np.ndarray:
        """Degrees ``(count,)`` turned at each picture; the first is 0.

        A movie that `loops` ends one step before its end, so that the first picture is the next; of
        any other the last picture has the whole turn.
        """
        steps = count if loops else count - 1
        share = np.arange(count) / max(steps, 1)
        if self.wiggle:
            return self.degrees / 2 * np.sin(2 * np.pi * share)
        return self.degrees * share

    def rotation(self, angle: float) -> np.ndarray:
        """Turn by `angle` degrees as a matrix ``(3, 3)`` of the picture's right, up, to the viewer.

        A `View` seen after it has the rotation ``turn.rotation(angle) @ view.rotation``.
        """
        x, y, z = AXES[self.axis]
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        radians = np.radians(angle)
        # Rodrigues' formula
        return np.eye(3) + np.sin(radians) * cross + (1 - np.cos(radians)) * cross @ cross


class Shot(NamedTuple):
    """A picture of a movie: `frame` from 0, and the degrees turned."""

    frame: int
    angle: float


def there_and_back(count: int) -> list[int]:
    """Frame numbers of a loop without a halt at either end: 0 1 2 3 2 1."""
    return [*range(count), *range(count - 2, 0, -1)]


def shots(count: int, turn: Turn, back: bool = False, closed: bool = False) -> list[Shot]:
    """The pictures of a movie of `count` frames, in their order.

    Parameters
    ----------
    back
        There and back.
    closed
        The frame after the last is the first again: the turn goes on likewise.
    """
    order = there_and_back(count) if back else list(range(count))
    angles = turn.angles(len(order), back or closed)
    return [Shot(frame, float(angle)) for frame, angle in zip(order, angles, strict=True)]
