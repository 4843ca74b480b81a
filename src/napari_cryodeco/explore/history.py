"""The selection of the moment, with every step of it undone and redone."""

from __future__ import annotations

import zlib

import numpy as np

from napari_cryodeco.explore.recipe import Recipe, Step


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
        self._recipe = Recipe()
        self._done: list[tuple[bytes, Recipe]] = []
        self._undone: list[tuple[bytes, Recipe]] = []

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
        return int(np.count_nonzero(self._mask))

    @property
    def recipe(self) -> Recipe:
        """The steps that made this selection, since it was last replaced."""
        return self._recipe

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone step."""
        return bool(self._undone)

    def replace(self, mask: np.ndarray, step: Step | None = None) -> None:
        """Select exactly `mask` ``(n,)`` bool; `step` says how it came about."""
        self._apply("replace", self._checked(mask), step)

    def add(self, mask: np.ndarray, step: Step | None = None) -> None:
        """Select `mask` as well."""
        self._apply("add", self._mask | self._checked(mask), step)

    def subtract(self, mask: np.ndarray, step: Step | None = None) -> None:
        """Deselect `mask`."""
        self._apply("subtract", self._mask & ~self._checked(mask), step)

    def intersect(self, mask: np.ndarray, step: Step | None = None) -> None:
        """Keep only what is in `mask` too."""
        self._apply("intersect", self._mask & self._checked(mask), step)

    def invert(self) -> None:
        """Select exactly what was not selected."""
        self._apply("invert", ~self._mask, Step("all"))

    def clear(self) -> None:
        """Select nothing."""
        self.replace(np.zeros(len(self), dtype=bool))

    def undo(self) -> bool:
        """Take the last step back; False if there is none."""
        return self._move(self._done, self._undone)

    def redo(self) -> bool:
        """Do the last undone step again; False if there is none."""
        return self._move(self._undone, self._done)

    def _checked(self, mask: np.ndarray) -> np.ndarray:
        mask = np.asarray(mask)
        if mask.shape != self._mask.shape or mask.dtype != bool:
            raise ValueError(
                f"A selection over {len(self)} particles needs a bool mask, not {mask.dtype} "
                f"{mask.shape}."
            )
        return mask

    def _apply(self, mode: str, mask: np.ndarray, step: Step | None) -> None:
        difference = zlib.compress(np.packbits(self._mask ^ mask).tobytes(), 1)
        self._done.append((difference, self._recipe))
        self._undone.clear()
        self._recipe = self._recipe.then(mode, step or Step("rows"))
        self._mask = mask.copy()

    def _move(self, source: list[tuple[bytes, Recipe]], target: list[tuple[bytes, Recipe]]) -> bool:
        if not source:
            return False
        difference, recipe = source.pop()
        target.append((difference, self._recipe))
        packed = np.frombuffer(zlib.decompress(difference), dtype=np.uint8)
        self._mask = self._mask ^ np.unpackbits(packed, count=len(self)).astype(bool)
        self._recipe = recipe
        return True
