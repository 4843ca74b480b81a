"""The stage that searches the particles of one species in maps of the states that it moves through.

One map of a molecule whose parts move is blurred, and fits a particle at either end of the motion
badly. The poses still lie in one frame, so a linear model tells what varies; maps of particles that
lie near each other in it are sharper, and every particle finds a better pose in one of them. What
swings so far that one map shows it in both hands is for :mod:`swing_stage`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.train.linear_model import LinearModel
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.matching import SearchPlan
from napari_cryodeco.train.relation import centred
from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.state_chain import (
    DRAWN_OUT,
    Matches,
    Tick,
    observed,
    search_everywhere,
)
from napari_cryodeco.train.subspace import fit
from napari_cryodeco.train.swing_stage import FEWEST, SAMPLE, teller
from napari_cryodeco.train.unseen import gain_on_unseen, is_sure

COMPONENTS, STATES = 6, 8
PLAN = SearchPlan(11, 16, 0.15, keep=4)

_Unit = Literal["some", "all", "judge"]
UNITS: tuple[_Unit, ...] = ("some", "all", "judge")
_SAYING: dict[_Unit, str] = {
    "some": "particles in maps of several states",
    "all": "particles in maps of several states",
    "judge": "do several states tell more?",
}


class MotionStage:
    """Stage: poses of one species in several maps of it; a unit is a step.

    Parameters
    ----------
    looks
        The images.
    poses
        Of all particles so far, shifts in Å.
    asked
        Whether there is one species, in which something varies, and a z that can show it.
    seed
        Of the random numbers.
    """

    name = "motion"

    def __init__(self, looks: Looks, poses: Poses, asked: bool, seed: int = 0) -> None:
        self._looks, self._given, self._seed = looks, poses, seed
        count = len(looks.images)
        self._asked = asked and count >= FEWEST
        self._begun = centred(Poses(poses.rotations, poses.shifts / looks.geometry.length))
        draw = generator(seed, self.name, 0)
        self._rows = torch.randperm(count, generator=draw)[:SAMPLE].sort().values
        self._state: dict[str, Tensor] = {}

    def units(self) -> int:
        """Count the steps; one where nobody asks."""
        return len(UNITS) if self._asked else 1

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Take up the poses after the last step."""
        begun = {"rotations": self._begun.rotations.clone(), "shifts": self._begun.shifts.clone()}
        self._state = tensors or (begun if self._asked else {}) | {"better": torch.tensor(False)}

    def tensors(self) -> dict[str, Tensor]:
        """Poses (shifts in box sides), where somebody asked, and whether they are `better`."""
        return self._state

    @property
    def poses(self) -> Poses:
        """Poses of all particles, shifts in Å: those given unless others are better."""
        if not self._state["better"]:
            return self._given
        now = self._now
        return Poses(now.rotations, now.shifts * self._looks.geometry.length)

    @property
    def _now(self) -> Poses:
        return Poses(self._state["rotations"], self._state["shifts"])

    def advance(self, unit: int, report: Reporter) -> None:
        """Do one step."""
        if not self._asked:
            return
        step = UNITS[unit]
        tick = teller(report, _SAYING[step])
        if step == "judge":
            better = self._is_better(unit, report, tick)
            self._state = self._state | {"better": torch.tensor(better)}
            return
        rows = self._rows if step == "some" else torch.arange(len(self._begun))
        maps = self._states(self._rows, self._now, generator(self._seed, self.name, unit))
        found = search_everywhere(self._looks, rows, maps, PLAN, tick)
        report.metric("log_likelihood", float(found.scores.amax(1).mean()))
        self._place(rows, found)

    def _place(self, rows: Tensor, found: Matches) -> None:
        """Put particles where they were found, and the origin where shifts are least."""
        rotations, shifts = self._now.rotations.clone(), self._now.shifts.clone()
        best = found.best()
        rotations[rows], shifts[rows] = best.rotations, best.shifts
        now = centred(Poses(rotations, shifts))
        self._state = self._state | {"rotations": now.rotations, "shifts": now.shifts}

    def _states(self, some: Tensor, poses: Poses, draw: torch.Generator) -> Tensor:
        """Maps ``(STATES, p)`` of groups of the particles `some` that lie near each other."""
        model = fit(observed(self._looks, some, poses[some]), COMPONENTS, draw)
        return states_of(model, STATES, self._seed)

    def _is_better(self, unit: int, report: Reporter, tick: Tick) -> bool:
        """Ask whether such maps, of these poses, tell more of particles left out than before."""

        def made(seen: Tensor, number: int) -> tuple[Tensor, Tensor]:
            draws = [generator(self._seed, self.name, unit + number) for _ in range(2)]
            after, before = (
                self._states(seen, poses, draw)
                for poses, draw in zip((self._now, self._begun), draws, strict=True)
            )
            return after, before

        gain = gain_on_unseen(self._looks, self._rows, made, PLAN, tick)
        report.metric("gain of several states", float(gain.mean()))
        return is_sure(gain)


def states_of(model: LinearModel, count: int, seed: int) -> Tensor:
    """Maps ``(count, p)`` at the centres of so many clusters of a model's coordinates.

    Coordinates of faint images are drawn to their mean, so the centres are drawn out.
    """
    from sklearn.cluster import KMeans

    places = model.coordinates.cpu()
    means = KMeans(count, n_init=4, random_state=seed).fit(places.numpy()).cluster_centers_
    centres = torch.from_numpy(means).to(model.coordinates)
    middle = model.coordinates.mean(0)
    return model.volumes(middle + DRAWN_OUT * (centres - middle))
