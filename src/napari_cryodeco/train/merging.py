"""Species that are one are joined: there were more than species, or more than were asked for.

Features of images tell views apart as well as species, so that many species begin as more clusters
than there are species (:mod:`abinit`). Two are one if a single map of particles of both explains
particles left out as well as the better of their two maps does: its images are twice as many, and
a map of some views only fails on the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.train.abinit import HELD_OUT, sharpen, side_by_side
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.retry import LOOKED_AT, judged
from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.starts import StartPlan, random_start

TOO_FEW = 30  # particles that show no map of their own: the species of the others takes them
# Loss of one map, in its standard errors, from which two species are two. Of 13 pairs that were one
# none lost more than 0 with the best of three maps, of 22 that were two three lost less than 2
# (holdout16, 29 species for 16); and from which no other beginning is tried: those lost 0 - 3.7.
APART, FAR_APART = 1.0, 4.0
TRIED_IN_VAIN = 3  # pairs, or half as many as species, that are two before all others are, too
_OF_PARTICLES = ("rotations", "shifts", "scores", "running")  # state ``(n, K, ...)``
_OF_SPECIES = ("volumes", "resolution", "confirmed", "agreement")  # state ``(K, ...)``


@dataclass(frozen=True)
class Together:
    """The map ``(p,)`` of two species together, and its `loss` in standard errors."""

    volume: Tensor
    loss: float

    @property
    def one(self) -> bool:
        """Whether the two are one."""
        return self.loss <= APART


def merge(
    looks: Looks,
    rows: Tensor,
    state: dict[str, Tensor],
    asked: int | None,
    seed: int,
    threads: int,
    report: Reporter,
) -> dict[str, Tensor]:
    """Make species that are one become one.

    Parameters
    ----------
    looks
        All images.
    rows
        Particles ``(m,)`` that were compared with all species.
    state
        Of the joint stage: volumes, and per particle and species rotations, shifts and scores.
    asked
        Number of species that are left; None: as many as are not one.
    seed, threads, report
        Of random starts; threads that run them side by side; where to tell.

    Returns
    -------
    dict
        The state of the species that are left.
    """
    least = asked or 1
    state = without_empty(rows, state, least)
    names, fresh = list(range(len(state["volumes"]))), len(state["volumes"])
    tried: dict[frozenset[int], Together] = {}
    vain = asks = 0
    while len(names) > least:
        found = likely_pairs(state["scores"][rows])
        named = {frozenset((names[a], names[b])): (a, b) for a, b in found}
        untried = [name for name in named if name not in tried]
        if untried and vain < max(TRIED_IN_VAIN, len(names) // 2):
            name = untried[0]
            a, b = named[name]
            report.step(asks, asks + 1, f"{len(names)} species: are {a + 1} and {b + 1} one?")
            tried[name] = _asked(looks, rows, state, (a, b), seed + asks, threads, report)
            asks, vain = asks + 1, vain + 1
            if not tried[name].one:
                continue
        elif asked is None:
            break
        else:  # more than were asked for, and none are one: the two that are nearest to it
            name = min((name for name in named if name in tried), key=lambda one: tried[one].loss)
        a, b = named[name]
        vain, names[a], fresh = 0, fresh, fresh + 1
        del names[b]
        state = _joined(state, a, b, tried[name].volume.cpu())
    report.metric("species", len(names))
    return state


def _asked(
    looks: Looks,
    rows: Tensor,
    state: dict[str, Tensor],
    pair: tuple[int, int],
    seed: int,
    threads: int,
    report: Reporter,
) -> Together:
    own = state["scores"][rows].argmax(1)
    members = rows[own == pair[0]], rows[own == pair[1]]
    volumes = state["volumes"][pair[0]], state["volumes"][pair[1]]
    return together(looks, members, volumes, seed, threads, report.check_stop)


def without_empty(rows: Tensor, state: dict[str, Tensor], least: int = 1) -> dict[str, Tensor]:
    """The state without species that hardly one of the particles `rows` ``(m,)`` chose.

    At `least` so many stay.
    """
    count = len(state["volumes"])
    members = torch.bincount(state["scores"][rows].argmax(1), minlength=count)
    enough = min(TOO_FEW, int(members.sort(descending=True).values[min(least, count) - 1]))
    left = torch.nonzero(members >= enough)[:, 0]
    return _only(state, left) if len(left) < count else state


def _only(state: dict[str, Tensor], left: Tensor) -> dict[str, Tensor]:
    """The state of some species."""
    made = state | {name: state[name][:, left].clone() for name in _OF_PARTICLES}
    return made | {name: state[name][left].clone() for name in _OF_SPECIES}


def _joined(state: dict[str, Tensor], kept: int, gone: int, volume: Tensor) -> dict[str, Tensor]:
    """The state with species `gone` in `kept`, whose map is `volume`."""
    better = state["scores"][:, gone] > state["scores"][:, kept]
    made = {name: value.clone() for name, value in state.items()}
    for name in _OF_PARTICLES:
        made[name][better, kept] = state[name][better, gone]
    made["volumes"][kept], made["running"][:, kept] = volume, True
    for name in ("confirmed", "agreement"):
        made[name][kept] = 0
    return _only(made, torch.tensor([i for i in range(len(state["volumes"])) if i != gone]))


def likely_pairs(scores: Tensor) -> list[tuple[int, int]]:
    """Pairs of species, the likeliest to be one first, by log-likelihoods ``(n, K)``.

    Likeliest are those whose particles the other explains nearly as well.
    """
    own = scores.argmax(1)
    behind = scores.amax(1, keepdim=True) - scores
    count = scores.shape[1]
    far = torch.stack(
        [behind[own == index].clamp(max=1e4).mean(0) for index in range(count)]
    ).nan_to_num(torch.inf)
    pairs = list(combinations(range(count), 2))
    return sorted(pairs, key=lambda pair: float(far[pair] + far[pair[::-1]]))


def together(
    looks: Looks,
    members: tuple[Tensor, Tensor],
    volumes: tuple[Tensor, Tensor],
    seed: int,
    threads: int,
    tick: Callable[[], None],
) -> Together:
    """The map of two species together, and what it loses beside their own two.

    Parameters
    ----------
    looks
        All images.
    members
        Rows of the particles of either species.
    volumes
        The present map ``(p,)`` of either.
    seed, threads
        Of a random start; threads that run side by side.
    tick
        Called between the steps: may raise in order to stop.
    """
    if min(map(len, members)) < TOO_FEW:
        larger = max(zip(members, volumes, strict=True), key=lambda one: len(one[0]))[1]
        return Together(larger, 0.0)
    halves = [_drawn(rows, seed) for rows in members]
    held = [max(8, int(HELD_OUT * len(rows))) for rows in halves]
    unseen = looks.evidence(torch.cat([rows[:few] for rows, few in zip(halves, held, strict=True)]))
    rest = [rows[few:] for rows, few in zip(halves, held, strict=True)]
    alone = [looks.evidence(rows) for rows in rest]
    mixed = torch.cat(rest)
    order = torch.randperm(len(mixed), generator=generator(seed, "merge-order", 0))
    both = looks.evidence(mixed[order])
    first, second = (volume.to(looks.device) for volume in volumes)

    def one(number: int) -> Tensor:
        evidence, begun = alone[number] if number < 2 else both, second if number % 2 else first
        return sharpen(evidence, begun, looks.power, looks, tick)

    made = side_by_side(one, range(4), threads)
    scores = [judged(unseen, volume, looks) for volume in made]
    # each image is as likely of either: the better of two maps alone would always look better
    apart = torch.logaddexp(scores[0], scores[1]) - math.log(2)
    found = [_judged(volume, apart - own) for volume, own in zip(made[2:], scores[2:], strict=True)]
    best = min(found, key=lambda one: one.loss)
    if best.one or best.loss > FAR_APART:
        return best
    anew = sharpen(both, _started(both, looks, seed, tick), looks.power, looks, tick)
    return min(best, _judged(anew, apart - judged(unseen, anew, looks)), key=lambda one: one.loss)


def _judged(volume: Tensor, loss: Tensor) -> Together:
    """Judge a map by what it loses ``(m,)`` of particles left out."""
    return Together(volume, float(loss.mean() / (loss.std() / len(loss) ** 0.5)))


def _drawn(rows: Tensor, seed: int) -> Tensor:
    order = torch.randperm(len(rows), generator=generator(seed, "merge", 0))
    return rows[order[: LOOKED_AT // 2]]


def _started(evidence: Evidence, looks: Looks, seed: int, tick: Callable[[], None]) -> Tensor:
    plan = StartPlan.of(1, looks)
    return random_start(evidence, looks.power, plan, generator(seed, "merge-start", 0), tick)
