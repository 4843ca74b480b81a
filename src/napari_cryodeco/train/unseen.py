"""Two models are compared by what they tell of particles that neither was made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.matching import SearchPlan
from napari_cryodeco.train.state_chain import Tick, part_of, search_everywhere
from napari_cryodeco.train.subspace import SURE

JUDGED = 300  # particles by which two models are compared


def is_sure(gain: Tensor) -> bool:
    """Whether the mean of gains in log-likelihood ``(n,)`` is above zero by :data:`SURE` errors."""
    return bool(gain.mean() > SURE * gain.std() / len(gain) ** 0.5)


def gain_on_unseen(
    looks: Looks,
    rows: Tensor,
    made: Callable[[Tensor, int], tuple[Tensor, Tensor]],
    plan: SearchPlan,
    tick: Tick,
) -> Tensor:
    """Log-likelihood ``(n,)`` that maps of one model tell of particles beyond those of another.

    Parameters
    ----------
    looks, rows
        All images; those that take part.
    made
        From one half of the rows, and the number 0 or 1 of that try: maps ``(K, p)`` of the new
        model, and as many of the old one.
    plan
        How particles of the other half are searched in either.
    tick
        Called after each batch.
    """
    gains = []
    for half in (0, 1):
        mine = torch.arange(len(rows)) % 2 == half
        held, seen = rows[mine][: JUDGED // 2], rows[~mine]
        after, before = made(seen, half)
        maps = torch.cat([after, before])
        found = search_everywhere(looks, held, maps, plan, part_of(tick, half, 2))
        count = len(after)
        gains.append(found.only(slice(count)).told() - found.only(slice(count, None)).told())
    return torch.cat(gains)
