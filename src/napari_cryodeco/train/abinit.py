"""Each species on its own from nothing: random starts, the best by held-out images, then sharpened.

Restarts run side by side, one thread each: their many small steps do not gain from more.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from napari_cryodeco.config import AbinitioConfig
from napari_cryodeco.imaging import fsc
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.spectrum import signal_power
from napari_cryodeco.model.pose_search import Evidence
from napari_cryodeco.train.matching import Matcher, SearchPlan, rebuild, search
from napari_cryodeco.train.single import StartPlan, held_out_score, random_start
from napari_cryodeco.train.stages import Reporter, generator

SAMPLE = 3000  # images of a species used for its starts
HELD_OUT = 0.15

Made = TypeVar("Made")


@dataclass(frozen=True)
class Looks:
    """The images as the search sees them: noise 1, CTF known, up to `radius`."""

    images: Tensor
    ctf: Ctf
    geometry: Geometry
    radius: int
    device: torch.device

    def evidence(self, rows: Tensor) -> Evidence:
        """Evidence of some particles, float32, on the device."""
        ball = Ball(self.radius, 2)
        ctf = self.ctf[rows].at(ball.frequencies(self.geometry.box, self.geometry.pixel_size))
        images = self.images[:, : len(ball)][rows].float()
        return Evidence.of(images.to(self.device), ctf.to(self.device), ball.to(self.device))

    def power(self) -> Tensor:
        """Signal power per shell, from up to 4000 images."""
        n = len(self.images)
        rows = torch.linspace(0, n - 1, min(n, 4000)).long()
        ball = Ball(self.radius, 2)
        ctf = self.ctf[rows].at(ball.frequencies(self.geometry.box, self.geometry.pixel_size))
        images = self.images[:, : len(ball)][rows].float()
        return signal_power(images, ctf, ball, self.radius).to(self.device)


def search_radius(geometry: Geometry) -> int:
    """Radius of the ab initio search: 16 resolves a degree or two, and a small box has less."""
    return min(16, geometry.radius)


class AbinitStage:
    """Stage: one volume per species; a unit is one species.

    Parameters
    ----------
    looks
        The images.
    posteriors
        ``(n, K)`` soft clusters to begin from.
    config
        Number of restarts.
    seed, threads
        Of the random starts; threads that run them side by side.
    """

    name = "abinit"

    def __init__(
        self, looks: Looks, posteriors: Tensor, config: AbinitioConfig, seed: int, threads: int
    ) -> None:
        self._looks, self._posteriors, self._config = looks, posteriors, config
        self._seed, self._threads = seed, threads
        self._state: dict[str, Tensor] = {}

    def units(self) -> int:
        """Count the species."""
        return self._posteriors.shape[1]

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Take up the species that are done."""
        ball = Ball(self._looks.radius, 3)
        species, restarts = self.units(), self._config.restarts
        self._state = tensors or {
            "volumes": torch.zeros(species, len(ball)),
            "scores": torch.full((species, restarts), -torch.inf),
            "resolution": torch.zeros(species),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Volumes ``(K, p)``, held-out scores ``(K, R)``, resolution ``(K,)`` in Å."""
        return self._state

    @property
    def volumes(self) -> Tensor:
        """``(K, p)`` on the 3-D ball of the search radius."""
        return self._state["volumes"]

    def advance(self, unit: int, report: Reporter) -> None:
        """Find the volume of one species."""
        looks, weights = self._looks, self._posteriors[:, unit]
        draw = generator(self._seed, self.name, unit)
        rows = torch.multinomial(weights.clamp_min(1e-9), min(SAMPLE, len(weights)), generator=draw)
        rows = rows[weights[rows] > 0.05] if int((weights > 0.05).sum()) >= 20 else rows
        evidence, power = looks.evidence(rows), looks.power()
        held = max(8, int(HELD_OUT * len(rows)))
        starts = self._restarts(evidence, power, weights[rows], held, unit, report)
        self._state["scores"][unit] = torch.tensor([score for _, score in starts])
        best = max(starts, key=lambda start: start[1])[0]
        volume, resolution = sharpen(evidence, best, power, looks, report.check_stop)
        self._state["volumes"][unit] = volume.cpu()
        self._state["resolution"][unit] = resolution
        report.metric("resolution", resolution)

    def _restarts(
        self,
        evidence: Evidence,
        power: Tensor,
        weights: Tensor,
        held: int,
        unit: int,
        report: Reporter,
    ) -> list[tuple[Tensor, float]]:
        plan = StartPlan(last=min(9, self._looks.radius))
        total, done = self._config.restarts * plan.steps, [0] * self._config.restarts

        def one(restart: int) -> tuple[Tensor, float]:
            def tick(step: int) -> None:
                done[restart] = step
                if step % 10 == 0:
                    report.step(sum(done), total, f"species {unit + 1}: start {restart + 1}")

            random = generator(self._seed, f"{self.name}-{unit}", restart)
            volume = random_start(evidence[held:], power, plan, random, weights[held:], tick)
            return volume, held_out_score(evidence[:held], volume, plan.last, plan.extent)

        return side_by_side(one, self._config.restarts, self._threads)


def side_by_side(work: Callable[[int], Made], count: int, threads: int) -> list[Made]:
    """Do ``work(i)`` with one torch thread each, `threads` at a time; results in order."""
    if threads <= 1:
        return [work(index) for index in range(count)]
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, range(count)))
    finally:
        torch.set_num_threads(before)


def sharpen(
    evidence: Evidence, volume: Tensor, power: Tensor, looks: Looks, tick: Callable[[], None]
) -> tuple[Tensor, float]:
    """Search all images and rebuild, three times, with growing radius.

    Volume and resolution in Å.
    """
    top = looks.radius
    rounds = [(9, 9, 12), (10, 12, 14), (11, 14, top)]
    resolution = looks.geometry.length
    everyone = torch.ones(len(evidence), device=evidence.data.device)
    for coarse_radius, fine_radius, next_radius in rounds:
        plan = SearchPlan(min(coarse_radius, top), min(fine_radius, top))
        matcher = Matcher(volume, Ball(top, 3, looks.device), evidence.ball, plan)
        rotations, shifts, _ = search(evidence, matcher, lambda done: tick()).best()
        found = rebuild(evidence, rotations, shifts, everyone, power, min(next_radius, top))
        volume = found.volume
        resolution = fsc.resolution(found.fsc, looks.geometry.length)
    full = Ball(top, 3)
    return torch.nn.functional.pad(volume, (0, len(full) - len(volume))), resolution
