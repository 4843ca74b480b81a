"""How a selection was made, so that a file of it explains itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Kind = Literal["lasso", "labels", "rows", "range", "selection", "all"]


@dataclass(frozen=True)
class Step:
    """One act of selecting.

    Parameters
    ----------
    kind
        "lasso": `polygon` drawn over `axes`; "labels": clusters `labels`; "range": `axes[0]`
        between the first and last of `bounds`; "rows": a list of rows; "selection": the one named
        `axes[0]`; "all": every particle.
    axes
        Names of the plotted columns.
    polygon
        Vertices (x, y) in the units of the axes.
    labels
        Cluster numbers as the user sees them, from 1.
    bounds
        Lower and upper value.
    mode
        "replace", "add", "subtract", "intersect" or "invert": what was done with it.
    """

    kind: Kind
    axes: tuple[str, ...] = ()
    polygon: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    bounds: tuple[float, ...] = ()
    mode: str = "replace"


@dataclass(frozen=True)
class Recipe:
    """The steps of a selection in order, and the `epoch` of the latents looked at."""

    steps: tuple[Step, ...] = ()
    epoch: int | None = None

    def then(self, mode: str, step: Step) -> Recipe:
        """Return this recipe with one more step; a "replace" starts it anew."""
        step = replace(step, mode=mode)
        return replace(self, steps=(step,) if mode == "replace" else (*self.steps, step))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Recipe:
        """Read what `to_dict` gave, JSON lists included."""
        return cls(tuple(_step(step) for step in record["steps"]), record["epoch"])


def _step(record: Mapping[str, Any]) -> Step:
    polygon = tuple((float(x), float(y)) for x, y in record["polygon"])
    axes, labels, bounds = (tuple(record[name]) for name in ("axes", "labels", "bounds"))
    return Step(record["kind"], axes, polygon, labels, bounds, record["mode"])
