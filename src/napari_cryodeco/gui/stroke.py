"""What the mouse does with the path tool: a click is a point, a drag is a curve."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QObject, Signal

Place = tuple[float, float]  # in data units


class Stroke(QObject):
    """One curve at a time, in data units."""

    clicked = Signal(float, float)
    drawn = Signal(object)  # places (m, 2)
    undone = Signal()  # the last point is not wanted

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.places: list[Place] = []

    def begin(self, at: Place) -> None:
        """The button went down."""
        self.places = [at]

    def move(self, at: Place) -> None:
        """Follow the mouse."""
        if self.places:
            self.places.append(at)

    def finish(self, moved: bool) -> None:
        """The button went up; it `moved` further than in a click."""
        places, self.places = self.places, []
        if places and moved:
            self.drawn.emit(np.array(places))
        elif places:
            self.clicked.emit(*places[0])

    def give_up(self) -> None:
        """Forget the curve."""
        self.places = []
