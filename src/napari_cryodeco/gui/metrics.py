"""The numbers of a run gathered into curves. No Qt in here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_cryodeco.runs.progress import Metric

PAUSE_S = 60.0  # a longer silence is a stop, not training


class MetricHistory:
    """Every number a run has told, by name, over minutes of training.

    A unit that was cut short and done again tells its numbers again: the later ones replace the
    earlier. The time between a stop and a resume does not count.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, int, int], tuple[float, float]] = {}
        self._minutes = 0.0
        self._last: float | None = None

    def add(self, metrics: Iterable[Metric]) -> None:
        """Take what is new, in the order it was told."""
        for metric in metrics:
            if self._last is not None and 0 < metric.time - self._last < PAUSE_S:
                self._minutes += (metric.time - self._last) / 60
            self._last = metric.time
            place = (metric.name, metric.stage, metric.unit, metric.step)
            self._values.pop(place, None)  # so that it moves to the end
            self._values[place] = (self._minutes, metric.value)

    def stages(self, name: str) -> list[str]:
        """Stages that told this number, in order."""
        return list(dict.fromkeys(stage for told, stage, *_ in self._values if told == name))

    def curve(self, name: str, stage: str) -> tuple[np.ndarray, np.ndarray]:
        """Minutes of training and values, ``(m,)`` each."""
        pairs = [pair for place, pair in self._values.items() if place[:2] == (name, stage)]
        table = np.array(pairs, dtype=float).reshape(-1, 2)
        return table[:, 0], table[:, 1]
