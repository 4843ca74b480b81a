"""The particles of one training, shared by its processes.

Each process keeps a run of rows: their images, poses and latents live nowhere else until a unit is
done, when the first process gathers the tables for the checkpoint. With one process everything is
its own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from napari_cryodeco.train import distributed

_ROWS = ("latents.", "poses.")
"""What names of state with one row per particle begin with; the rest is the same everywhere."""


def own(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State of this process, from the whole one of a checkpoint."""
    return {
        name: value[distributed.share(len(value))] if name.startswith(_ROWS) else value
        for name, value in state.items()
    }


def whole(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Whole state from that of all processes: at the first one; others get what they gave."""
    return {
        name: distributed.gather_rows(value) if name.startswith(_ROWS) else value
        for name, value in sorted(state.items())  # all send in one order
    }


def batches(count: int, batch: int, generator: torch.Generator) -> list[tuple[Tensor, float]]:
    """Rows of this process for each step of a pass over all particles, in random order.

    Parameters
    ----------
    count
        Number of particles of all processes.
    batch
        Particles per step, of all processes together.
    generator
        In the same state everywhere.

    Returns
    -------
    list
        Row numbers ``(b,)`` from 0 among this process's own, and the share of the step's particles
        that they are. All processes take the same number of steps.

    Raises
    ------
    ValueError
        If a step has fewer particles than there are processes.
    """
    order = torch.randperm(count, generator=generator)
    if distributed.size() == 1:
        return [(rows, 1.0) for rows in order.split(batch)]
    if batch < distributed.size():
        raise ValueError(
            f"A batch of {batch} cannot be shared by {distributed.size()} processes: raise "
            "refine.batch or start fewer."
        )
    mine = distributed.share(count)
    steps = math.ceil(count / batch)
    parts = order[(order >= mine.start) & (order < mine.stop)].sub(mine.start).tensor_split(steps)
    return [(rows, len(rows) / of) for rows, of in zip(parts, _sizes(count, steps), strict=True)]


def _sizes(count: int, steps: int) -> list[int]:
    """Particles of each step, all processes together."""
    shares = (distributed.share(count, number) for number in range(distributed.size()))
    sizes = [divmod(share.stop - share.start, steps) for share in shares]
    return [sum(least + (step < more) for least, more in sizes) for step in range(steps)]


def portions(count: int, batch: int) -> tuple[Tensor, ...]:
    """Numbers of this process's particles in order, in as many parts as the others have."""
    mine = distributed.share(count)
    rows = torch.arange(mine.start, mine.stop)
    if distributed.size() == 1:
        return rows.split(batch)
    largest = math.ceil(count / distributed.size())
    return rows.tensor_split(math.ceil(largest / batch))
