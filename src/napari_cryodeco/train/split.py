"""A species whose particles are of two becomes two, and an empty one starts anew from such.

Where two bodies share one map, the particles of the worse explained one are spread over several
species. Either their own species is empty: two maps started from the particles of each other
species tell which of them is a mixture. Or another species has two maps, and none is empty: those
whose maps explain too little become two each, all particles choose, and what is one is joined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.train.abinit import HELD_OUT, side_by_side
from napari_cryodeco.train.explained import explained_by
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.merging import OF_PARTICLES, OF_SPECIES
from napari_cryodeco.train.renew import CLEAR
from napari_cryodeco.train.retry import FEWEST, LOOKED_AT, agree
from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.starts import Start, StartPlan, held_out_score


@dataclass(frozen=True)
class Split:
    """Two volumes ``(2, p)`` for the particles of species `index`."""

    index: int
    volumes: Tensor


def splits(
    looks: Looks, members: list[Tensor], seed: int, threads: int, tick: Callable[[], None]
) -> list[Split]:
    """Find species that may be two, the likeliest first.

    Parameters
    ----------
    looks
        All images.
    members
        Rows ``(m,)`` of the particles of each species; small ones are not tried.
    seed, threads
        Of the random starts; threads that run them side by side.
    tick
        Called between the steps: may raise in order to stop.
    """
    tried = [index for index, rows in enumerate(members) if len(rows) >= 2 * FEWEST]

    def one(place: int) -> tuple[float, Tensor]:
        rows = members[tried[place]]
        gain, volumes = _halved(looks, rows, seed + place, tick)
        return gain * len(rows), volumes

    found = side_by_side(one, range(len(tried)), threads)
    order = sorted(range(len(found)), key=lambda place: -found[place][0])
    return [
        Split(tried[place], found[place][1])
        for place in order
        if not agree(found[place][1][0], found[place][1][1], looks.radius)
    ]


def parted(
    looks: Looks,
    rows: Tensor,
    state: dict[str, Tensor],
    seed: int,
    threads: int,
    report: Reporter,
) -> dict[str, Tensor]:
    """Make two of each species whose map explains less than :data:`CLEAR` of its particles' signal.

    Parameters
    ----------
    looks
        All images.
    rows
        Particles ``(m,)`` that were compared with all species.
    state
        Of the joint stage.
    seed, threads, report
        Of random starts; threads that run them side by side; where to tell.

    Returns
    -------
    dict
        The state with one more species for each that became two, which nobody has been compared
        with; `parted` of it tells how many.
    """
    own = state["scores"][rows].argmax(1)
    members = [rows[own == index] for index in range(len(state["volumes"]))]
    mixed = [index for index, mine in enumerate(members) if _is_mixed(looks, mine, state, index)]
    report.step(0, len(members), f"{len(mixed)} species whose maps explain too little become two")
    tick = report.check_stop

    def one(place: int) -> Tensor:
        return _halved(looks, members[mixed[place]], seed + place, tick)[1]

    halves = side_by_side(one, range(len(mixed)), threads)
    report.metric("parted_species", len(mixed))
    twice = [*range(len(members)), *mixed]
    made = state | {name: state[name][:, twice] for name in OF_PARTICLES}
    made |= {name: state[name][twice] for name in OF_SPECIES}
    for place, (index, volumes) in enumerate(zip(mixed, halves, strict=True)):
        both = [index, len(members) + place]
        made["volumes"][both], made["running"][:, both] = volumes.cpu(), True
        made["confirmed"][both], made["agreement"][both] = False, 0.0
    return made | {"parted": torch.tensor(len(mixed))}


def _is_mixed(looks: Looks, rows: Tensor, state: dict[str, Tensor], index: int) -> bool:
    if len(rows) < 2 * FEWEST:
        return False
    share = explained_by(looks, state, index, rows, LOOKED_AT)
    return share is not None and share < CLEAR


def _halved(
    looks: Looks, rows: Tensor, seed: int, tick: Callable[[], None]
) -> tuple[float, Tensor]:
    """Two volumes of some particles, and how much more both say of unseen ones than one alone."""
    random = generator(seed, "split", 0)
    order = torch.randperm(len(rows), generator=random)[:LOOKED_AT]
    evidence, power = looks.evidence(rows[order]), looks.power
    held = max(8, int(HELD_OUT * len(order)))
    plan = StartPlan.of(2, looks)
    start = Start(evidence[held:], power, plan, torch.full((len(order) - held, 2), 0.5))
    for number in range(plan.steps):
        start.step(number, random)
        tick()
    volumes, unseen = start.volumes, evidence[:held]
    alone = [held_out_score(unseen, volume[None], plan.last, plan.extent) for volume in volumes]
    gain = held_out_score(unseen, volumes, plan.last, plan.extent) - max(alone)
    return gain, Ball(looks.radius, 3, looks.device).extend(volumes)
