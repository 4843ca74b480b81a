"""What the window asks about a selection: is it real, does it come back, how does it differ.

Plain functions, most for a thread; engine modules that need torch are imported inside them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from napari_cryodeco.explore.read_columns import ReadColumns
from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.explore.replay import chosen_by
from napari_cryodeco.gui.analysis import cluster_space
from napari_cryodeco.gui.colouring import Colouring, by_value
from napari_cryodeco.gui.colours import colouring_of
from napari_cryodeco.gui.export_choice import NO_CLUSTERS
from napari_cryodeco.gui.snapshot import columns_of

if TYPE_CHECKING:
    from napari_cryodeco.explore.alarm import Finding
    from napari_cryodeco.explore.difference import Cap
    from napari_cryodeco.explore.figure import Group
    from napari_cryodeco.explore.health import HealthCard
    from napari_cryodeco.explore.stability import Stability
    from napari_cryodeco.gui.background import Report
    from napari_cryodeco.gui.session import Session
    from napari_cryodeco.gui.snapshot import Snapshot
    from napari_cryodeco.runs.run import Run

TRIALS = 5


class Sureness(StrEnum):
    """By what a particle counts as core of its cluster: names of columns, as recipes keep them."""

    POSTERIOR = "cluster posterior"
    CONFIDENCE = "cluster confidence"


def judge_group(snapshot: Snapshot, group: Group, report: Report) -> HealthCard:
    """The health card of a group of particles, with the alarm."""
    from napari_cryodeco.explore.columns import Columns
    from napari_cryodeco.explore.health import judge_selection

    if not snapshot.run.epoch(snapshot.epoch).has_poses:
        raise ValueError(
            "These latents came without orientations, so views cannot be judged: open them "
            "together with the particle file of the refinement."
        )
    columns = Columns(snapshot.run, snapshot.epoch)
    return judge_selection(columns, group.rows, group.name, report)


def colouring_by(snapshot: Snapshot, finding: Finding, report: Report) -> Colouring:
    """Colours that show a finding in the plot: its column; of views, the angle from its cap."""
    if finding.cap is not None:
        return by_value(*_angle_from(finding.cap, snapshot.run, snapshot.epoch))
    columns = ReadColumns.of_run(snapshot.run, snapshot.epoch)
    return colouring_of(columns, finding.column.name, report)


def _angle_from(cap: Cap, run: Run, epoch: int) -> tuple[str, np.ndarray]:
    views = run.epoch(epoch).poses().rotations[:, 2].double().numpy()
    angles = np.rad2deg(np.arccos(np.clip(views @ cap.direction, -1, 1)))
    x, y, z = cap.direction
    tilt, azimuth = np.rad2deg(np.arccos(np.clip(z, -1, 1))), np.rad2deg(np.arctan2(y, x))
    return f"angle from tilt {tilt:.0f}°, azimuth {azimuth:.0f}° (°)", angles


def try_clusters_again(snapshot: Snapshot, report: Report) -> Stability:
    """Make the clusters again from other seeds, and keep with the run how they came back."""
    from napari_cryodeco.explore import stability

    if snapshot.clustering is None:
        raise ValueError(NO_CLUSTERS)
    space = cluster_space(snapshot, lambda done, of: report(0, TRIALS))
    made = stability.stability(snapshot.clustering, space, TRIALS, progress=report)
    stability.save(made, snapshot.run.paths.views, snapshot.epoch)
    return made


def keep_core(session: Session, sureness: Sureness, threshold: float) -> str:
    """Keep of the selection (of all, if nothing is selected) what belongs to its cluster surely.

    One step of the history, whose recipe replays on other clusters; returns what to say.

    Raises
    ------
    ValueError
        When there are no clusters, or their stability was not tried.
    """
    snapshot, before = session.loaded(), len(session.selected)
    if snapshot.clustering is None:
        raise ValueError(NO_CLUSTERS)
    step = Step("range", axes=(str(sureness),), bounds=(threshold, np.inf))
    columns = columns_of(snapshot)
    if sureness is Sureness.CONFIDENCE and sureness not in columns.number_names():
        raise ValueError("Whether the clusters come back is not known yet: press Stability first.")
    session.select(chosen_by(step, columns), "intersect" if before else "replace", step)
    asked = before or len(snapshot.latents)
    return (
        f"{len(session.selected):,} of {asked:,} particles kept: {sureness} of {threshold:.2f} or "
        "more. Undo: Ctrl+Z over the plot."
    )
