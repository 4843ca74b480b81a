"""Two models are compared by what they tell of particles that neither was made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.matching import SearchPlan
from napari_cryodeco.train.state_chain import Tick, part_of, search_everywhere
from napari_cryodeco.train.subspace import SURE

# Particles by which two models are compared, in three tries that leave out a fifth each. Models of
# half of 1,500 particles told .8 ± .6 an image more of `linker`, those of four fifths 3.6 ± .5; of
# single tries the gain was 0.5 to 6.5.
JUDGED, TRIES, LEFT_OUT = 300, 3, 5


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
        From most of the rows, and the number of the try: maps ``(K, p)`` of the new model, and as
        many of the old one.
    plan
        How particles that were left out are searched in either.
    tick
        Called after each batch.
    """
    gains = []
    for number in range(TRIES):
        left_out = torch.arange(len(rows)) % LEFT_OUT == number
        held = rows[left_out][: JUDGED // TRIES]
        after, before = made(rows[~left_out], number)
        maps = torch.cat([after, before])
        found = search_everywhere(looks, held, maps, plan, part_of(tick, number, TRIES))
        count = len(after)
        gains.append(found.only(slice(count)).told() - found.only(slice(count, None)).told())
    return torch.cat(gains)
