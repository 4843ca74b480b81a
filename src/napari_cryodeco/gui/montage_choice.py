"""Which particles the montage shows, and reading them: on any thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_cryodeco.explore.montage import ClassAverage, Pictures, Treatment
    from napari_cryodeco.gui.background import Report
    from napari_cryodeco.gui.snapshot import Snapshot

NEIGHBOURS = 200  # particles about the mouse that are averaged


@dataclass(frozen=True, eq=False)
class Asked:
    """What the montage is made of.

    Parameters
    ----------
    snapshot
        Epoch of a run.
    chosen
        Rows ``(m,)`` of the selected particles; none: all.
    about
        In place of them, those nearest in z to this particle.
    low_pass
        Å, or None.
    """

    snapshot: Snapshot
    chosen: np.ndarray
    about: int | None = None
    low_pass: float | None = None

    def rows(self) -> np.ndarray:
        """Rows of the particles: sorted, or nearest first."""
        latents = self.snapshot.latents
        if self.about is None:
            return self.chosen if len(self.chosen) else np.arange(len(latents))
        squared = ((latents - latents[self.about]) ** 2).sum(1)
        count = min(NEIGHBOURS, len(latents))
        nearest = np.argpartition(squared, count - 1)[:count]
        order: np.ndarray = nearest[np.argsort(squared[nearest], kind="stable")]
        return order


def read_pictures(
    asked: Asked, treatment: Treatment, count: int, seed: int, report: Report
) -> tuple[Pictures, int]:
    """At most `count` images, and how many there are to choose from."""
    from napari_cryodeco.explore import montage  # torch: on this thread only

    rows = asked.rows()
    some = montage.sample(rows, count, seed) if asked.about is None else rows[:count]
    report(1, 2)
    snapshot = asked.snapshot
    found = montage.pictures(snapshot.run, some, treatment, asked.low_pass, snapshot.epoch)
    return found, len(rows)


def average(asked: Asked, seed: int, report: Report) -> ClassAverage:
    """The class average of the particles."""
    from napari_cryodeco.explore import montage

    rows = asked.rows()
    report(1, 2)
    snapshot = asked.snapshot
    return montage.class_average(snapshot.run, rows, asked.low_pass, snapshot.epoch, seed=seed)
