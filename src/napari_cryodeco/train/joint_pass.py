"""One pass of the joint stage: every particle against every map, then the maps anew.

Of several processes (torchrun) each matches a run of the particles. What they find, and the sums
that the maps are made of, all of them have in the end.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from napari_cryodeco.imaging import fsc
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.fourier import Accumulator
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.train import distributed
from napari_cryodeco.train.abinit import SPREAD_BY
from napari_cryodeco.train.looks import Looks, Stream
from napari_cryodeco.train.matching import (
    BATCH,
    FOLDS,
    Matcher,
    Rebuilt,
    SearchPlan,
    fold_sums,
    polished,
    rebuilt,
)
from napari_cryodeco.train.passes import Pass
from napari_cryodeco.train.relation import offset
from napari_cryodeco.train.solvent import without_solvent
from napari_cryodeco.train.stages import Reporter
from napari_cryodeco.train.state_maps import maps_of_states, shown

CONTEST = 30.0  # log-likelihood: a species further behind after the grid is not polished
EDGE = 0.07  # shift in box sides: the first passes look as far as 0.08
SETTLED = 0.01  # share of particles that may change species where each has found its own
FEWEST_LEFT = 10  # particles without which a species keeps its map, and is empty for a second look


class ParticlePass:
    """One pass over some particles; it changes the state of the joint stage.

    Parameters
    ----------
    looks
        All images.
    state
        See :meth:`JointStage.tensors`.
    rows
        The particles ``(m,)``, in their order.
    plan
        How far is searched, and among which species.
    report
        Where to tell; may raise in order to stop.
    """

    def __init__(
        self, looks: Looks, state: dict[str, Tensor], rows: Tensor, plan: Pass, report: Reporter
    ) -> None:
        self._looks, self._state, self._rows, self._report = looks, state, rows, report
        self._plan = plan

    def run(self) -> None:
        """Match, rebuild, and tell how many changed their species."""
        rows, report = self._rows, self._report
        known = self._state["scores"][rows]
        before, seen_before = known.argmax(1), known.any(1)
        self._match(self._tried() if self._plan.before else torch.ones_like(known).bool())
        scores = self._state["scores"][rows]
        report.metric("log_likelihood", float(scores.amax(1).mean()))
        if seen_before.any():
            moved = (scores.argmax(1) != before)[seen_before]
            self._state["changed"] = moved.float().mean()
            report.metric("changed_species", float(self._state["changed"]))
        self._rebuild()

    def _tried(self) -> Tensor:
        """Species ``(m, K)`` still in the running: all for particles shifted as far as one looks.

        What is picked farther off its centre fits nothing, and the wrong species nearly best.
        """
        best = self._state["scores"][self._rows].argmax(1)
        shifts = self._state["shifts"][self._rows, best].norm(dim=1)
        return self._state["running"][self._rows] | (shifts > EDGE)[:, None]

    def _match(self, tried: Tensor) -> None:
        """Find the poses of each particle in the species ``(m, K)`` that are tried."""
        looks, plan, rows = self._looks, self._plan, self._rows
        coarse_radius, fine_radius = min(plan.coarse, looks.radius), min(plan.fine, looks.radius)
        search = SearchPlan(coarse_radius, fine_radius, plan.extent, keep=4)
        ball3, ball2 = Ball(looks.radius, 3, looks.device), looks.ball
        volumes = self._state["volumes"].to(looks.device)
        whole = [Matcher(volume, ball3, ball2, search) for volume in volumes]
        _spread(whole, Stream(looks, rows), tried)
        portions, done = [_portions(rows, fold) for fold in range(FOLDS)], 0
        of = sum(len(places) for parts in portions for places in parts)
        for fold, parts in enumerate(portions):
            matchers = [
                Matcher(volume, ball3, ball2, search, one.favour)
                for volume, one in zip(self._without(fold), whole, strict=True)
            ]
            for places in parts:
                if len(places):
                    self._match_some(rows[places], matchers, tried[places])
                done += len(places)
                self._report.step(done, of, "particles against species")
        mine = rows[distributed.share(len(rows))]
        for name in ("rotations", "shifts", "scores", "running"):
            self._state[name][rows] = distributed.everywhere(self._state[name][mine], len(rows))

    def _without(self, fold: int) -> Tensor:
        """Maps ``(K, p)`` without the particles of a fold, where there are any but of all."""
        volumes, left_out = self._state["volumes"], self._state["left_out"]
        made = (left_out[:, -1] == volumes).all(1)
        return torch.where(made[:, None], left_out[:, fold], volumes).to(self._looks.device)

    def _match_some(self, rows: Tensor, matchers: list[Matcher], tried: Tensor) -> None:
        seen: Evidence = self._looks.evidence(rows)
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

    def _changing(self) -> list[list[int]]:
        """Species whose maps change, states of one molecule together.

        Where only particles of families are seen, these; else each is by itself.
        """
        if self._plan.after != "family":
            return [[species] for species in range(len(self._state["volumes"]))]
        family = self._state["family"]
        numbers = range(1, int(family.max()) + 1)
        return [torch.nonzero(family == number)[:, 0].tolist() for number in numbers]

    def _centre(self, species: int) -> None:
        """Move a species so that its particles are shifted as little as they can be.

        Its map began where it happened to; a search of shifts as far to all sides would else miss
        particles on one.
        """
        state, rows = self._state, self._rows
        mine = rows[state["scores"][rows].argmax(1) == species]
        if len(mine) < FEWEST_LEFT:
            return
        rotations, shifts = state["rotations"][:, species], state["shifts"][:, species]
        shifts -= rotations[:, :2] @ offset(Poses(rotations[mine], shifts[mine]))

    def _rebuild(self) -> None:
        looks, rows, report = self._looks, self._rows, self._report
        posteriors = self._state["scores"][rows].softmax(1).to(looks.device)
        ball3 = Ball(looks.radius, 3, looks.device)
        # while maps are still mixtures, what is outside of one is inside of the other
        alone = self._plan.all or float(self._state["changed"]) <= SETTLED
        for group in self._changing():
            if self._plan.after == "family":
                weights = shown(posteriors[:, group])
                sums = [self._sums(k, one) for k, one in zip(group, weights.T, strict=True)]
                found = maps_of_states(sums, looks.power)
            elif float(posteriors[:, group].sum()) < FEWEST_LEFT:
                continue  # nobody left: the volume stays as it was
            else:
                self._centre(group[0])
                made = rebuilt(self._sums(group[0], posteriors[:, group[0]]), looks.power)
                found = [without_solvent(made, ball3) if alone else made]
            for species, made in zip(group, found, strict=True):
                self._keep(species, made)
            report.check_stop()
        known = self._state["resolution"][self._state["resolution"] > 0]  # 0: never had particles
        if len(known):
            report.metric("resolution", float(known.min()))

    def _sums(self, species: int, weights: Tensor) -> list[Accumulator]:
        """Back-projections of the folds for a species, of the particles of all processes."""
        looks, rows = self._looks, self._rows
        mine = distributed.share(len(rows))
        poses = Poses(
            *(
                self._state[name][rows[mine], species].to(looks.device)
                for name in ("rotations", "shifts")
            )
        )
        seen, folds = Stream(looks, rows[mine]), rows[mine] % FOLDS
        sums = fold_sums(seen, poses, weights[mine], looks.radius, folds)
        distributed.sum_([value for one in sums for value in (one.numerator, one.denominator)])
        return sums

    def _keep(self, species: int, made: Rebuilt) -> None:
        state = self._state
        state["volumes"][species] = made.volume.cpu()
        state["left_out"][species] = torch.cat([made.left_out, made.volume[None]]).cpu()
        state["resolution"][species] = fsc.resolution(made.fsc, self._looks.geometry.length)


def _portions(rows: Tensor, fold: int) -> tuple[Tensor, ...]:
    """Places ``(b,)`` in `rows` of this process's particles of a fold, in batches.

    There are as many batches as any process has: they report equally often.
    """
    places = torch.arange(len(rows))

    def of(number: int) -> Tensor:
        mine = places[distributed.share(len(rows), number)]
        return mine[rows[mine] % FOLDS == fold]

    mine = of(distributed.rank())
    if distributed.size() == 1:
        return mine.split(BATCH) if len(mine) else ()
    most = max(len(of(number)) for number in range(distributed.size()))
    return mine.tensor_split(math.ceil(most / BATCH)) if most else ()


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
