"""Along which way a motion is mapped, and the work itself, for a thread. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_cryodeco.gui.comparing import RIGID, group_called, group_names
from napari_cryodeco.gui.decoding import open_field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_cryodeco.explore.domains import Domain
    from napari_cryodeco.explore.figure import Group
    from napari_cryodeco.explore.motion import Motion
    from napari_cryodeco.explore.render import View
    from napari_cryodeco.explore.trajectory import Trajectory
    from napari_cryodeco.gui.background import Report
    from napari_cryodeco.gui.map_filter import MapFilter
    from napari_cryodeco.gui.session import Session
    from napari_cryodeco.gui.snapshot import Snapshot

PATH, BETWEEN = "the path of the Movie panel", "from A to B"
_MOST_COMPONENTS = 8
LOW, HIGH = 5.0, 95.0  # percentiles between which a component is walked


@dataclass(frozen=True, eq=False)
class Way:
    """A component (from 1), or points ``(t, d)``, or two groups between whose means it goes."""

    frames: int
    component: int | None = None
    points: np.ndarray | None = None
    groups: tuple[Group, Group] | None = None


@dataclass(frozen=True, eq=False)
class Mapped:
    """A motion, the walk that it is along, and the frames without particles."""

    motion: Motion
    walk: Trajectory
    bare: tuple[int, ...]

    @property
    def text(self) -> str:
        """What was found, and what to beware of."""
        said = [f"{self.walk.name}, {len(self.motion.frames)} maps.", *self.motion.sentences]
        if self.bare:
            said.append(
                f"{len(self.bare)} of the maps lie where hardly any particles are: made up."
            )
        said.append("The decoded map is hidden until you clear this or choose another point.")
        return " ".join(said)


def way_names(session: Session) -> list[str]:
    """What a motion may be mapped along."""
    if session.snapshot is None or session.snapshot.run.config.rigid:
        return []
    components = min(session.loaded().latents.shape[1], _MOST_COMPONENTS)
    names = [f"PC{number + 1}" for number in range(components)]
    if session.path is not None and len(session.path) > 1:
        names.append(PATH)
    return [*names, BETWEEN] if len(group_names(session)) > 1 else names


def way_called(session: Session, name: str, frames: int, first: str, second: str) -> Way:
    """The way of a name that `way_names` gave; `first` and `second` name groups.

    Raises
    ------
    ValueError
        One sentence, when it cannot be gone.
    """
    if session.loaded().run.config.rigid:
        raise ValueError(RIGID)
    if name == PATH and session.path is not None:
        return Way(len(session.path), points=session.path)
    if name == BETWEEN:
        if first == second:
            raise ValueError("A and B are the same: choose another group.")
        return Way(frames, groups=(group_called(session, first), group_called(session, second)))
    if not name.startswith("PC"):
        raise ValueError(f"{name or 'No way'} is no longer there: choose another way.")
    return Way(frames, component=int(name.removeprefix("PC")))


def map_motion(
    snapshot: Snapshot, way: Way, map_filter: MapFilter, level: float | None, report: Report
) -> Mapped:
    """Decode the maps along a way and follow their density."""
    from napari_cryodeco.explore.motion import motion_along
    from napari_cryodeco.explore.trajectory import support

    walk = _walk(snapshot, way)
    decoder = open_field(snapshot.run, snapshot.epoch)
    motion = motion_along(
        decoder, walk.points, map_filter.low_pass, map_filter.b_factor, level, report
    )
    return Mapped(motion, walk, support(walk.points, snapshot.latents).unsupported)


def _walk(snapshot: Snapshot, way: Way) -> Trajectory:
    from napari_cryodeco.explore.trajectory import Trajectory, pc_traverse, through

    if way.points is not None:
        return Trajectory("Path", np.asarray(way.points, np.float32))
    if way.groups is not None:
        ends = np.stack([snapshot.latents[group.rows].mean(0) for group in way.groups])
        first, second = (group.name for group in way.groups)
        return through(ends, way.frames, f"{first} to {second}")
    return pc_traverse(snapshot.latents, way.component or 1, LOW, HIGH, way.frames)


def save_motion(
    mapped: Mapped,
    domains: Sequence[Domain],
    least: float,
    out: Path,
    view: View,
    report: Report,
) -> str:
    """Write the folder of `cryodeco motion`; return what to say."""
    from napari_cryodeco.explore.motion_files import write_motion

    report(0, 1)
    write_motion(mapped.motion, domains, least, out, mapped.walk.name, view)
    return f"{out}: maps (.mrc), picture and numbers written."
