"""Doubtful species begin again: another start may explain as much and measure more sides.

Clusters of features are views as well as species. Where two clusters of one species were joined,
the views of one lie as they fell in the map of the other, and a symmetric body keeps to some of its
equivalent poses: the map explains its particles, and is drawn out. A start from nothing with all of
them has no such past.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging.sampling import fourier_coverage
from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.runs.species import ENOUGH_SIDES
from napari_cryodeco.train.abinit import sharpened, side_by_side
from napari_cryodeco.train.explained import explained_share
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.retry import FEWEST, LOOKED_AT
from napari_cryodeco.train.stages import generator
from napari_cryodeco.train.starts import StartPlan, random_start

CLEAR = 0.93  # share of the signal from which a map that is seen from all sides is left alone
STARTS = 2
# How much more signal another map must explain; or more sides it must measure, while it explains as
# much. Of 1NCB a start has .98 and all sides where the joined map had .96 and 71 %, of 3CYJ .95 and
# all where it had .95 and 74 %: poses are 2.3 degrees off instead of 5.1, 4.0 instead of 10.4.
MORE, MORE_SIDES = 0.02, 0.1


@dataclass(frozen=True)
class _Map:
    volume: Tensor | None
    explained: float
    sides: float

    @property
    def doubtful(self) -> bool:
        return self.explained < CLEAR or self.sides < ENOUGH_SIDES

    def better_than(self, other: _Map) -> bool:
        gain = self.explained - other.explained
        return gain > MORE or (gain > -MORE / 2 and self.sides > other.sides + MORE_SIDES)


def renewed(
    looks: Looks,
    rows: Tensor,
    rotations: Tensor,
    shifts: Tensor,
    seed: int,
    threads: int,
    tick: Callable[[], None],
) -> Tensor | None:
    """Look for a better map of a species, if it is doubtful: ``(p,)``, or None where it stays.

    Parameters
    ----------
    looks
        All images.
    rows
        ``(m,)`` particles of the species.
    rotations, shifts
        Their poses in its present map: ``(m, 3, 3)``, and ``(m, 2)`` in box sides.
    seed, threads
        Of the random starts; threads that run them side by side.
    tick
        Called between the steps: may raise in order to stop.
    """
    order = torch.randperm(len(rows), generator=generator(seed, "renew", 0))[:LOOKED_AT]
    if len(order) < FEWEST:
        return None
    evidence = looks.evidence(rows[order])
    device = evidence.data.device
    present = _judged(looks, evidence, rotations[order].to(device), shifts[order].to(device), None)
    if not present.doubtful:
        return None

    def one(number: int) -> _Map:
        drawn = generator(seed, "renew-start", number)
        begun = random_start(evidence, looks.power, StartPlan.of(1, looks), drawn, tick)
        made = sharpened(evidence, begun, looks.power, looks, tick)
        return _judged(looks, evidence, made.rotations, made.shifts, made.volume)

    best = present
    for found in side_by_side(one, range(STARTS), threads):
        best = found if found.better_than(best) else best
    return best.volume


def _judged(
    looks: Looks, evidence: Evidence, rotations: Tensor, shifts: Tensor, volume: Tensor | None
) -> _Map:
    explained = explained_share(evidence, rotations, shifts, looks.power)
    sides = fourier_coverage(rotations.cpu(), torch.ones(len(rotations)))
    return _Map(volume, 1.0 if explained is None else explained, sides)
