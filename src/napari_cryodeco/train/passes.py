"""What the joint stage does one after the other: passes over the particles, and looks between."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Pass:
    """Match particles with all species and rebuild.

    `coarse` and `fine` radius of the search, largest shift `extent` in box sides; `all` particles
    or a sample; compared with all species, or only with those that are still in the running after
    the pass `before`; left out if `restless` and particles no longer change their species, or if
    `parted` and no species has just become two.
    """

    coarse: int
    fine: int
    extent: float = 0.08
    all: bool = False
    before: bool = False
    restless: bool = False
    parted: bool = False


_FAR = Pass(11, 16, 0.12, all=True, before=True)
_NEAR = Pass(10, 14, before=True)
_NEAR_PARTED = replace(_NEAR, parted=True)
Plan = Pass | Literal["look", "merge", "part", "rejoin"]
_PARTING: tuple[Plan, ...] = ("part", _NEAR_PARTED, "rejoin", _NEAR_PARTED)
PLANS: tuple[Plan, ...] = (
    *(Pass(9, 12), Pass(10, 14), "look", _NEAR, *_PARTING, "look"),
    *(_FAR, _FAR, *[replace(_FAR, restless=True)] * 3),
)
"""The passes; "look": a second look at species that are not confirmed yet; "part": those whose maps
explain too little become two each, "rejoin": and after a pass as many as were asked for again.

The last passes look farther out: particles picked far off their centre would else be forced into
the wrong species (36 of 1600 in dev_mix4_d64, most of them beyond 0.08 of the box).
"""


LAST_PASSES = sum(isinstance(plan, Pass) and plan.all for plan in PLANS)
"""Passes over all particles, after which nothing looks for other maps."""

MERGING: tuple[Plan, ...] = (*PLANS[:2], _NEAR, "merge", _NEAR, *PLANS[4:])
"""Where more species began than there are: some are one, which right maps tell."""
