"""What the joint stage does one after the other: passes over the particles, and looks between."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Pass:
    """Match particles with all species and rebuild.

    `coarse` and `fine` radius of the search, largest shift `extent` in box sides; `all` particles
    or a sample; compared with all species, or only with those that are still in the running after
    the pass `before`; left out if `restless` and particles no longer change their species, or if it
    belongs `after` something that was not done: species that parted, or families of states.
    """

    coarse: int
    fine: int
    extent: float = 0.08
    all: bool = False
    before: bool = False
    restless: bool = False
    after: Literal["", "parted", "family"] = ""


_FAR = Pass(11, 16, 0.12, all=True, before=True)
_NEAR = Pass(10, 14, before=True)
_NEAR_PARTED, _FAR_STATES = replace(_NEAR, after="parted"), replace(_FAR, after="family")
Plan = Pass | Literal["look", "merge", "part", "rejoin", "states", "again", "choose"]
_PARTING: tuple[Plan, ...] = ("part", _NEAR_PARTED, "rejoin", _NEAR_PARTED)
_FEWER_LAST: tuple[Plan, ...] = (_FAR, _FAR, *[replace(_FAR, restless=True)] * 3)
_LAST: tuple[Plan, ...] = (*_FEWER_LAST, *[replace(_FAR, restless=True)] * 2)
_STATES: tuple[Plan, ...] = (
    "states",
    _FAR_STATES,
    _FAR_STATES,
    "again",
    _FAR_STATES,
    _FAR_STATES,
    "choose",
)
_STATES_ONCE: tuple[Plan, ...] = ("states", *[_FAR_STATES] * 3, "choose")
_BEGIN: tuple[Plan, ...] = (Pass(9, 12), Pass(10, 14), "look", _NEAR)
_CLUSTERS: tuple[Plan, ...] = (Pass(9, 12), Pass(10, 14), _NEAR, "merge", _NEAR)
PLANS: tuple[Plan, ...] = (*_BEGIN, *_PARTING, "look", *_LAST, *_STATES)
"""The passes; "look": a second look at species that are not confirmed yet; "part": those whose maps
explain too little become two each, "rejoin": and after a pass as many as were asked for again;
"states": those of one molecule begin anew from what varies in it, "again": and once more where
better maps have put the particles; "choose": that is taken back where it explains no more.

The last passes look farther out: particles picked far off their centre would else be forced into
the wrong species (36 of 1600 in dev_mix4_d64, most of them beyond 0.08 of the box).
"""

MERGING: tuple[Plan, ...] = (*_CLUSTERS, *_PARTING, "look", *_LAST, *_STATES)
"""Where more species began than there are: some are one, which right maps tell."""

_FEWER: tuple[Plan, ...] = (*_BEGIN, *_PARTING, "look", *_FEWER_LAST, *_STATES_ONCE)
_FEWER_MERGING: tuple[Plan, ...] = (*_CLUSTERS, *_PARTING, "look", *_FEWER_LAST, *_STATES_ONCE)
_FIRST: tuple[Plan, ...] = (*_BEGIN, "look", *_FEWER_LAST)
_FIRST_MERGING: tuple[Plan, ...] = (*_CLUSTERS, "look", *_FEWER_LAST)


def plans_of(known: Collection[str] | None, merging: bool) -> tuple[Plan, ...]:
    """What the stage does, from the names in its state, which tell who began; None: it begins.

    What an earlier version began ends as it would have then: its units are others.
    """
    if known is None or "patient" in known:
        return MERGING if merging else PLANS
    if "parted" in known:
        return _FEWER_MERGING if merging else _FEWER
    return _FIRST_MERGING if merging else _FIRST


def last_units(plans: tuple[Plan, ...]) -> int:
    """Count the units from the first pass over all particles on: nothing looks for other starts."""
    first = next(n for n, plan in enumerate(plans) if isinstance(plan, Pass) and plan.all)
    return len(plans) - first
