"""The stage that follows one species through a motion too large for one map.

A molecule that swings far can look, bent one way, like its own mirror image bent the other way. One
map then shows both: half of the particles lie in it as they are and half in its mirror image, and
that explains them better than any map of all of them would. Two maps, begun at the two ends of what
varies, take the particles apart; those that both explain tell how the two lie to each other; and
from there a chain of states follows the motion.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.so3 import angle_between
from napari_cryodeco.train.common_frame import moved_poses
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.matching import SearchPlan
from napari_cryodeco.train.relation import centred, relate
from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.state_chain import (
    Matches,
    Tick,
    model_along,
    search_around,
    search_everywhere,
    states_along,
)
from napari_cryodeco.train.subspace import SURE
from napari_cryodeco.train.two_ends import taken_apart
from napari_cryodeco.train.unseen import gain_on_unseen, is_sure

LEAST_GAIN = 2.0  # log-likelihood of unseen images by which a component must predict better
FEWEST = 300  # particles without which there are no two maps
SAMPLE = 1500  # particles of all steps but the last two
STATES = 7
IN_ONE_FRAME = float(np.deg2rad(20))  # the motion was no obstacle to the poses
TOLD_APART = 2.0  # times as many particles must agree on one hand as on the other
REACH = 0.22  # box sides: in the frame of one body the particle's centre swings with the other
FAR = SearchPlan(10, 16, REACH, keep=4)
NEAR, CLOSE = float(np.deg2rad(8)), float(np.deg2rad(3))  # first half steps around a pose
DOUBTFUL = 30.0  # difference of log-likelihoods that takes a particle well to one end

_Unit = Literal["varies", "halves", "join", "near", "everywhere", "close", "judge"]
UNITS: tuple[_Unit, ...] = (
    *("varies", "halves", "join", "near", "everywhere", "near", "everywhere", "close", "judge"),
)
EVERYONE_FROM = 6  # the steps before it need no more than the sample
_SAYING: dict[_Unit, str] = {
    "varies": "does one map show all particles?",
    "halves": "particles in two maps",
    "join": "how the two maps lie to each other",
    "near": "particles along the motion",
    "everywhere": "particles along the motion, all poses",
    "close": "particles along the motion, small steps",
    "judge": "is the motion better than one map?",
}


class SwingStage:
    """Stage: poses of one species whose motion is too large for one map; a unit is a step.

    It ends after the first step where nothing varies or nobody asks, and leaves the poses as they
    are wherever a step finds no reason to go on.

    Parameters
    ----------
    looks
        The images.
    poses
        Of all particles after the stage joint, shifts in Å.
    asked
        Whether there is one species, and a z that can show its motion.
    seed
        Of the random numbers.
    """

    name = "swing"

    def __init__(self, looks: Looks, poses: Poses, asked: bool, seed: int = 0) -> None:
        self._looks, self._seed, self._asked = looks, seed, asked
        self._given = poses
        self._begun = Poses(poses.rotations, poses.shifts / looks.geometry.length)
        count = len(looks.images)
        draw = generator(seed, self.name, 0)
        self._rows = torch.randperm(count, generator=draw)[:SAMPLE].sort().values
        self._state: dict[str, Tensor] = {}

    def units(self) -> int:
        """Count the steps, or those that were done where the motion turned out to be none."""
        return len(UNITS) if self.follows else int(self._state["steps"])

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Take up poses and coordinates after the last step."""
        begun = {
            "rotations": self._begun.rotations.clone(),
            "shifts": self._begun.shifts.clone(),
            "varies": torch.zeros(len(self._begun)),
            "along": torch.zeros(len(self._begun)),
            "follows": torch.tensor(True),
            "steps": torch.tensor(0),
        }
        self._state = tensors or begun

    def tensors(self) -> dict[str, Tensor]:
        """Poses (box sides), where each particle lies along the motion, and whether there is one.

        Where there is none that is all. `varies`: where it lay along what varied in one map.
        Between two steps also the poses and log-likelihoods of the sample in two maps.
        """
        return self._state

    @property
    def follows(self) -> bool:
        """Whether there is a motion to follow, as far as is known."""
        return bool(self._state["follows"])

    @property
    def something_varies(self) -> bool:
        """Whether the first step, once done, found something that varies."""
        return int(self._state["steps"]) > 1

    @property
    def poses(self) -> Poses:
        """Poses of all particles, shifts in Å: those that it began with where nothing swings."""
        if not self.follows:
            return self._given
        now = self._poses
        return Poses(now.rotations, now.shifts * self._looks.geometry.length)

    @property
    def along(self) -> Tensor:
        """Where each particle ``(n,)`` lies along the motion it follows, in numbers of states."""
        return self._state["along"]

    @property
    def _poses(self) -> Poses:
        return Poses(self._state["rotations"], self._state["shifts"])

    def advance(self, unit: int, report: Reporter) -> None:
        """Do one step; where it finds nothing to follow, the poses are those of the beginning."""
        step = UNITS[unit]
        tick = teller(report, _SAYING[step])
        self._state = self._state | {"steps": torch.tensor(unit + 1)}
        everyone = unit >= EVERYONE_FROM
        rows = torch.arange(len(self._begun)) if everyone else self._rows
        if step == "varies":
            goes_on = self._varies(unit, report)
        elif step == "halves":
            goes_on = self._take_apart(tick)
        elif step == "join":
            goes_on = self._join(report)
        elif step == "judge":
            goes_on = self._is_better(unit, report, tick)
        else:
            goes_on = self._along_states(step, unit, rows, report, tick)
        if not goes_on:
            self._state = {"steps": self._state["steps"], "follows": torch.tensor(False)}

    def _varies(self, unit: int, report: Reporter) -> bool:
        """Ask whether one component predicts unseen images better than the mean map alone."""
        rows = self._rows
        if not self._asked or len(rows) < FEWEST:
            return False
        draw = generator(self._seed, self.name, unit)
        model = model_along(self._looks, rows, self._begun[rows], self.along[rows], 1, draw)
        self._state["varies"][rows] = model.coordinates[:, 0].cpu()
        gain, error = model.gain[0].tolist()
        report.metric("gain", gain)
        return gain > max(LEAST_GAIN, SURE * error)

    def _take_apart(self, tick: Tick) -> bool:
        """Sharpen two maps, begun at the two ends of what varies."""
        rows, varies = self._rows, self._state["varies"][self._rows]
        found = taken_apart(self._looks, rows, self._begun[rows], varies, tick)
        self._state |= {
            "two_rotations": found.rotations,
            "two_shifts": found.shifts,
            "two_scores": found.scores,
        }
        return True

    def _join(self, report: Reporter) -> bool:
        """Bring the poses in the second map into the frame of the first."""
        two = (self._state.pop(f"two_{name}") for name in ("rotations", "shifts", "scores"))
        found, rows = Matches(*two), self._rows
        first, second = found.of(0), found.of(1)
        over, other = relate(first, second, found.scores)
        report.metric("share that agrees on the hand", over.share)
        turned = float(angle_between(over.rotation, torch.eye(3)))
        report.metric("turn between the two maps in degrees", float(np.rad2deg(turned)))
        if over.share < TOLD_APART * other.share or (not over.mirrored and turned < IN_ONE_FRAME):
            return False
        apart = found.scores[:, 0] - found.scores[:, 1]
        moved, of_first = moved_poses(second, over), apart > 0
        self._place(
            rows,
            Poses(
                torch.where(of_first[:, None, None], first.rotations, moved.rotations),
                torch.where(of_first[:, None], first.shifts, moved.shifts),
            ),
            torch.sigmoid(apart / DOUBTFUL),
        )
        return True

    def _place(self, rows: Tensor, poses: Poses, along: Tensor) -> None:
        """Put particles where they were found."""
        now = centred(poses)
        self._state["rotations"][rows], self._state["shifts"][rows] = now.rotations, now.shifts
        self._state["along"][rows] = along

    def _along_states(
        self, step: _Unit, unit: int, rows: Tensor, report: Reporter, tick: Tick
    ) -> bool:
        """Search particles in the states of a linear model of the sample."""
        looks, poses, some = self._looks, self._poses, self._rows
        size, draw = 2 if step == "close" else 1, generator(self._seed, self.name, unit)
        maps = self._states(some, poses[some], self.along[some], size, draw)
        if step == "everywhere":
            found = search_everywhere(looks, rows, maps, FAR, tick)
        else:
            first = NEAR if step == "near" else CLOSE
            found = search_around(looks, rows, maps, poses[rows], first, tick)
        self._place(rows, found.best(), found.along())
        report.metric("log_likelihood", float(found.scores.amax(1).mean()))
        return True

    def _states(
        self, some: Tensor, poses: Poses, along: Tensor, size: int, draw: torch.Generator
    ) -> Tensor:
        """Maps along the motion ``(STATES, p)`` of particles `some` at their poses."""
        model = model_along(self._looks, some, poses, along, size, draw)
        known = model.coordinates[:, 0].cpu() if size == 1 else along
        return states_along(model, known, STATES)

    def _is_better(self, unit: int, report: Reporter, tick: Tick) -> bool:
        """Ask whether the motion tells more of particles left out than what varied before.

        What varied is a linear model, too, at the poses that the stage began with.
        """
        rows, now, begun = self._rows, self._poses, self._begun

        def made(seen: Tensor, number: int) -> tuple[Tensor, Tensor]:
            draw, varies = generator(self._seed, self.name, unit + number), self._state["varies"]
            after = self._states(seen, now[seen], self.along[seen], 2, draw)
            return after, self._states(seen, begun[seen], varies[seen], 1, draw)

        gain = gain_on_unseen(self._looks, rows, made, FAR, tick)
        report.metric("gain of the motion", float(gain.mean()))
        return is_sure(gain)


def teller(report: Reporter, saying: str) -> Tick:
    """Tell of batches to `report`, which may raise in order to stop."""

    def tick(done: int, of: int) -> None:
        report.step(done, of, saying)
        report.check_stop()

    return tick
