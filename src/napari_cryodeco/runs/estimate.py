"""How long a run will still take, from what its stages took so far."""

from __future__ import annotations

from collections.abc import Mapping


class Estimate:
    """Time left over stages that cost differently.

    A stage's whole duration is guessed from its expected share (`weights`) times the pace measured
    so far, and replaced by its own measured duration as it goes on.

    Parameters
    ----------
    weights
        Expected relative duration of every stage, in order.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = dict(weights)
        self._done = dict.fromkeys(weights, 0.0)
        self._seconds = dict.fromkeys(weights, 0.0)

    def observe(self, stage: str, done: float, seconds: float) -> None:
        """Tell that the share `done` (0…1) of a stage took `seconds`."""
        self._weights.setdefault(stage, 1.0)
        self._done[stage] = min(max(done, 0.0), 1.0)
        self._seconds[stage] = max(seconds, 0.0)

    def remaining(self) -> float | None:
        """Seconds left, or None while nothing has been measured."""
        work = sum(self._weights[name] * done for name, done in self._done.items())
        spent = sum(self._seconds[name] for name, done in self._done.items() if done > 0)
        if work <= 0 or spent <= 0:
            return None
        pace = spent / work
        return sum(self._left(name, pace) for name in self._weights)

    def _left(self, name: str, pace: float) -> float:
        done = self._done[name]
        expected = pace * self._weights[name]
        if done > 0:  # the stage's own pace counts the more, the further it is
            expected = done * (self._seconds[name] / done) + (1 - done) * expected
        return (1 - done) * expected

    def share(self) -> float:
        """Share of the whole run that is done, 0…1, in time."""
        left = self.remaining()
        if left is None:
            return 0.0
        spent = sum(self._seconds.values())
        return spent / (spent + left) if spent + left > 0 else 0.0
