"""Expectation-maximisation over all species together: every image against every volume."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.runs.species import SpeciesRecord
from napari_cryodeco.train import distributed
from napari_cryodeco.train.abinit import BEGUN_BEFORE, side_by_side
from napari_cryodeco.train.common_frame import moved_poses, over_largest
from napari_cryodeco.train.joint_pass import FEWEST_LEFT, SETTLED, ParticlePass
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.matching import FOLDS
from napari_cryodeco.train.merging import APART_LATE, merge
from napari_cryodeco.train.passes import Pass, plans_of
from napari_cryodeco.train.renew import renewed
from napari_cryodeco.train.retry import Verdict, likeness, second_look
from napari_cryodeco.train.split import parted, splits
from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.states import BEFORE, better, forgotten, with_states
from napari_cryodeco.train.trust import records

SAMPLE = 1500  # particles per species of the first passes


@dataclass(frozen=True)
class Assignment:
    """What ab initio hands on.

    `poses` of all particles, all species in one frame and hand, and `posteriors` ``(n, K)``.
    """

    poses: Poses
    posteriors: Tensor


class JointStage:
    """Stage: joint EM; a unit is one of `passes.PLANS`: a pass over particles, or a second look.

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
        self._asked, self._merging = asked, asked != len(volumes)
        self._plans = plans_of(None, self._merging)
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
        self._plans = plans_of(tensors, self._merging)
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
        if not tensors:  # what an earlier version began is told from now on, too
            begun |= {"parted": torch.tensor(0), "patient": torch.tensor(True)}
        state = begun | (tensors or {})
        self._state = forgotten(state) | state

    def tensors(self) -> dict[str, Tensor]:
        """Volumes, and per particle and species rotation, shift (box sides) and log-likelihood.

        A species is `running` for a particle if it was not far behind the best in the last pass.
        `left_out`: its map without each fold, and last the one with all, to tell if it is another.
        `parted`: how many species became two; `family`, and what begins with "before.": see
        :func:`with_states`.
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
        if isinstance(plan, str):
            with report.alone() as lone:  # of several processes the first
                if lone is not None:
                    self._between(plan, unit, lone)
            self._state = distributed.of_first(self._state)
        elif self._is_due(plan):
            rows = self._rows(plan.all)
            if plan.after == "family":  # nobody else changes
                own = self._state[BEFORE + "scores"][rows].argmax(1)
                rows = rows[self._state["family"][own] > 0]
            ParticlePass(self._looks, self._state, rows, plan, report).run()
        if unit == len(self._plans) - 1:
            self._bring_together()

    def _is_due(self, plan: Pass) -> bool:
        if plan.after and not self._state[plan.after].any():
            return False
        return not plan.restless or float(self._state["changed"]) > SETTLED

    def _between(self, plan: str, unit: int, report: Reporter) -> None:
        """Join species that are one, part those that are two, or look for better maps."""
        looks, rows, seed = self._looks, self._rows(everyone=False), self._seed + unit
        begun = bool(self._state["family"].any())
        if plan == "look":
            self._look_again(unit, report)
        elif plan == "merge" or (plan == "rejoin" and self._state["parted"]):
            state, few = self._state, self._asked
            first = self._seed if plan == "merge" else seed
            self._state = merge(looks, rows, state, few, first, self._threads, report)
        elif plan == "part" and self._asked not in (None, 1):
            self._state = parted(looks, rows, self._state, seed, self._threads, report)
        elif (plan == "states" and self._asked not in (None, 1)) or (plan == "again" and begun):
            self._state = with_states(looks, rows, self._state, seed, report)
        elif plan == "choose" and begun:
            self._state = better(rows, self._state, report)

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
