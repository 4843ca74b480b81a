"""Two species that are one: where the number of species was estimated, it was estimated too high.

Features of images tell views apart as well as species. Two species are one if a single map of
particles of both explains particles left out as well as the better of their two maps does: its
images are twice as many, and a map of some views only fails on the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor

from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.train.abinit import HELD_OUT, sharpen, side_by_side
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.retry import LOOKED_AT, SURE, judged
from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.starts import StartPlan, random_start

TOO_FEW = 30  # particles that show no map of their own: the species of the others takes them
TRIED_IN_VAIN = 3  # pairs, the likeliest first, that are two, before the others are taken to be
_OF_PARTICLES = ("rotations", "shifts", "scores", "running")  # state ``(n, K, ...)``
_OF_SPECIES = ("volumes", "resolution", "confirmed", "agreement")  # state ``(K, ...)``


def merge(
    looks: Looks,
    rows: Tensor,
    state: dict[str, Tensor],
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
    seed, threads, report
        Of random starts; threads that run them side by side; where to tell.

    Returns
    -------
    dict
        The state of the species that are left.
    """
    names, fresh, apart = list(range(len(state["volumes"]))), len(state["volumes"]), set()
    vain, asked = 0, 0
    while len(names) > 1 and vain < TRIED_IN_VAIN:
        found = likely_pairs(state["scores"][rows])
        untried = [(a, b) for a, b in found if frozenset((names[a], names[b])) not in apart]
        if not untried:
            break
        a, b = untried[0]
        own = state["scores"][rows].argmax(1)
        report.step(asked, asked + 1, f"{len(names)} species: are {a + 1} and {b + 1} one?")
        volumes = state["volumes"][a], state["volumes"][b]
        members = rows[own == a], rows[own == b]
        one = one_map(looks, members, volumes, seed + asked, threads, report.check_stop)
        asked += 1
        if one is None:
            vain += 1
            apart.add(frozenset((names[a], names[b])))
            continue
        vain, names[a], fresh = 0, fresh, fresh + 1
        del names[b]
        state = _joined(state, a, b, one.cpu())
    report.metric("species", len(names))
    return state


def without_empty(rows: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state without species that hardly one of the particles `rows` ``(m,)`` chose."""
    count = len(state["volumes"])
    members = torch.bincount(state["scores"][rows].argmax(1), minlength=count)
    left = torch.nonzero(members >= min(TOO_FEW, int(members.max())))[:, 0]
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


def one_map(
    looks: Looks,
    members: tuple[Tensor, Tensor],
    volumes: tuple[Tensor, Tensor],
    seed: int,
    threads: int,
    tick: Callable[[], None],
) -> Tensor | None:
    """The map ``(p,)`` of two species together, or None where they are two.

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
        return max(zip(members, volumes, strict=True), key=lambda one: len(one[0]))[1]
    halves = [_drawn(rows, seed) for rows in members]
    held = [max(8, int(HELD_OUT * len(rows))) for rows in halves]
    unseen = looks.evidence(torch.cat([rows[:few] for rows, few in zip(halves, held, strict=True)]))
    rest = [rows[few:] for rows, few in zip(halves, held, strict=True)]
    alone = [looks.evidence(rows) for rows in rest]
    together = torch.cat(rest)
    order = torch.randperm(len(together), generator=generator(seed, "merge-order", 0))
    both = looks.evidence(together[order])
    first, second = (volume.to(looks.device) for volume in volumes)

    def one(number: int) -> Tensor:
        evidence = alone[number] if number < 2 else both
        if number == 4:
            begun = _started(both, looks, seed, tick)
        else:
            begun = second if number % 2 else first
        return sharpen(evidence, begun, looks.power, looks, tick)

    made = side_by_side(one, range(5), threads)
    scores = [judged(unseen, volume, looks) for volume in made]
    # each image is as likely of either: the better of two maps alone would always look better
    apart = torch.logaddexp(scores[0], scores[1]) - math.log(2)
    best = max(range(2, 5), key=lambda number: float(scores[number].mean()))
    loss = apart - scores[best]
    sure = float(loss.mean()) > SURE * float(loss.std()) / len(loss) ** 0.5
    return None if sure else made[best]


def _drawn(rows: Tensor, seed: int) -> Tensor:
    order = torch.randperm(len(rows), generator=generator(seed, "merge", 0))
    return rows[order[: LOOKED_AT // 2]]


def _started(evidence: Evidence, looks: Looks, seed: int, tick: Callable[[], None]) -> Tensor:
    plan = StartPlan.of(1, looks)
    return random_start(evidence, looks.power, plan, generator(seed, "merge-start", 0), tick)
