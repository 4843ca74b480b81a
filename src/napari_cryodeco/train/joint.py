"""Expectation-maximisation over all species together: every image against every volume."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging import fsc
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.runs.species import SpeciesRecord
from napari_cryodeco.train.abinit import BEGUN_BEFORE, SPREAD_BY, side_by_side
from napari_cryodeco.train.common_frame import moved_poses, over_largest
from napari_cryodeco.train.looks import Looks, Stream
from napari_cryodeco.train.matching import FOLDS, Matcher, SearchPlan, polished, rebuild
from napari_cryodeco.train.merging import APART_LATE, merge
from napari_cryodeco.train.passes import MERGING, PLANS, Pass
from napari_cryodeco.train.renew import renewed
from napari_cryodeco.train.retry import Verdict, likeness, second_look
from napari_cryodeco.train.split import splits
from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.trust import records

CONTEST = 30.0  # log-likelihood: a species further behind after the grid is not polished
EDGE = 0.07  # shift in box sides: the first passes look as far as 0.08
FEWEST_LEFT = 10  # particles without which a species keeps its map, and is empty for a second look
SETTLED = 0.01  # share of particles that may change species in the last pass
SAMPLE = 1500  # particles per species of the first passes


@dataclass(frozen=True)
class Assignment:
    """What ab initio hands on.

    `poses` of all particles, all species in one frame and hand, and `posteriors` ``(n, K)``.
    """

    poses: Poses
    posteriors: Tensor


class JointStage:
    """Stage: joint EM; a unit is one of :data:`PLANS`: a pass over particles, or a second look.

    Parameters
    ----------
    looks
        The images.
    volumes
        ``(K, p)`` on the 3-D ball of ``looks.radius``.
    features
        ``(n, f)`` of the images: which look like the particles of a species.
    asked
        Number of species in the end, no more than there are volumes; None: as many as are not one.
    seed, threads
        Of the random starts of the second look; threads that run them side by side.
    """

    name = "joint"

    def __init__(
        self,
        looks: Looks,
        volumes: Tensor,
        features: Tensor,
        asked: int | None,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self._looks, self._seed, self._threads = looks, seed, threads
        self._start, self._features = volumes, features
        self._asked, self._plans = asked, PLANS if asked == len(volumes) else MERGING
        self._state: dict[str, Tensor] = {}

    def units(self) -> int:
        """Count the passes and second looks."""
        return len(self._plans)

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Take up the volumes and poses after the last pass.

        Raises
        ------
        ValueError
            If an older version began.
        """
        if tensors and "confirmed" not in tensors:
            raise ValueError(BEGUN_BEFORE)
        n, species = len(self._looks.images), len(self._start)
        volumes = tensors["volumes"] if tensors else self._start
        begun = {
            "volumes": self._start.clone(),
            "rotations": torch.eye(3).expand(n, species, 3, 3).contiguous(),
            "shifts": torch.zeros(n, species, 2),
            "scores": torch.zeros(n, species),
            "resolution": torch.zeros(species),
            "running": torch.ones(n, species, dtype=torch.bool),
            "confirmed": torch.zeros(species, dtype=torch.bool),
            "agreement": torch.zeros(species),
            "left_out": torch.zeros(len(volumes), FOLDS + 1, volumes.shape[1]),
            "changed": torch.tensor(1.0),
        }
        self._state = begun | (tensors or {})

    def tensors(self) -> dict[str, Tensor]:
        """Volumes, and per particle and species rotation, shift (box sides) and log-likelihood.

        A species is `running` for a particle if it was not far behind the best in the last pass.
        `left_out`: its map without each fold, and last the one with all, to tell if it is another.
        """
        return self._state

    @property
    def posteriors(self) -> Tensor:
        """``(n, K)`` probability of each species."""
        return self._state["scores"].softmax(1)

    def assignment(self) -> Assignment:
        """Poses of each particle in its likeliest species."""
        rows, length = torch.arange(len(self._state["scores"])), self._looks.geometry.length
        best = self._state["scores"].argmax(1)
        shifts = self._state["shifts"][rows, best] * length
        poses = Poses(self._state["rotations"][rows, best], shifts)
        return Assignment(poses, self.posteriors)

    def records(self) -> list[SpeciesRecord]:
        """What speaks for each species, known at the end."""
        return records(self._looks, self._state)

    def advance(self, unit: int, report: Reporter) -> None:
        """Match every particle with every volume and rebuild, or look for better volumes."""
        plan = self._plans[unit]
        if plan == "merge":
            looks, rows = self._looks, self._rows(everyone=False)
            state, few = self._state, self._asked
            self._state = merge(looks, rows, state, few, self._seed, self._threads, report)
        elif plan == "look":
            self._look_again(unit, report)
        elif not plan.restless or float(self._state["changed"]) > SETTLED:
            self._pass(plan, report)
        if unit == len(self._plans) - 1:
            self._bring_together()

    def _bring_together(self) -> None:
        """Lay all maps over the largest species', and move the poses with them."""
        state, ball = self._state, Ball(self._looks.radius, 3)
        counts = torch.bincount(state["scores"].argmax(1), minlength=len(state["volumes"]))
        for index, over in over_largest(state["volumes"], counts, ball.radius).items():
            before = Poses(state["rotations"][:, index], state["shifts"][:, index])
            after = moved_poses(before, over)
            state["rotations"][:, index], state["shifts"][:, index] = after.rotations, after.shifts
            state["volumes"][index] = over.apply(state["volumes"][index], ball)

    def _rows(self, everyone: bool) -> Tensor:
        """Particles that a pass uses, in their order."""
        count, most = len(self._looks.images), SAMPLE * len(self._start)
        if everyone or count <= most:
            return torch.arange(count)
        draw = generator(self._seed, self.name, 0)
        return torch.randperm(count, generator=draw)[:most].sort().values

    def _look_again(self, unit: int, report: Reporter) -> None:
        """Give species without particles other ones, and species with a worse map another map."""
        rows = self._rows(everyone=False)
        if self._asked is None:  # what was a view of a species when it was asked may be one now
            looks, state, seed = self._looks, self._state, self._seed + unit
            left = merge(looks, rows, state, None, seed, self._threads, report, APART_LATE)
            self._state = left
        own, features = self._state["scores"][rows].argmax(1), self._features[rows]
        confirmed = self._state["confirmed"]
        species = len(confirmed)
        like = likeness(features, own)
        seeds = range(self._seed + species * unit, self._seed + species * (unit + 1))
        changed = self._refill(rows, own, seeds[0], report)
        looked_at = [n for n in range(species) if not confirmed[n] and n not in changed]
        verdicts = self._verdicts(rows, own, like, looked_at, seeds, report)
        for index, verdict in zip(looked_at, verdicts, strict=True):
            confirmed[index] = verdict.confirmed
            self._state["agreement"][index] = verdict.agreement
            if verdict.volume is not None:
                self._state["volumes"][index] = verdict.volume.cpu()
                changed.add(index)
        changed |= self._renew(rows, own, changed, seeds, report)
        self._state["running"][:, sorted(changed)] = True  # nobody has been compared with these
        sure = int(confirmed.sum())
        report.step(species, species, f"{sure} of {species} species found again from nothing")
        report.metric("restarted_species", len(changed))
        report.metric("confirmed_species", sure)

    def _verdicts(
        self,
        rows: Tensor,
        own: Tensor,
        like: Tensor,
        looked_at: list[int],
        seeds: range,
        report: Reporter,
    ) -> list[Verdict]:
        """Second looks at some species, side by side."""
        done: list[int] = []

        def one(index: int) -> Verdict:
            report.step(len(done), len(looked_at), f"second looks at {len(looked_at)} species")
            verdict = second_look(
                self._looks,
                rows[(own == index) | (like == index)],
                self._state["volumes"][index],
                seeds[index],
                max(1, self._threads // len(looked_at)),
                report.check_stop,
            )
            done.append(index)
            return verdict

        return side_by_side(one, looked_at, self._threads)

    def _renew(
        self, rows: Tensor, own: Tensor, changed: set[int], seeds: range, report: Reporter
    ) -> set[int]:
        """Give doubtful species a map that begins anew, where it is better."""
        state = self._state

        def one(index: int) -> Tensor | None:
            mine = rows[own == index]
            rotations, shifts = state["rotations"][mine, index], state["shifts"][mine, index]
            threads = max(1, self._threads // len(state["volumes"]))
            seed, tick = seeds[index], report.check_stop
            return renewed(self._looks, mine, rotations, shifts, seed, threads, tick)

        left = [index for index in range(len(state["volumes"])) if index not in changed]
        found = side_by_side(one, left, self._threads)
        better = {index: made for index, made in zip(left, found, strict=True) if made is not None}
        for index, made in better.items():
            state["volumes"][index] = made.cpu()
        report.metric("renewed_species", len(better))
        return set(better)

    def _refill(self, rows: Tensor, own: Tensor, seed: int, report: Reporter) -> set[int]:
        """Let empty species take one of two maps of those that are most likely two."""
        volumes, confirmed = self._state["volumes"], self._state["confirmed"]
        members = [rows[own == index] for index in range(len(volumes))]
        empty = [index for index, few in enumerate(members) if len(few) < FEWEST_LEFT]
        if not empty:
            return set()
        report.step(0, len(volumes), f"other particles for {len(empty)} species that have none")
        found = splits(self._looks, members, seed, self._threads, report.check_stop)
        changed: set[int] = set()
        for index, halves in zip(empty, found, strict=False):
            volumes[halves.index], volumes[index] = halves.volumes.cpu()
            for changing in (halves.index, index):
                confirmed[changing], self._state["agreement"][changing] = False, 0.0
            changed |= {halves.index, index}
        return changed

    def _pass(self, plan: Pass, report: Reporter) -> None:
        looks = self._looks
        coarse_radius, fine_radius = min(plan.coarse, looks.radius), min(plan.fine, looks.radius)
        search = SearchPlan(coarse_radius, fine_radius, plan.extent, keep=4)
        ball3, rows = Ball(looks.radius, 3, looks.device), self._rows(plan.all)
        evidence = Stream(looks, rows)
        volumes = self._state["volumes"].to(looks.device)
        whole = [Matcher(volume, ball3, evidence.ball, search) for volume in volumes]
        known = self._state["scores"][rows]
        before, seen_before = known.argmax(1), known.any(1)
        tried = self._tried(rows) if plan.before else torch.ones_like(known).bool()
        _spread(whole, evidence, tried)
        for fold in range(FOLDS):
            mine = torch.nonzero(rows % FOLDS == fold)[:, 0]
            matchers = [
                Matcher(volume, ball3, evidence.ball, search, one.favour)
                for volume, one in zip(self._without(fold), whole, strict=True)
            ]
            self._match(Stream(looks, rows[mine]), matchers, tried[mine], report, fold)
        scores = self._state["scores"][rows]
        self._rebuild(evidence, rows, report)
        report.metric("log_likelihood", float(scores.amax(1).mean()))
        if seen_before.any():
            moved = (scores.argmax(1) != before)[seen_before]
            self._state["changed"] = moved.float().mean()
            report.metric("changed_species", float(self._state["changed"]))

    def _without(self, fold: int) -> Tensor:
        """Maps ``(K, p)`` without the particles of a fold, where there are any but of all."""
        volumes, left_out = self._state["volumes"], self._state["left_out"]
        made = (left_out[:, -1] == volumes).all(1)
        return torch.where(made[:, None], left_out[:, fold], volumes).to(self._looks.device)

    def _tried(self, rows: Tensor) -> Tensor:
        """Species ``(m, K)`` still in the running: all for particles shifted as far as one looks.

        What is picked farther off its centre fits nothing, and the wrong species nearly best.
        """
        best = self._state["scores"][rows].argmax(1)
        shifts = self._state["shifts"][rows, best].norm(dim=1)
        return self._state["running"][rows] | (shifts > EDGE)[:, None]

    def _match(
        self,
        evidence: Stream,
        matchers: list[Matcher],
        tried: Tensor,
        report: Reporter,
        fold: int,
    ) -> None:
        """Find the poses of each particle of a fold in the species ``(n, K)`` that are tried."""
        n = len(evidence)
        for start in range(0, n, 64):
            places = slice(start, start + 64)
            self._match_some(evidence[places], evidence.rows[places], matchers, tried[places])
            done = fold * n + min(start + 64, n)
            report.step(done, FOLDS * n, "particles against species")

    def _match_some(
        self, seen: Evidence, rows: Tensor, matchers: list[Matcher], tried: Tensor
    ) -> None:
        state = {name: self._state[name][rows] for name in ("rotations", "shifts", "scores")}
        gap = state["scores"].amax(1, keepdim=True) - state["scores"]
        some = [torch.nonzero(column)[:, 0] for column in tried.T]
        parts = [seen[which] for which in some]
        grid = [matcher.coarse(part) for matcher, part in zip(matchers, parts, strict=True)]
        tops = torch.full(tried.shape, -torch.inf)
        for index, which in enumerate(some):
            tops[which, index] = grid[index].scores[:, 0].cpu()
        running = tops > tops.amax(1, keepdim=True) - CONTEST
        for index, which in enumerate(some):
            near = torch.nonzero(running[which, index])[:, 0].to(seen.data.device)
            found = polished(matchers[index], parts[index], grid[index], near)
            for name, column in state.items():
                column[which, index] = getattr(found, name)[:, 0].cpu()
        # a species that was not tried stays as far behind as it was
        best = state["scores"].masked_fill(~tried, -torch.inf).amax(1, keepdim=True)
        state["scores"] = torch.where(tried, state["scores"], best - gap)
        for name, column in (state | {"running": running}).items():
            self._state[name][rows] = column

    def _rebuild(self, evidence: Stream, rows: Tensor, report: Reporter) -> None:
        looks, power = self._looks, self._looks.power
        posteriors = self.posteriors[rows].to(looks.device)
        for species in range(posteriors.shape[1]):
            weights = posteriors[:, species]
            if float(weights.sum()) < FEWEST_LEFT:
                continue  # nobody left: the volume stays as it was
            rotations = self._state["rotations"][rows, species].to(looks.device)
            shifts = self._state["shifts"][rows, species].to(looks.device)
            folds = rows % FOLDS
            made = rebuild(evidence, rotations, shifts, weights, power, looks.radius, folds)
            self._state["volumes"][species] = made.volume.cpu()
            both = torch.cat([made.left_out, made.volume[None]])
            self._state["left_out"][species] = both.cpu()
            self._state["resolution"][species] = fsc.resolution(made.fsc, looks.geometry.length)
            report.check_stop()
        known = self._state["resolution"][self._state["resolution"] > 0]  # 0: never had particles
        if len(known):
            report.metric("resolution", float(known.min()))


def _spread(matchers: list[Matcher], evidence: Stream, tried: Tensor) -> None:
    """Keep the images of each species from gathering on a few viewing axes.

    Some images tell, of those ``(n, K)`` that are tried with a species.
    """
    count = min(len(evidence), SPREAD_BY * len(matchers))
    places = torch.linspace(0, len(evidence) - 1, count).long()
    some, tried = evidence[places], tried[places]
    best = torch.full((count, len(matchers)), -torch.inf, device=some.data.device)
    along = []
    for index, matcher in enumerate(matchers):
        which = torch.nonzero(tried[:, index])[:, 0].to(best.device)
        along.append((which, matcher.along_axes(some[which])))
        best[which, index] = along[-1][1].amax(1)
    belongs = best.softmax(1)
    for index, (matcher, (which, found)) in enumerate(zip(matchers, along, strict=True)):
        matcher.spread(found, belongs[which, index])
