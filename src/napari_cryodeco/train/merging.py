"""Species that are one are joined: there were more than species, or more than were asked for.

Features of images tell views apart as well as species, so that many species begin as more clusters
than there are species (:mod:`abinit`). Two are one if a single map of particles of both explains as
much of their signal as their own two maps do: how much does not depend on the number of particles.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.train.abinit import sharpened, side_by_side
from napari_cryodeco.train.explained import FEWEST, explained_share
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.retry import LOOKED_AT
from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.starts import StartPlan, random_start

# Share of the signal that one map explains less than two, from which two species are two; and from
# which no other beginning of the one map is tried. Of 29 species of holdout16 that began for 16,
# nine of 13 pairs that were one lost less (the others held a fragment, or needed that beginning),
# and of 23 that were two all lost .020 - .122.
APART, FAR_APART = 0.015, 0.08
# The same when maps are right: a pair that was one lost .018, all others .15 - .35 (dev_mix4_d64).
APART_LATE = 0.05
TRIED_IN_VAIN = 3  # pairs, or half as many as species, that are two before all others are, too
OF_PARTICLES = ("rotations", "shifts", "scores", "running")  # state ``(n, K, ...)``
OF_SPECIES = ("volumes", "left_out", "resolution", "confirmed", "agreement")  # state ``(K, ...)``


@dataclass(frozen=True)
class Together:
    """The map ``(p,)`` of two species together; its `loss` of explained signal beside their two."""

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
    apart: float = APART,
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
    apart
        Loss from which two species are two.

    Returns
    -------
    dict
        The state of the species that are left.
    """
    least = asked or 1
    state = without_empty(rows, state, least)
    names, fresh = list(range(len(state["volumes"]))), len(state["volumes"])
    tried: dict[frozenset[int], Together] = {}
    inquiry = _Inquiry(looks, rows, threads, report)
    vain = asks = 0
    while len(names) > least:
        found = likely_pairs(state["scores"][rows])
        named = {frozenset((names[a], names[b])): (a, b) for a, b in found}
        untried = [name for name in named if name not in tried]
        if untried and vain < max(TRIED_IN_VAIN, len(names) // 2):
            name = untried[0]
            a, b = named[name]
            report.step(asks, asks + 1, f"{len(names)} species: are {a + 1} and {b + 1} one?")
            tried[name] = inquiry.ask(state, names, (a, b), seed + asks)
            asks, vain = asks + 1, vain + 1
            if tried[name].loss > apart:
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


class _Inquiry:
    """Asks pairs; what was found of a species by itself is known from then on, by its name."""

    def __init__(self, looks: Looks, rows: Tensor, threads: int, report: Reporter) -> None:
        self._looks, self._rows, self._threads = looks, rows, threads
        self._tick = report.check_stop
        self._known: dict[int, Alone] = {}

    def ask(
        self, state: dict[str, Tensor], names: list[int], pair: tuple[int, int], seed: int
    ) -> Together:
        """Ask two species, rows of `state`."""
        own = state["scores"][self._rows].argmax(1)
        new = [index for index in pair if names[index] not in self._known]

        def one(place: int) -> Alone:
            index = new[place]
            members, volume = self._rows[own == index], state["volumes"][index]
            return alone(self._looks, members, volume, names[index], self._tick)

        found = side_by_side(one, range(len(new)), self._threads)
        self._known |= {names[index]: made for index, made in zip(new, found, strict=True)}
        first, second = (self._known[names[index]] for index in pair)
        return together(self._looks, first, second, seed, self._threads, self._tick)


def without_empty(rows: Tensor, state: dict[str, Tensor], least: int = 1) -> dict[str, Tensor]:
    """The state without species that hardly one of the particles `rows` ``(m,)`` chose.

    At `least` so many stay. Fewer than :data:`explained.FEWEST` show no map of their own: the
    species of the others takes them.
    """
    count = len(state["volumes"])
    members = torch.bincount(state["scores"][rows].argmax(1), minlength=count)
    enough = min(FEWEST, int(members.sort(descending=True).values[min(least, count) - 1]))
    left = torch.nonzero(members >= enough)[:, 0]
    return _only(state, left) if len(left) < count else state


def _only(state: dict[str, Tensor], left: Tensor) -> dict[str, Tensor]:
    """The state of some species."""
    made = state | {name: state[name][:, left].clone() for name in OF_PARTICLES}
    # who had only species that are gone is compared with all that are left
    made["running"] |= ~made["running"].any(1, keepdim=True)
    return made | {name: state[name][left].clone() for name in OF_SPECIES}


def _joined(state: dict[str, Tensor], kept: int, gone: int, volume: Tensor) -> dict[str, Tensor]:
    """The state with species `gone` in `kept`, whose map is `volume`."""
    better = state["scores"][:, gone] > state["scores"][:, kept]
    made = {name: value.clone() for name, value in state.items()}
    for name in OF_PARTICLES:
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


@dataclass(frozen=True)
class Alone:
    """One species by itself: some `rows` of its particles, its map, what that explains of them."""

    rows: Tensor
    volume: Tensor
    explained: float | None


def alone(
    looks: Looks, members: Tensor, volume: Tensor, seed: int, tick: Callable[[], None]
) -> Alone:
    """Sharpen the map ``(p,)`` of a species with (some of) its `members`, rows ``(m,)``."""
    rows = _drawn(members, seed)
    if len(rows) < FEWEST:
        return Alone(members, volume, None)
    made = _made(looks, rows, volume.to(looks.device), tick)
    return Alone(rows, *made)


def together(
    looks: Looks,
    first: Alone,
    second: Alone,
    seed: int,
    threads: int,
    tick: Callable[[], None],
) -> Together:
    """The map of two species together, and what it loses beside their own two.

    Parameters
    ----------
    looks
        All images.
    first, second
        The two.
    seed, threads
        Of a random start; threads that run them side by side.
    tick
        Called between the steps: may raise in order to stop.
    """
    if first.explained is None or second.explained is None:
        few = min(len(first.rows), len(second.rows)) < FEWEST
        larger = max((first, second), key=lambda one: len(one.rows))
        return Together(larger.volume, 0.0 if few else math.inf)
    rows = torch.cat([first.rows, second.rows])
    rows = rows[torch.randperm(len(rows), generator=generator(seed, "merge-order", 0))]
    both = len(first.rows) * first.explained + len(second.rows) * second.explained

    def judged(begun: Tensor) -> Together:
        volume, explained = _made(looks, rows, begun, tick)
        assert explained is not None  # there are more of them than of either
        return Together(volume, both / len(rows) - explained)

    begun = [first.volume, second.volume]
    best = min(side_by_side(lambda n: judged(begun[n]), range(2), threads), key=_loss)
    if best.one or best.loss > FAR_APART:
        return best
    return min(best, judged(_started(looks.evidence(rows), looks, seed, tick)), key=_loss)


def _loss(found: Together) -> float:
    return found.loss


def _made(
    looks: Looks, rows: Tensor, begun: Tensor, tick: Callable[[], None]
) -> tuple[Tensor, float | None]:
    """The sharpened map of particles, and what it explains of them."""
    evidence = looks.evidence(rows)
    made = sharpened(evidence, begun, looks.power, looks, tick)
    explained = explained_share(evidence, made.rotations, made.shifts, looks.power)
    return made.volume, explained


def _drawn(rows: Tensor, seed: int) -> Tensor:
    order = torch.randperm(len(rows), generator=generator(seed, "merge", 0))
    return rows[order[: LOOKED_AT // 2]]


def _started(evidence: Evidence, looks: Looks, seed: int, tick: Callable[[], None]) -> Tensor:
    plan = StartPlan.of(1, looks)
    return random_start(evidence, looks.power, plan, generator(seed, "merge-start", 0), tick)
