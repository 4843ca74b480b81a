"""The numbers of a run gathered into curves. No Qt in here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_cryodeco.runs.progress import Metric

SHORTEST_PAUSE_S = 600.0
PAUSE_IN_GAPS = 10.0  # a silence so many times longer than usual is a stop, not training


class MetricHistory:
    """Every number a run has told, by name, over minutes of training.

    A unit that was cut short and done again tells its numbers again: the later ones replace the
    earlier. The time between a stop and a resume does not count.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, int, int], tuple[float, float]] = {}
        self._times: list[float] = []

    def add(self, metrics: Iterable[Metric]) -> None:
        """Take what is new, in the order it was told."""
        for metric in metrics:
            place = (metric.name, metric.stage, metric.unit, metric.step)
            self._values.pop(place, None)  # so that it moves to the end
            self._values[place] = (metric.time, metric.value)
            self._times.append(metric.time)

    def stages(self, name: str) -> list[str]:
        """Stages that told this number, in order."""
        return list(dict.fromkeys(stage for told, stage, *_ in self._values if told == name))

    def newest(self, names: Iterable[str]) -> tuple[str, str] | None:
        """Name and stage of what was told last among some names."""
        wanted = set(names)
        places = ((name, stage) for name, stage, *_ in reversed(self._values) if name in wanted)
        return next(places, None)

    def curve(self, name: str, stage: str) -> tuple[np.ndarray, np.ndarray]:
        """Minutes of training and values, ``(m,)`` each."""
        pairs = [pair for place, pair in self._values.items() if place[:2] == (name, stage)]
        table = np.array(pairs, dtype=float).reshape(-1, 2)
        times, minutes = self._clock()
        return np.interp(table[:, 0], times, minutes), table[:, 1]

    def _clock(self) -> tuple[np.ndarray, np.ndarray]:
        """Times at which something was told, s since 1970, and minutes of training by then."""
        times = np.unique(self._times)
        gaps = np.diff(times)
        usual = float(np.median(gaps[gaps > 0.5])) if (gaps > 0.5).any() else 0.0
        longest = max(SHORTEST_PAUSE_S, PAUSE_IN_GAPS * usual)
        worked = np.where(gaps > longest, 0.0, gaps)
        return times, np.concatenate([[0.0], np.cumsum(worked)]) / 60
