"""Named subsets of the particles: set algebra and keeping them.

The history of a selection and its writing are re-exported here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.explore.history import History
from napari_cryodeco.explore.recipe import Recipe, Step
from napari_cryodeco.explore.subset import Written, read_rows, write, write_with_images
from napari_cryodeco.runs.store import read_tensors, write_tensors

__all__ = [
    "History",
    "Recipe",
    "Selection",
    "Step",
    "Written",
    "read_rows",
    "write",
    "write_with_images",
]


@dataclass(frozen=True)
class Selection:
    """A named subset of the particles.

    Parameters
    ----------
    name
        As the user gave it.
    rows
        ``(m,)`` int64, sorted and distinct.
    recipe
        The steps that made it.
    colour
        ``#RRGGBB`` in which it is drawn; empty: by its place in the list.
    note
        The user's own words about it.
    locked
        Whether it is kept from being changed or deleted.
    """

    name: str
    rows: np.ndarray
    recipe: Recipe = field(default_factory=Recipe)
    colour: str = ""
    note: str = ""
    locked: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", np.unique(np.asarray(self.rows, dtype=np.int64)))

    def __len__(self) -> int:
        return len(self.rows)

    def mask(self, n: int) -> np.ndarray:
        """``(n,)`` bool."""
        mask = np.zeros(n, dtype=bool)
        mask[self.rows] = True
        return mask

    def union(self, other: Selection, name: str) -> Selection:
        """Particles of either."""
        return Selection(name, np.union1d(self.rows, other.rows), self._combined(other, "add"))

    def intersection(self, other: Selection, name: str) -> Selection:
        """Particles of both."""
        return Selection(
            name, np.intersect1d(self.rows, other.rows), self._combined(other, "intersect")
        )

    def difference(self, other: Selection, name: str) -> Selection:
        """Particles of this one that are not in the other."""
        return Selection(
            name, np.setdiff1d(self.rows, other.rows), self._combined(other, "subtract")
        )

    def complement(self, n: int, name: str) -> Selection:
        """The particles of n that are not in this one."""
        return Selection(
            name, np.flatnonzero(~self.mask(n)), self.recipe.then("invert", Step("all"))
        )

    def _combined(self, other: Selection, mode: str) -> Recipe:
        return self.recipe.then(mode, other.as_step())

    def as_step(self) -> Step:
        """Return this selection as one step of another's recipe."""
        steps = self.recipe.steps or (Step.of_rows(self.mask(int(self.rows.max(initial=-1)) + 1)),)
        return Step("selection", axes=(self.name,), steps=steps)

    def save(self, path: Path) -> None:
        """Write the selection with its recipe to one safetensors file."""
        header = {
            "name": self.name,
            "recipe": self.recipe.to_dict(),
            "colour": self.colour,
            "note": self.note,
            "locked": self.locked,
        }
        write_tensors(path, {"rows": torch.from_numpy(self.rows)}, header)

    @classmethod
    def load(cls, path: Path) -> Selection:
        """Read what `save` wrote."""
        tensors, header = read_tensors(path)
        words = {name: header[name] for name in ("colour", "note", "locked") if name in header}
        recipe = Recipe.from_dict(header["recipe"])
        return cls(header["name"], tensors["rows"].numpy(), recipe, **words)
