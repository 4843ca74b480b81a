"""How a selection was made, so that a file of it explains itself and can be done again."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

Kind = Literal[
    "lasso",
    "directions",
    "labels",
    "category",
    "rows",
    "range",
    "selection",
    "neighbours",
    "all",
    "none",
]
_SIGNS = {"add": "+ ", "subtract": "− ", "intersect": "∩ "}


@dataclass(frozen=True)
class Step:
    """One act of selecting.

    Parameters
    ----------
    kind
        "lasso": `polygon` drawn over `axes`; "directions": `polygon` drawn over the map of viewing
        directions that `explore.sphere` makes; "labels": numbers `labels` of the clusters (or of
        what `axes[0]` names); "category": `names` of the column `axes[0]`, or with `rest` all
        others; "range": `axes[0]` between the first and last of `bounds`, both included; "rows":
        the rows in `packed`; "selection": the one named `axes[0]`, made by `steps`; "neighbours":
        across `labels[0]` nearest neighbours in z; "all": every particle; "none": no particle.
    axes
        Names of the plotted columns.
    polygon
        Vertices (x, y) in the units of the axes.
    labels
        Numbers as the user sees them, from 1; 0 is unassigned.
    bounds
        Lower and upper value; infinite where open.
    mode
        "replace", "add", "subtract", "intersect", "invert", "grow" or "shrink": what was done.
    names, rest
        Categories as the legend shows them.
    packed
        A list of rows, as `pack` makes it.
    steps
        Steps of a named selection, so that its recipe does not need its file. Of a "lasso": how the
        particles were selected whose own projection was drawn over, with `labels[0]` for its seed.
    """

    kind: Kind
    axes: tuple[str, ...] = ()
    polygon: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    bounds: tuple[float, ...] = ()
    mode: str = "replace"
    names: tuple[str, ...] = ()
    rest: bool = False
    packed: str = ""
    steps: tuple[Step, ...] = ()

    @classmethod
    def of_rows(cls, mask: np.ndarray) -> Step:
        """A step of the rows marked in `mask` ``(n,)`` bool, whatever chose them."""
        return cls("rows", packed=pack(mask)) if mask.any() else cls("none")

    def words(self) -> str:
        """The step in a few words, as a list of steps shows it."""
        if self.mode in ("invert", "grow", "shrink"):
            return {"invert": "invert", "grow": "grow", "shrink": "shrink"}[self.mode]
        return _SIGNS.get(self.mode, "") + self._what()

    def _what(self) -> str:
        column = self.axes[0] if self.axes else ""
        if self.kind == "lasso":
            part = f" of {self.steps[-1].words()}" if self.steps else ""
            return f"drawn over {', '.join(self.axes)}{part}"
        if self.kind == "directions":
            return "drawn over viewing directions"
        if self.kind == "labels":
            numbers = ", ".join(str(label) if label else "unassigned" for label in self.labels)
            return f"{column or 'cluster'} {numbers}"
        if self.kind == "category":
            return f"{column}: {'all but ' if self.rest else ''}{', '.join(self.names)}"
        if self.kind == "range":
            low, high = (f"{bound:.6g}".replace("-", "−") for bound in self.bounds)
            if math.isinf(self.bounds[0]):
                return f"{column} ≤ {high}"
            return (
                f"{column} ≥ {low}" if math.isinf(self.bounds[1]) else f"{column} {low} to {high}"
            )
        texts = {"rows": "list of rows", "all": "all", "none": "nothing"}
        return f"list '{column}'" if self.kind == "selection" else texts[self.kind]


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


def pack(mask: np.ndarray) -> str:
    """A mask ``(n,)`` bool as text: its bits, compressed, in base 64."""
    return base64.b64encode(zlib.compress(np.packbits(mask).tobytes())).decode()


def unpack(packed: str, n: int) -> np.ndarray:
    """The mask ``(n,)`` bool of a text that `pack` made.

    Raises
    ------
    ValueError
        When it names a row that is not there, or none.
    """
    if not packed:
        raise ValueError("The recipe names no rows: an older version did not keep them.")
    bits = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8)
    rows = np.flatnonzero(np.unpackbits(bits))
    if rows.max(initial=-1) >= n:
        raise ValueError(
            f"The recipe names row {rows[-1]:,}, but there are {n:,} particles: it was made of "
            "another particle set. Replay it on a run of the same particles."
        )
    mask = np.zeros(n, bool)
    mask[rows] = True
    return mask


def _step(record: Mapping[str, Any]) -> Step:
    polygon = tuple((float(x), float(y)) for x, y in record["polygon"])
    axes, labels, bounds = (tuple(record[name]) for name in ("axes", "labels", "bounds"))
    return Step(
        record["kind"],
        axes,
        polygon,
        labels,
        bounds,
        record["mode"],
        tuple(record.get("names", ())),
        record.get("rest", False),
        record.get("packed", ""),
        tuple(_step(step) for step in record.get("steps", ())),
    )
