"""Expectation-maximisation over all species together: every image against every volume."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging import fsc
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.model.pose_search import Candidates, Evidence
from napari_cryodeco.train.abinit import Looks
from napari_cryodeco.train.matching import Matcher, SearchPlan, join, rebuild
from napari_cryodeco.train.retry import second_look
from napari_cryodeco.train.stages import Reporter

CONTEST = 30.0  # log-likelihood: a species further behind after the grid is not polished
PLANS = ((9, 12, 0.08), (10, 14, 0.08), None, (11, 16, 0.12), (11, 16, 0.12))
"""Coarse and fine radius of each pass and its largest shift in box sides; None: a second look.

The last passes look farther out: particles picked far off their centre would else be forced into
the wrong species (36 of 1600 in dev_mix4_d64, most of them beyond 0.08 of the box).
"""


@dataclass(frozen=True)
class Assignment:
    """What ab initio hands on.

    `poses` of all particles in the frame of their species, `posteriors` ``(n, K)``, `volumes`
    ``(K, p)`` on the 3-D ball of `radius`.
    """

    poses: Poses
    posteriors: Tensor
    volumes: Tensor
    radius: int


class JointStage:
    """Stage: joint EM; a unit is one pass over all particles.

    Parameters
    ----------
    looks
        The images.
    volumes
        ``(K, p)`` on the 3-D ball of ``looks.radius``.
    dtype
        Of the grid search's products.
    seed, threads
        Of the random starts of the second look; threads that run them side by side.
    """

    name = "joint"

    def __init__(
        self,
        looks: Looks,
        volumes: Tensor,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self._looks, self._dtype, self._seed, self._threads = looks, dtype, seed, threads
        self._start = volumes
        # one species was sharpened on its own already: the last passes are enough
        self._plans = PLANS if len(volumes) > 1 else PLANS[-2:]
        self._state: dict[str, Tensor] = {}

    def units(self) -> int:
        """Count the passes."""
        return len(self._plans)

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Take up the volumes and poses after the last pass."""
        n, species = len(self._looks.images), len(self._start)
        self._state = tensors or {
            "volumes": self._start.clone(),
            "rotations": torch.eye(3).expand(n, species, 3, 3).contiguous(),
            "shifts": torch.zeros(n, species, 2),
            "scores": torch.zeros(n, species),
            "resolution": torch.zeros(species),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Volumes, and per particle and species rotation, shift (box sides) and log-likelihood."""
        return self._state

    @property
    def posteriors(self) -> Tensor:
        """``(n, K)`` probability of each species."""
        return self._state["scores"].softmax(1)

    def assignment(self) -> Assignment:
        """Poses of each particle in its likeliest species."""
        rows = torch.arange(len(self._state["scores"]))
        best = self._state["scores"].argmax(1)
        shifts = self._state["shifts"][rows, best] * self._looks.geometry.length
        poses = Poses(self._state["rotations"][rows, best], shifts)
        return Assignment(poses, self.posteriors, self._state["volumes"], self._looks.radius)

    def advance(self, unit: int, report: Reporter) -> None:
        """Match every particle with every volume and rebuild, or look for better volumes."""
        radii = self._plans[unit]
        if radii is None:
            self._look_again(report)
        else:
            self._pass(radii, report)

    def _look_again(self, report: Reporter) -> None:
        """Give a species another volume where its particles say so."""
        own, changed = self._state["scores"].argmax(1), 0
        species = self._state["scores"].shape[1]
        for index in range(species):
            rows = torch.nonzero(own == index)[:, 0]
            better = second_look(
                self._looks,
                rows,
                self._state["rotations"][rows, index],
                self._state["shifts"][rows, index],
                self._seed + index,
                self._threads,
                report,
            )
            if better is not None:
                self._state["volumes"][index] = better.cpu()
                changed += 1
            report.step(index + 1, species, "a second look at each species")
        report.metric("restarted_species", changed)

    def _pass(self, radii: tuple[int, int, float], report: Reporter) -> None:
        looks, seen_before = self._looks, bool(self._state["scores"].any())
        coarse_radius, fine_radius = (min(radius, looks.radius) for radius in radii[:2])
        plan = SearchPlan(coarse_radius, fine_radius, radii[2], keep=4, dtype=self._dtype)
        ball3 = Ball(looks.radius, 3, looks.device)
        evidence = looks.evidence(torch.arange(len(looks.images)))
        volumes = self._state["volumes"].to(looks.device)
        matchers = [Matcher(volume, ball3, evidence.ball, plan) for volume in volumes]
        found = self._match(evidence, matchers, report)
        self._state["rotations"] = torch.stack([f.rotations[:, 0] for f in found], 1).cpu()
        self._state["shifts"] = torch.stack([f.shifts[:, 0] for f in found], 1).cpu()
        before = self.posteriors.argmax(1)
        self._state["scores"] = torch.stack([f.scores[:, 0] for f in found], 1).cpu()
        moved = (self.posteriors.argmax(1) != before).float().mean()
        self._rebuild(evidence, report)
        report.metric("log_likelihood", float(self._state["scores"].amax(1).mean()))
        if seen_before:
            report.metric("changed_species", float(moved))

    def _match(
        self, evidence: Evidence, matchers: list[Matcher], report: Reporter
    ) -> list[Candidates]:
        parts: list[list[Candidates]] = [[] for _ in matchers]
        n = len(evidence)
        for start in range(0, n, 64):
            seen = evidence[start : start + 64]
            grid = [matcher.coarse(seen) for matcher in matchers]
            best = torch.stack([found.scores[:, 0] for found in grid]).amax(0)
            for matcher, found, part in zip(matchers, grid, parts, strict=True):
                near = torch.nonzero(found.scores[:, 0] > best - CONTEST)[:, 0]
                part.append(_polished(matcher, seen, found, near))
            report.step(min(start + 64, n), n, "particles against species")
        return [join(part) for part in parts]

    def _rebuild(self, evidence: Evidence, report: Reporter) -> None:
        looks, power = self._looks, self._looks.power()
        posteriors = self.posteriors.to(looks.device)
        for species in range(posteriors.shape[1]):
            weights = posteriors[:, species]
            if float(weights.sum()) < 10:
                continue  # nobody left: the volume stays as it was
            rotations = self._state["rotations"][:, species].to(looks.device)
            shifts = self._state["shifts"][:, species].to(looks.device)
            made = rebuild(evidence, rotations, shifts, weights, power, looks.radius)
            self._state["volumes"][species] = made.volume.cpu()
            self._state["resolution"][species] = fsc.resolution(made.fsc, looks.geometry.length)
            report.check_stop()
        report.metric("resolution", float(self._state["resolution"].min()))


def _polished(matcher: Matcher, seen: Evidence, found: Candidates, near: Tensor) -> Candidates:
    """One candidate per image.

    Polished where the species is in the running, else the grid's best.
    """
    rotations, shifts = found.rotations[:, :1].clone(), found.shifts[:, :1].clone()
    scores = found.scores[:, :1].clone()
    if len(near):
        some = Candidates(found.rotations[near], found.shifts[near], found.scores[near])
        better = matcher.polish(seen[near], some)
        rotations[near], shifts[near], scores[near] = better.rotations, better.shifts, better.scores
    return Candidates(rotations, shifts, scores)
