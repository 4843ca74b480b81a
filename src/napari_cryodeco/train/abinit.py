"""All species from nothing: random starts, the best by held-out images.

Restarts run side by side, one thread each: their many small steps do not gain from more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.stage_config import AbinitioConfig
from napari_cryodeco.train.looks import LARGEST_RADIUS, Looks
from napari_cryodeco.train.matching import Matcher, SearchPlan, rebuild, search
from napari_cryodeco.train.pairs import parted
from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.starts import Start, StartPlan, held_out_score

UNITS = 10
# After this unit the start that explains held-out images worst ends, if there are more than two.
# Of three starts of four species the best one at the end was never the worst there, in four sets.
LAST_OF_ALL = 3
SAMPLE = 3000  # images per species that the starts see
HELD_OUT, MOST_HELD_OUT = 0.15, 600  # share and most of them that rank the starts
SPREAD_BY = 200  # images of a species that tell which viewing directions are crowded
# Rounds of sharpening a start: radius of the grid and of the polish, and of the next map.
SHARPENING = ((9, 9, 12), (10, 12, 14), (11, 14, LARGEST_RADIUS))
TEMPER, FLOOR = 0.3, 0.1  # of the clusters' probabilities

BEGUN_BEFORE = (
    "This run was begun by an earlier version, whose classes were found in another way: make a new "
    "run of the same particles; the results of this one stay as they are."
)

Made = TypeVar("Made")


class AbinitStage:
    """Stage: one volume per species, all species together; a unit is a tenth of the way.

    Every other start knows nothing of the clusters. In one more than are asked for every image
    stays in its cluster: a species that looks like some view of another can be swallowed by it
    where images are free to go. More species than an image is tried with all begin in clusters,
    and there are more of these than species, so that each has its own: no start needs to keep them.

    Parameters
    ----------
    looks
        The images.
    posteriors
        ``(n, K)`` soft clusters to begin from.
    config
        Number of starts, but for the one that keeps the clusters.
    seed, threads
        Of the random starts; threads that run them side by side.
    """

    name = "abinit"

    def __init__(
        self, looks: Looks, posteriors: Tensor, config: AbinitioConfig, seed: int, threads: int
    ) -> None:
        self._looks, self._posteriors, self._restarts = looks, posteriors, config.restarts
        self._seed, self._threads = seed, threads
        self._plan = StartPlan.of(posteriors.shape[1], looks)
        self._state: dict[str, Tensor] = {}

    @property
    def species(self) -> int:
        """Count the species."""
        return self._posteriors.shape[1]

    def units(self) -> int:
        """Count the units."""
        return UNITS

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Take up the running sums of all restarts.

        Raises
        ------
        ValueError
            If there are fewer than ten particles for each species, or an older version began.
        """
        count = len(self._posteriors)
        if count < 10 * self.species:
            raise ValueError(
                f"{count} particles are too few for {self.species} species: at least ten per "
                "species are needed."
            )
        names = {name.rpartition(".")[0] for name in tensors or {}}
        begun = tensors and "volumes" not in tensors
        if tensors and ("resolution" in tensors or (begun and "handicaps" not in names)):
            raise ValueError(BEGUN_BEFORE)
        self._state = tensors or {}

    def tensors(self) -> dict[str, Tensor]:
        """Running sums of each restart; at the end volumes ``(K, p)`` and held-out scores."""
        return self._state

    @property
    def volumes(self) -> Tensor:
        """``(K, p)`` on the 3-D ball of the search radius."""
        return self._state["volumes"]

    def advance(self, unit: int, report: Reporter) -> None:
        """Take every restart some steps on; the last unit chooses among them."""
        steps = range(self._plan.steps * unit // UNITS, self._plan.steps * (unit + 1) // UNITS)
        rows, held = self._sample()
        evidence, power = self._looks.evidence(rows), self._looks.power
        begun = self._beginnings(self._posteriors[rows])
        running = self._running() if unit else range(self._starts())
        done = [0] * len(begun)

        def one(restart: int) -> Start:
            plan = replace(self._plan, tried=1) if restart == self._restarts else self._plan
            start = Start(evidence[held:], power, plan, begun[restart][held:])
            if unit:
                start.load(self._kept(restart), plan.radius(steps[0] - 1))
            draw = generator(self._seed, f"{self.name}-{unit}", restart)
            for step in steps:
                start.step(step, draw)
                done[restart] += 1
                report.step(sum(done), len(steps) * len(running), "random starts of all species")
            return start

        starts = dict(zip(running, side_by_side(one, running, self._threads), strict=True))
        if unit == LAST_OF_ALL and len(starts) > 2:
            scores = self._judged(starts, self._plan.radius(steps[-1]), evidence[:held], report)
            del starts[min(scores, key=scores.__getitem__)]
        self._state = {
            f"{name}.{restart}": value
            for restart, start in starts.items()
            for name, value in start.tensors().items()
        }
        if unit == UNITS - 1:
            self._choose(starts, evidence[:held], report)
            if self.species > 1 and self._plan.least == 1:
                self._part(evidence, held, report)

    def _beginnings(self, clusters: Tensor) -> list[Tensor]:
        """What each start takes for granted, ``(n, K)``: clusters may help, or mislead.

        Of many species an image is tried with those of its features only, so that none begins from
        nothing.
        """
        if self.species == 1:
            return [clusters] * self._restarts
        nothing = torch.full_like(clusters, 1 / self.species)
        begun, unguided = tempered(clusters), self.species <= self._plan.tried
        free = [nothing if number % 2 and unguided else begun for number in range(self._restarts)]
        return [*free, clusters]

    def _starts(self) -> int:
        """Count the starts: the one that keeps the clusters is for few species."""
        return self._restarts + int(1 < self.species <= self._plan.tried)

    def _sample(self) -> tuple[Tensor, int]:
        """Rows that the starts see, and how many of the first are held out to rank them."""
        draw = generator(self._seed, self.name, 0)
        rows = torch.randperm(len(self._posteriors), generator=draw)[: SAMPLE * self.species]
        return rows, min(max(8, int(HELD_OUT * len(rows))), MOST_HELD_OUT)

    def _kept(self, restart: int) -> dict[str, Tensor]:
        end = f".{restart}"
        return {n.removesuffix(end): v for n, v in self._state.items() if n.endswith(end)}

    def _running(self) -> list[int]:
        """Numbers of the starts that have not been ended."""
        return sorted({int(name.rpartition(".")[2]) for name in self._state})

    def _judged(
        self, starts: dict[int, Start], radius: int, held: Evidence, report: Reporter
    ) -> dict[int, float]:
        """How well each start explains what none has seen."""
        scores = {}
        for number, start in starts.items():
            report.check_stop()
            scores[number] = held_out_score(held, start.volumes, radius, self._plan.extent)
        return scores

    def _choose(self, starts: dict[int, Start], held: Evidence, report: Reporter) -> None:
        """Keep the volumes that explain best what no start has seen."""
        scores = self._judged(starts, self._plan.last, held, report)
        best = max(scores, key=scores.__getitem__)
        volumes = Ball(self._looks.radius, 3).extend(starts[best].volumes.cpu())
        self._state = {"volumes": volumes, "scores": torch.tensor(list(scores.values()))}
        report.metric("held_out_log_likelihood", scores[best])

    def _part(self, evidence: Evidence, held: int, report: Reporter) -> None:
        """Let pairs of species that share their images begin anew."""
        near = Ball(self._plan.last, 3)
        volumes = self._state["volumes"][:, : len(near)].to(self._looks.device)
        draw = generator(self._seed, f"{self.name}-pairs", 0)
        found = parted(self._looks, evidence[held:], evidence[:held], volumes, draw, report)
        self._state["volumes"] = Ball(self._looks.radius, 3).extend(found.cpu())


def tempered(posteriors: Tensor) -> Tensor:
    """What clusters of features are worth as a prior: they are surer of themselves than right."""
    flat = posteriors**TEMPER
    return (1 - FLOOR) * flat / flat.sum(1, keepdim=True) + FLOOR / posteriors.shape[1]


def side_by_side(work: Callable[[int], Made], numbers: Iterable[int], threads: int) -> list[Made]:
    """Do ``work(i)`` with one torch thread each, `threads` at a time; results in order."""
    if threads <= 1:
        return [work(number) for number in numbers]
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, numbers))
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Sharpened:
    """A map ``(p,)`` and the poses it was made with, ``(n, 3, 3)`` and ``(n, 2)`` box sides."""

    volume: Tensor
    rotations: Tensor
    shifts: Tensor


def sharpened(
    evidence: Evidence,
    volume: Tensor,
    power: Tensor,
    looks: Looks,
    tick: Callable[[], None],
    rounds: Sequence[tuple[int, int, int]] = SHARPENING,
) -> Sharpened:
    """Search all images and rebuild, some `rounds` with growing radius."""
    top = looks.radius
    everyone = torch.ones(len(evidence), device=evidence.data.device)
    for coarse_radius, fine_radius, next_radius in rounds:
        plan = SearchPlan(min(coarse_radius, top), min(fine_radius, top))
        matcher = Matcher(volume, Ball(top, 3, looks.device), evidence.ball, plan)
        seen = evidence[:SPREAD_BY]
        matcher.spread(matcher.along_axes(seen), everyone[: len(seen)])
        rotations, shifts, _ = search(evidence, matcher, lambda done: tick()).best()
        volume = rebuild(evidence, rotations, shifts, everyone, power, min(next_radius, top)).volume
    return Sharpened(volume, rotations, shifts)
