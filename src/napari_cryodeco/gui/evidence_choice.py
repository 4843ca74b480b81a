"""Which particles are put back into a map, and the work itself, for a thread. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_cryodeco.gui.export_choice import Which, chosen_rows

if TYPE_CHECKING:
    from napari_cryodeco.explore.evidence import Verdict
    from napari_cryodeco.gui.background import Report
    from napari_cryodeco.gui.session import Session
    from napari_cryodeco.gui.snapshot import Snapshot


class Source(StrEnum):
    """The particles to put back."""

    SELECTION = Which.SELECTION
    CLUSTERS = Which.CLUSTERS
    NEIGHBOURS = "neighbours of the cursor"
    ALL = Which.ALL


@dataclass(frozen=True, eq=False)
class Asked:
    """What was asked for: particles by `rows` ``(m,)``, or the `count` nearest to `point` ``(d,)``.

    `source` says in words which they are.
    """

    source: str
    count: int
    rows: np.ndarray | None = None
    point: np.ndarray | None = None


def asked_for(session: Session, source: Source, labels: str, count: int) -> Asked:
    """What the controls mean now.

    Parameters
    ----------
    labels
        Cluster numbers from 1, separated by commas, for `Source.CLUSTERS`.
    count
        How many particles, for `Source.NEIGHBOURS`.

    Raises
    ------
    ValueError
        One sentence, when nothing is meant.
    """
    if source is Source.NEIGHBOURS:
        latents, cursor = session.loaded().latents, session.cursor
        if cursor is None:
            raise ValueError("There is no cursor yet: click into the plot of the Explorer.")
        count = min(count, len(latents))
        words = f"the nearest to particle {cursor.row + 1:,} in z"
        return Asked(words, count, point=cursor.z)
    rows = chosen_rows(session, Which(source), labels)
    words = f"clusters {labels.strip()}" if source is Source.CLUSTERS else str(source)
    return Asked(words, len(rows), rows=rows)


def judge_asked(snapshot: Snapshot, asked: Asked, report: Report) -> Verdict:
    """Put the particles back and compare; takes seconds to minutes."""
    from napari_cryodeco.explore.devices import beside_training  # torch
    from napari_cryodeco.explore.evidence import Chosen, chosen_near, judge

    if asked.point is not None:
        chosen = chosen_near(snapshot.latents, asked.point, asked.count, asked.source)
    else:
        assert asked.rows is not None
        chosen = Chosen(asked.rows, None, asked.source)
    run = snapshot.run
    if (mirrored := run.mirrored) is not None:
        raise ValueError(mirrored.no_images)
    device, _ = beside_training(run.path, run.config.device)
    return judge(run, chosen, snapshot.epoch, device, report)


def save_verdict(verdict: Verdict, folder: Path, report: Report) -> str:
    """Write the maps and curves; return what to say."""
    from napari_cryodeco.explore.evidence import write_verdict  # torch

    write_verdict(verdict, folder)
    return f"{folder}: four maps, fsc.json and rows.txt written."
