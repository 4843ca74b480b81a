"""Do the steps of a selection again: on other latents, another epoch, a run trained anew."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, Protocol

import numpy as np

from napari_cryodeco.explore import lasso, neighbours, sphere
from napari_cryodeco.explore.history import combined
from napari_cryodeco.explore.recipe import Step, unpack


class Columns(Protocol):
    """What a recipe may name, of n particles."""

    def __len__(self) -> int:
        """Number of particles."""

    def column(self, name: str) -> np.ndarray:
        """Numbers or texts ``(n,)`` under a name: of an axis, of the user's file.

        Raises
        ------
        ValueError
            When there is no such column, with what to do about it.
        """

    def labels(self, name: str) -> np.ndarray:
        """Numbers ``(n,)`` from 0 of "cluster" or "class"; −1: unassigned. Raises as `column`."""

    def part(self, mask: np.ndarray, step: Step) -> np.ndarray:
        """Coordinates ``(n, c)`` of particles `mask` ``(n,)`` alone, as `step` was drawn over."""

    def neighbours(self, count: int) -> np.ndarray:
        """Rows ``(n, count)`` of the nearest particles in z."""


def replay(steps: Iterable[Step], columns: Columns) -> np.ndarray:
    """Particles ``(n,)`` bool that a recipe's steps select here.

    Raises
    ------
    ValueError
        When a step names what is not there.
    """
    mask = np.zeros(len(columns), bool)
    for step in steps:
        if step.mode == "invert":
            mask = ~mask
        elif step.mode in ("grow", "shrink"):
            change = neighbours.grown if step.mode == "grow" else neighbours.shrunk
            mask = change(mask, columns.neighbours(step.labels[0]))
        else:
            mask = combined(step.mode, mask, chosen_by(step, columns))
    return mask


def chosen_by(step: Step, columns: Columns) -> np.ndarray:
    """Particles ``(n,)`` bool that a step alone chooses, whatever is done with them."""
    n = len(columns)
    if step.kind == "lasso":
        if step.steps:
            x, y = _places_in_part(step, columns)
        else:
            x = columns.column(step.axes[0])
            y = columns.column(step.axes[1]) if len(step.axes) > 1 else np.zeros_like(x)
        return lasso.inside(x, y, np.array(step.polygon))
    if step.kind == "directions":
        x, y = sphere.project(columns.column("azimuth"), columns.column("tilt"))
        return lasso.inside(x, y, np.array(step.polygon))
    if step.kind == "range":
        return between(columns.column(step.axes[0]), *step.bounds)
    if step.kind == "labels":
        labels = columns.labels(step.axes[0] if step.axes else "cluster")
        return np.isin(labels, np.array(step.labels) - 1)
    if step.kind == "category":
        named = in_categories(columns.column(step.axes[0]), step.names)
        return ~named if step.rest else named
    if step.kind == "rows":
        return unpack(step.packed, n)
    if step.kind == "selection":
        return replay(step.steps, columns)
    return np.full(n, step.kind == "all")


def _places_in_part(step: Step, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates ``(n,)``, ``(n,)`` that a lasso over the projection of a selection was over."""
    table = columns.part(replay(step.steps, columns), step)
    places = [int(re.sub(r"\D", "", name)) - 1 for name in step.axes]
    if max(places) >= table.shape[1]:
        raise ValueError(f"The recipe refers to {step.axes[-1]}, which is not there.")
    x = table[:, places[0]]
    return x, table[:, places[1]] if len(places) > 1 else np.where(np.isnan(x), x, 0)


def part_method(step: Step) -> Literal["umap", "pca"]:
    """What a lasso over the projection of a selection was drawn over."""
    return "umap" if step.axes[0].startswith("UMAP") else "pca"


def between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Which numbers ``(n,)`` lie from `low` to `high`, in float32 as they are shown; NaN never."""
    numbers = np.asarray(values, np.float32)
    mask: np.ndarray = (numbers >= np.float32(low)) & (numbers <= np.float32(high))
    return mask


def category_name(kind: object) -> str:
    """How the legend writes a text or a whole number."""
    return kind if isinstance(kind, str) else f"{kind:g}"


def in_categories(values: np.ndarray, names: Iterable[str]) -> np.ndarray:
    """Which values ``(n,)`` the legend writes as one of `names`."""
    wanted = set(names)
    kinds, place = np.unique(np.asarray(values), return_inverse=True)
    named: np.ndarray = np.array([category_name(kind) in wanted for kind in kinds.tolist()])[place]
    return named
