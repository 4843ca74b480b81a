"""Volumes from nothing: stochastic expectation-maximisation from a random start.

Each step draws a batch, scores it against slices of all volumes on a randomly turned grid (a fixed
one leaves artefacts), spreads every image over its likely species and poses and moves running sums
of the back-projections a little. The radius grows slowly: starts that grow in fewer than about 60
steps lock into wrong maps of nearly the same likelihood. Small batches with a long memory start
right more often than large ones.

All species start together: clusters of image features hold particles of several species, and an
image leaves for the species that it fits while the maps are still coarse. Starts from each cluster
alone keep the strangers, and lock into maps that the strangers have bent (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging import so3
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.fourier import Accumulator, Cube
from napari_cryodeco.model.evidence import Evidence, shift_disc
from napari_cryodeco.model.grid_slices import GridSlices
from napari_cryodeco.train import coverage
from napari_cryodeco.train.looks import Looks

PER_SPECIES = 150  # steps
# Log-likelihood that an image tells up to shell 9 from which 250 steps are enough for one species.
# With 184 and more they are right. With some 60, 8 of 10 starts ended at 64 - 121 degrees, and
# four of 1000 - 1500 steps and twice the memory at 10, 16, 21 and 64.
CLEAR, MOST_PATIENCE = 190.0, 8.0
FAINTEST = 1e-3  # share of an image under which a pose or a species is left out
# Most of the time would go into species far behind. Once maps are DECIDED (share of the steps), an
# image that a species explained so much worse (log-likelihood) when it was last seen is compared
# with that species in one visit of ten only. Before, a species could lose all its images by it.
DECIDED, LEFT_BEHIND, AGAIN = 0.5, 15.0, 0.1
# A map with more images has less noise, fits better for it and draws more images, until two species
# share it and another is empty. Those that got so many that the others can no longer have the least
# (of an even share) lose log-likelihood, a STEP for e times too many, and never more than DEEPEST.
LEAST, STEP, DEEPEST = 0.5, 0.5, 10.0
FAINT = 2.0  # times the steps of a clear one, from which several species share the images evenly


@dataclass(frozen=True)
class StartPlan:
    """Settings of a random start.

    `steps` of `batch` images; the radius grows from `first` to `last` over the first 85 % of them;
    `memory` is the share of the running sums that a step replaces; `extent` of shifts in box sides;
    `spread` poses per image and species; an image is tried with the `tried` species that its
    features like best; the fewest images that a species may have are the `least` of an even share.
    Poses are compared with an error of `shaken` nats that is common to the
    images of a step, fades over the first 80 % of the steps and keeps starts out of dead ends.
    Several species are not shaken: they would lose what clusters of the features tell.
    """

    steps: int = 250
    batch: int = 32
    first: int = 3
    last: int = 9
    memory: float = 0.07
    extent: float = 0.08
    spread: int = 64
    tried: int = 4
    shaken: float = 15.0
    least: float = LEAST

    @classmethod
    def of(cls, species: int, looks: Looks) -> StartPlan:
        """Settings for so many species in such images.

        Several species need more steps, in which the images change places. In images that tell
        little each of many needs as many as one alone: images find their poses later. There a map
        of two species takes the images of both before they part, unless all have the same number.
        """
        last = min(cls.last, looks.radius)
        patience = min(faintness(looks) ** 1.5, MOST_PATIENCE)
        steps, memory = round(cls.steps * patience), cls.memory * patience ** (1 / 3)
        if species == 1:
            return cls(steps=steps, memory=memory, last=last)
        if patience > FAINT:
            batch = cls.batch * species
            # nor do their features tell which species may be left out
            tried = species if species <= 2 * cls.tried else cls.tried
            return cls(steps, batch, last=last, memory=memory, tried=tried, shaken=0.0, least=1.0)
        more = PER_SPECIES * min(species, 4)
        seen = 16 * min(species, cls.tried) + 8 * max(species - cls.tried, 0)
        return cls(steps=max(cls.steps, more), batch=seen, last=last, shaken=0.0)

    def radius(self, step: int) -> int:
        """Radius at `step`."""
        return round(self.first + (self.last - self.first) * min(1.0, step / (0.85 * self.steps)))

    def shaking(self, step: int) -> float:
        """Standard deviation in nats of the error of a pose at `step`."""
        return self.shaken * max(0.0, 1 - step / (0.8 * self.steps))


def faintness(looks: Looks) -> float:
    """How many times less an image tells than a clear one; 1 at least."""
    told = looks.information(min(StartPlan.last, looks.radius))
    return max(CLEAR / max(told, 1e-3), 1.0)


class Start:
    """Volumes of all species on their way from nothing.

    Parameters
    ----------
    evidence
        Images, at least up to ``plan.last``.
    power
        Expected squared coefficient of a map per shell, ``(radius + 1,)``.
    plan
        Settings.
    prior
        ``(n, K)`` probability of each species before an image was compared with any map.
    """

    def __init__(self, evidence: Evidence, power: Tensor, plan: StartPlan, prior: Tensor) -> None:
        device = evidence.data.device
        self._evidence, self._power, self._plan = evidence, power, plan
        # ties are broken by chance, the same at every restart, or the first species got all images
        chance = 1 + 1e-4 * torch.rand(prior.shape, generator=torch.Generator().manual_seed(0))
        hopeless = (prior.cpu() * chance).argsort(1, descending=True)[:, plan.tried :]
        self._log_prior = prior.cpu().log().scatter(1, hopeless, -torch.inf).to(device)
        self._ball3 = Ball(plan.last, 3, device)
        self._crowding = torch.ones(prior.shape[1], coverage.AXES, device=device)
        self._penalties = torch.zeros_like(self._crowding)
        self._behind = torch.zeros(prior.shape, device=device)
        self._shares = torch.full(prior.shape[1:], 1 / prior.shape[1], device=device)
        self._handicaps = torch.zeros_like(self._shares)
        self._sums: list[Accumulator] = []
        self._volumes: list[Tensor] = []

    @property
    def volumes(self) -> Tensor:
        """``(K, p)`` up to the radius of the last step."""
        return torch.stack(self._volumes)

    def tensors(self) -> dict[str, Tensor]:
        """The running sums ``(K, m)``; crowding and penalties of the viewing axes ``(K, AXES)``.

        And how far ``(n, K)`` each species is behind the best one of an image; share and handicap
        ``(K,)`` of each.
        """
        return {
            "numerator": torch.stack([sums.numerator for sums in self._sums]).cpu(),
            "denominator": torch.stack([sums.denominator for sums in self._sums]).cpu(),
            "crowding": self._crowding.cpu(),
            "penalties": self._penalties.cpu(),
            "behind": self._behind.cpu(),
            "shares": self._shares.cpu(),
            "handicaps": self._handicaps.cpu(),
        }

    def load(self, tensors: dict[str, Tensor], radius: int) -> None:
        """Take up the sums as they were after a step at `radius`."""
        device = self._evidence.data.device
        pairs = zip(tensors["numerator"], tensors["denominator"], strict=True)
        self._sums = [Accumulator(up.to(device), down.to(device), radius) for up, down in pairs]
        self._volumes = [sums.solve(self._power) for sums in self._sums]
        self._crowding = tensors["crowding"].to(device)
        self._penalties = tensors["penalties"].to(device)
        self._behind = tensors["behind"].to(device)
        self._shares = tensors["shares"].to(device)
        self._handicaps = tensors["handicaps"].to(device)

    def step(self, number: int, generator: torch.Generator) -> None:
        """Do step `number` of the plan."""
        radius, evidence = self._plan.radius(number), self._evidence
        device = evidence.data.device
        self._grow(radius)
        rows = torch.randperm(len(evidence), generator=generator)[: self._plan.batch].to(device)
        seen = evidence[rows].prefix(radius)
        turn = so3.random_rotations(1, generator)[0]
        grid = (so3.ring_grid(2 if radius <= 5 else 3) @ turn).to(device)
        gain = len(evidence) / len(rows)
        if not self._volumes:
            self._scatter(seen, rows, grid, gain, generator)
        else:
            added = self._penalties[:, coverage.axis_of(grid)]
            if self._plan.shaken:
                errors = torch.randn(len(self._sums), len(grid), generator=generator).to(device)
                added = added + errors * self._plan.shaking(number)
            log_prior = self._tried(rows, number, generator)
            self._match(seen, rows, grid, gain * self._plan.memory, radius, added, log_prior)
        self._volumes = [sums.solve(self._power) for sums in self._sums]

    def _grow(self, radius: int) -> None:
        device, species = self._evidence.data.device, self._log_prior.shape[1]
        if not self._sums:
            self._sums = [Accumulator.empty(radius, device) for _ in range(species)]
        elif self._sums[0].radius != radius:
            self._sums = [_grown(sums, radius, device) for sums in self._sums]

    def _scatter(
        self,
        seen: Evidence,
        rows: Tensor,
        grid: Tensor,
        gain: float,
        generator: torch.Generator,
    ) -> None:
        """Put the first images at random poses."""
        for index, sums in enumerate(self._sums):
            poses = torch.randint(0, len(grid), (len(rows),), generator=generator)
            share = self._log_prior[rows, index].exp()[:, None] * gain
            sums.insert(
                seen.data * share,
                seen.ctf2 * share,
                grid[poses.to(grid.device)],
                self._evidence.ball,
            )

    def _tried(self, rows: Tensor, number: int, generator: torch.Generator) -> Tensor:
        """Prior of the species that each image is compared with now: ``-inf`` for the others."""
        log_prior = self._log_prior[rows]
        if number < DECIDED * self._plan.steps:
            return log_prior
        chance = torch.rand(log_prior.shape, generator=generator).to(log_prior.device)
        left = (self._behind[rows] > LEFT_BEHIND) & (chance > AGAIN)
        return log_prior.masked_fill(left, -torch.inf)

    def _match(
        self,
        seen: Evidence,
        rows: Tensor,
        grid: Tensor,
        gain: float,
        radius: int,
        added: Tensor,
        log_prior: Tensor,
    ) -> None:
        """Spread each image over its likely species and poses.

        What is `added` ``(K, Q)`` to the log-likelihoods of poses counts where they are compared.
        """
        plan, ball2 = self._plan, self._evidence.ball
        shifts, axis = _shifts(plan.extent, radius).to(grid.device), coverage.axis_of(grid)
        spread = min(plan.spread, len(grid))
        tops = torch.full((*log_prior.shape, spread), -torch.inf, device=grid.device)
        poses = torch.zeros(tops.shape, dtype=torch.long, device=grid.device)
        where = torch.zeros_like(poses)
        for index, slices in enumerate(_slices(self.volumes, grid, ball2, self._ball3, radius)):
            some = torch.nonzero(log_prior[:, index].isfinite())[:, 0]
            if not len(some):
                continue
            scores, shift = GridSlices(slices).best(seen[some], shifts)
            tops[some, index], best = (scores + added[index]).topk(spread, dim=1)
            poses[some, index], where[some, index] = best, shift.gather(1, best).long()
        totals = log_prior + tops.logsumexp(2) + self._handicaps
        behind = totals.amax(1, keepdim=True) - totals
        self._behind[rows] = torch.where(behind.isfinite(), behind, self._behind[rows])
        species = totals.softmax(1)
        weights = (tops.softmax(2) * species[:, :, None]).nan_to_num()
        self._share(species.mean(0))
        self._spread(weights, axis[poses], coverage.even_share(axis))
        moved = seen.shifted(shifts)
        for index, sums in enumerate(self._sums):
            sums.decay(1 - plan.memory)
            image, pose = torch.nonzero(weights[:, index] > FAINTEST, as_tuple=True)
            share = weights[image, index, pose][:, None] * gain
            sums.insert(
                moved[image, where[image, index, pose]] * share,
                seen.ctf2[image] * share,
                grid[poses[image, index, pose]],
                ball2,
            )

    def _share(self, shares: Tensor) -> None:
        """Note which share ``(K,)`` of the images each species got; keep them from gathering."""
        self._shares = self._shares + self._plan.memory * (shares - self._shares)
        most = (1 + (1 - self._plan.least) / max(1, len(shares) - 1)) / len(shares)
        crowd = (self._shares / most).clamp_min(1e-3)
        self._handicaps = (self._handicaps - STEP * crowd.log()).clamp(-DEEPEST, 0.0)

    def _spread(self, weights: Tensor, axes: Tensor, even: Tensor) -> None:
        """Note along which axes images ``(b, K, poses)`` look, and keep them from gathering."""
        seen = torch.zeros_like(self._crowding)
        for index, found in enumerate(seen):
            found.index_add_(0, axes[:, index].flatten(), weights[:, index].flatten())
        total = seen.sum(1, keepdim=True)
        part = self._plan.memory * (total > 0)
        crowding = seen / total.clamp_min(1e-6) / even.clamp_min(1e-6)
        self._crowding = (1 - part) * self._crowding + part * crowding
        cap = coverage.CAP_AT_FIRST
        self._penalties = coverage.adjusted(self._penalties, self._crowding, cap)


def random_start(
    evidence: Evidence,
    power: Tensor,
    plan: StartPlan,
    generator: torch.Generator,
    tick: Callable[[], None],
) -> Tensor:
    """Volume ``(p,)`` up to ``plan.last`` from images of (mostly) one species alone."""
    start = Start(evidence, power, plan, torch.ones(len(evidence), 1))
    for number in range(plan.steps):
        start.step(number, generator)
        tick()
    return start.volumes[0]


def held_out_score(evidence: Evidence, volumes: Tensor, radius: int, extent: float) -> float:
    """Mean best log-likelihood of unused images with ``(K, p)`` volumes at `radius`.

    What restarts are ranked by.
    """
    return float(held_out_scores(evidence, volumes, radius, extent).amax(1).mean())


def held_out_scores(evidence: Evidence, volumes: Tensor, radius: int, extent: float) -> Tensor:
    """Best log-likelihood ``(n, K)`` of images with each of ``(K, p)`` volumes at `radius`."""
    ball3 = Ball(radius, 3, volumes.device)
    grid = so3.ring_grid(4).to(volumes.device)
    shifts = _shifts(extent, radius).to(volumes.device)
    best = torch.full((len(evidence), len(volumes)), -torch.inf, device=volumes.device)
    for index, volume in enumerate(volumes):
        slices = GridSlices(_slices(volume[None], grid, evidence.ball, ball3, radius)[0])
        for start in range(0, len(evidence), 64):
            rows = slice(start, start + 64)
            found, _ = slices.best(evidence[rows].prefix(radius), shifts)
            best[rows, index] = found.amax(1)
    return best


def _grown(sums: Accumulator, radius: int, device: torch.device) -> Accumulator:
    """Take the sums over to a larger radius."""
    larger = Accumulator.empty(radius, device)
    small = round(sums.numerator.numel() ** (1 / 3))
    big = round(larger.numerator.numel() ** (1 / 3))
    inner = slice((big - small) // 2, (big - small) // 2 + small)
    for old, new in (
        (sums.numerator, larger.numerator),
        (sums.denominator, larger.denominator),
    ):
        new.view(big, big, big)[inner, inner, inner] = old.view(small, small, small)
    return larger


def _shifts(extent: float, radius: int) -> Tensor:
    return shift_disc(extent, 1 / (3 * radius) if radius > 4 else 0.08)


def _slices(volumes: Tensor, rotations: Tensor, ball2: Ball, ball3: Ball, radius: int) -> Tensor:
    """Slices ``(K, m, p)`` up to `radius`; shells that the volumes do not have yet are zero."""
    reach = min(radius, int(ball3.radii[volumes.shape[1] - 1]))
    found = Cube(volumes, ball3, reach).slice_all(rotations, ball2)
    return torch.nn.functional.pad(found, (0, ball2.count(radius) - found.shape[2]))
