"""The selection of the moment, with every step of it undone and redone."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from napari_cryodeco.explore import neighbours
from napari_cryodeco.explore.recipe import Recipe, Step


@dataclass(frozen=True)
class Moment:
    """A selection that there was: the recipe that made it and how many particles it had."""

    recipe: Recipe
    count: int

    def words(self) -> str:
        """The last step in a few words."""
        return self.recipe.steps[-1].words() if self.recipe.steps else "nothing selected"


def combined(operation: str, before: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What is selected ``(n,)`` bool after "replace", "add", "subtract" or "intersect"."""
    if operation == "replace":
        return mask
    if operation == "add":
        return before | mask
    if operation == "subtract":
        return before & ~mask
    if operation == "intersect":
        return before & mask
    raise ValueError(f"'{operation}' is no way to combine selections.")


class History:
    """A mask over n particles and all that was done to it.

    Only the bits that a step changes are kept, packed and compressed, so thousands of steps over a
    million particles stay small.

    Examples
    --------
    >>> history = History(5)
    >>> history.replace(np.array([1, 1, 0, 0, 0], bool))
    >>> history.invert()
    >>> history.rows
    array([2, 3, 4])
    >>> history.undo()
    True
    >>> history.count
    2
    """

    def __init__(self, n: int) -> None:
        self._mask = np.zeros(n, dtype=bool)
        self._now = Moment(Recipe(), 0)
        self._done: list[tuple[bytes, Moment]] = []
        self._undone: list[tuple[bytes, Moment]] = []

    def __len__(self) -> int:
        return len(self._mask)

    @property
    def mask(self) -> np.ndarray:
        """``(n,)`` bool, a read-only view of the selection."""
        view = self._mask.view()
        view.flags.writeable = False
        return view

    @property
    def rows(self) -> np.ndarray:
        """``(m,)`` int64, sorted rows of the selection."""
        return np.flatnonzero(self._mask)

    @property
    def count(self) -> int:
        """Number of selected particles."""
        return self._now.count

    @property
    def recipe(self) -> Recipe:
        """The steps that made this selection, since it was last replaced."""
        return self._now.recipe

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone step."""
        return bool(self._undone)

    @property
    def moments(self) -> list[Moment]:
        """Every selection there was, the empty one first; later ones than `place` are undone."""
        before = [moment for _, moment in self._done]
        after = [moment for _, moment in reversed(self._undone)]
        return [*before, self._now, *after]

    @property
    def place(self) -> int:
        """Which of `moments` is the selection now."""
        return len(self._done)

    def act(self, operation: str, mask: np.ndarray, step: Step | None = None) -> None:
        """Combine `mask` ``(n,)`` bool into the selection, as :func:`combined` does.

        `step` says how it came about; without it the recipe keeps the rows themselves.
        """
        mask = self._checked(mask)
        self._apply(operation, combined(operation, self._mask, mask), step or Step.of_rows(mask))

    def replace(self, mask: np.ndarray, step: Step | None = None) -> None:
        """Select exactly `mask`."""
        self.act("replace", mask, step)

    def add(self, mask: np.ndarray, step: Step | None = None) -> None:
        """Select `mask` as well."""
        self.act("add", mask, step)

    def subtract(self, mask: np.ndarray, step: Step | None = None) -> None:
        """Deselect `mask`."""
        self.act("subtract", mask, step)

    def intersect(self, mask: np.ndarray, step: Step | None = None) -> None:
        """Keep only what is in `mask` too."""
        self.act("intersect", mask, step)

    def invert(self) -> None:
        """Select exactly what was not selected."""
        self._apply("invert", ~self._mask, Step("all"))

    def grow(self, table: np.ndarray) -> None:
        """Select the neighbours in z too; `table` ``(n, k)`` as of `neighbours.neighbours`."""
        step = Step("neighbours", labels=(table.shape[1],))
        self._apply("grow", neighbours.grown(self._mask, table), step)

    def shrink(self, table: np.ndarray) -> None:
        """Deselect what has a neighbour in z that is not selected."""
        step = Step("neighbours", labels=(table.shape[1],))
        self._apply("shrink", neighbours.shrunk(self._mask, table), step)

    def clear(self) -> None:
        """Select nothing."""
        self.replace(np.zeros(len(self), dtype=bool))

    def undo(self) -> bool:
        """Take the last step back; False if there is none."""
        return self._move(self._done, self._undone)

    def redo(self) -> bool:
        """Do the last undone step again; False if there is none."""
        return self._move(self._undone, self._done)

    def go_to(self, place: int) -> None:
        """Undo or redo until the selection is `moments`[`place`]."""
        if not 0 <= place <= len(self._done) + len(self._undone):
            raise ValueError(f"There is no step {place} of the selection.")
        while self.place > place:
            self.undo()
        while self.place < place:
            self.redo()

    def resume(self, mask: np.ndarray, recipe: Recipe) -> None:
        """Begin with a selection that was made before, with nothing to undo."""
        mask = self._checked(mask)
        self._done.clear()
        self._undone.clear()
        self._mask = mask.copy()
        self._now = Moment(recipe, int(np.count_nonzero(mask)))

    def _checked(self, mask: np.ndarray) -> np.ndarray:
        mask = np.asarray(mask)
        if mask.shape != self._mask.shape or mask.dtype != bool:
            raise ValueError(
                f"A selection over {len(self)} particles needs a bool mask, not {mask.dtype} "
                f"{mask.shape}."
            )
        return mask

    def _apply(self, mode: str, mask: np.ndarray, step: Step) -> None:
        difference = zlib.compress(np.packbits(self._mask ^ mask).tobytes(), 1)
        self._done.append((difference, self._now))
        self._undone.clear()
        self._mask = mask.copy()
        self._now = Moment(self.recipe.then(mode, step), int(np.count_nonzero(mask)))

    def _move(self, source: list[tuple[bytes, Moment]], target: list[tuple[bytes, Moment]]) -> bool:
        if not source:
            return False
        difference, moment = source.pop()
        target.append((difference, self._now))
        packed = np.frombuffer(zlib.decompress(difference), dtype=np.uint8)
        self._mask = self._mask ^ np.unpackbits(packed, count=len(self)).astype(bool)
        self._now = moment
        return True
