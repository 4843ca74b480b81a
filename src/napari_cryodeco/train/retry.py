"""A second look at each species: its particles may rather have another map.

A species can lock into a wrong map and yet keep its particles. New random starts from those
particles are judged beside the map that they have, on particles left out while both are sharpened:
a wrong map with polished poses tells more than a right one that is still coarse. Wrong maps are
wrong each in its own way, so a map that a start finds again is taken to be right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.superpose import superpose
from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.train.abinit import HELD_OUT, SHARPENING, sharpened, side_by_side
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.matching import Matcher, SearchPlan, search
from napari_cryodeco.train.stages import generator
from napari_cryodeco.train.starts import StartPlan, random_start
from napari_cryodeco.train.unseen import is_sure

STARTS = 2  # random starts at a time, until two maps agree
MOST = 6  # maps that are tried, the present one among them
LOOKED_AT = 1000  # particles of a species that a second look uses
FEWEST = 100  # particles that a species needs for a start
AGREED = 0.8  # mean FSC of shells 1-9: wrong maps have .35-.74, right ones .84-.99
AGREED_RADIUS = 9
SHRINKAGE = 0.05  # of the features' covariance
JUDGED = SearchPlan(11, 14)  # how the particles left out are matched with either map


@dataclass(frozen=True)
class Verdict:
    """What a second look found.

    `volume` ``(p,)`` where a start is better than the present map, else None; `confirmed` where
    the map that stays is the best, or like it, and was found by another start too. `agreement` of
    it with the likest map that was started from nothing: mean FSC of shells 1-9.
    """

    volume: Tensor | None
    confirmed: bool
    agreement: float


@dataclass(frozen=True)
class _Tried:
    volume: Tensor
    scores: Tensor

    @property
    def score(self) -> float:
        return float(self.scores.mean())


def second_look(
    looks: Looks,
    rows: Tensor,
    volume: Tensor,
    seed: int,
    threads: int,
    tick: Callable[[], None],
    most: int = MOST,
) -> Verdict:
    """Try other maps for some particles.

    Parameters
    ----------
    looks
        All images.
    rows
        ``(m,)`` particles of the species.
    volume
        ``(p,)`` present map of the species.
    seed, threads
        Of the random starts; threads that run them side by side.
    tick
        Called between the steps: may raise in order to stop.
    most
        Maps that are tried, the present one among them.
    """
    if len(rows) < FEWEST:
        return Verdict(None, confirmed=False, agreement=0.0)
    order = torch.randperm(len(rows), generator=generator(seed, "retry", 0))[:LOOKED_AT]
    evidence, power = looks.evidence(rows[order]), looks.power
    held = max(8, int(HELD_OUT * len(order)))
    plan = StartPlan.of(1, looks)
    volume = volume.to(evidence.data.device)

    def started(start: int) -> Tensor:
        drawn = generator(seed, "retry-start", start)
        return random_start(evidence[held:], power, plan, drawn, tick)

    def tried_from(begun: Tensor) -> _Tried:
        found = sharpened(evidence[held:], begun, power, looks, tick).volume
        return _Tried(found, judged(evidence[:held], found, looks))

    first = sharpened(evidence[held:], started(1), power, looks, tick, SHARPENING[:1]).volume
    like = agreement(first, volume, looks.radius)
    if like > AGREED:  # a right map by itself says so before it is sharp
        return Verdict(None, True, like)
    begun = [volume, first]
    tried = side_by_side(lambda which: tried_from(begun[which]), range(2), threads)
    while not (verdict := _verdict(tried, looks.radius)).confirmed and len(tried) < most:
        more = range(len(tried), len(tried) + STARTS)
        tried += side_by_side(lambda start: tried_from(started(start)), more, threads)
    return verdict


def _verdict(tried: list[_Tried], radius: int) -> Verdict:
    """Judge the present map, the first, beside those of the starts."""
    present, *starts = tried
    best, *others = sorted(starts, key=lambda start: -start.score)
    gain = best.scores - present.scores
    like = agreement(best.volume, present.volume, radius)
    like_others = [agreement(best.volume, other.volume, radius) for other in others]
    same, again = like > AGREED, max(like_others, default=0.0) > AGREED
    if is_sure(gain) or (again and not same and gain.mean() > 0):
        return Verdict(best.volume, same or again, max([like, *like_others]))
    return Verdict(None, same, like)


def judged(evidence: Evidence, volume: Tensor, looks: Looks) -> Tensor:
    """Best log-likelihood of each image."""
    matcher = Matcher(volume, Ball(looks.radius, 3, looks.device), evidence.ball, JUDGED)
    return search(evidence, matcher).best()[2]


def agree(first: Tensor, second: Tensor, radius: int) -> bool:
    """Whether two volumes ``(p,)``, known up to `radius`, are one map in any frame and hand."""
    return agreement(first, second, radius) > AGREED


def agreement(first: Tensor, second: Tensor, radius: int) -> float:
    """Mean FSC of two volumes ``(p,)``, known up to `radius`, laid over each other in any hand.

    0 for smaller radii than :data:`AGREED_RADIUS`: at low resolution all maps are alike.
    """
    if radius < AGREED_RADIUS:
        return 0.0
    ball = Ball(AGREED_RADIUS, 3, first.device)
    return float(superpose(first, second, ball).fsc.mean())


def likeness(features: Tensor, own: Tensor) -> Tensor:
    """Which species each particle looks like: ``(n,)`` from features ``(n, f)`` and species.

    A wrong map keeps the views that happen to fit it; a start from these alone fails again. The
    features know nothing of the map and bring the other views back.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    kept = torch.bincount(own)[own] > 1
    if len(own[kept].unique()) < 2:
        return own
    model = LinearDiscriminantAnalysis(solver="eigen", shrinkage=SHRINKAGE)
    model.fit(features[kept].numpy(), own[kept].numpy())
    return torch.from_numpy(model.predict(features.numpy()))
