"""Everything of one epoch that has a name and a value per particle: what recipes refer to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_cryodeco.explore.free_energy import energy_column
from napari_cryodeco.explore.read_columns import ReadColumns
from napari_cryodeco.explore.replay import part_method

if TYPE_CHECKING:
    from napari_cryodeco.explore.clustering import Clustering
    from napari_cryodeco.explore.neighbours import Progress
    from napari_cryodeco.explore.projection import Projection
    from napari_cryodeco.explore.recipe import Step
    from napari_cryodeco.runs.run import Run


@dataclass(frozen=True, eq=False)
class EpochColumns:
    """Columns of n particles; a name of the epoch's own goes before one of the user's file.

    Parameters
    ----------
    latents
        ``(n, d)``.
    epoch, views
        Its number, and the folder where what is made of it is kept.
    projections
        By method.
    clustering
        Its clusters, if there are any.
    classes
        Class posteriors ``(n, K)`` of ab initio, if there were classes.
    table
        Other columns ``(n,)`` by name: of the user's file, of poses, of the user.
    progress
        Called as ``progress(done, of)`` while neighbours are sought.
    """

    latents: np.ndarray
    epoch: int
    views: Path
    projections: Mapping[str, Projection]
    clustering: Clustering | None = None
    classes: np.ndarray | None = None
    table: Mapping[str, np.ndarray] = field(default_factory=dict)
    progress: Progress | None = None

    @classmethod
    def of_run(cls, run: Run, number: int | None = None) -> EpochColumns:
        """Columns of an epoch of a run (the newest by default), and all that `Columns` lists."""
        from napari_cryodeco.explore import epochs, landscape  # torch

        found, views = run.epoch(number), run.paths.views
        latents = found.latents()
        return cls(
            latents,
            found.number,
            views,
            epochs.kept_projections(run, found),
            landscape.latest_clustering(views, found.number),
            found.class_posteriors(),
            ReadColumns.of_run(run, found.number),
        )

    def __len__(self) -> int:
        return len(self.latents)

    def label_names(self) -> list[str]:
        """Names of numbered groups."""
        there = {"cluster": self.clustering, "class": self.classes}
        return [name for name, found in there.items() if found is not None]

    def number_names(self) -> list[str]:
        """Names of the epoch's own numbers."""
        return list(self._numbers())

    def column(self, name: str) -> np.ndarray:
        """Numbers or texts ``(n,)``; see `replay.Columns`."""
        own = self._numbers()
        if name in own:
            return own[name]()
        if name in self.table:
            return self.table[name]
        if (energy := energy_column(name, self.column)) is not None:
            return energy
        cures = {
            "UMAP": "compute the UMAP first (View, or `cryodeco project`)",
            "cluster confidence": "press Stability (Export, Is it real?), or `cryodeco stability`",
            "cluster": "cluster first (`cryodeco cluster`)",
        }
        cure = next((c for start, c in cures.items() if name.startswith(start)), None)
        raise ValueError(
            f"The recipe refers to '{name}', which epoch {self.epoch} does not have: "
            f"{cure or 'neither the run nor its particle file has a column of this name'}."
        )

    def labels(self, name: str) -> np.ndarray:
        """Group of each particle ``(n,)`` from 0; −1: unassigned."""
        if name == "cluster" and self.clustering is not None:
            return self.clustering.labels
        if name == "class" and self.classes is not None:
            return np.asarray(self.classes.argmax(1))
        raise ValueError(
            f"The recipe refers to a {name}, but epoch {self.epoch} has none"
            + (": cluster first (`cryodeco cluster`)." if name == "cluster" else ".")
        )

    def part(self, mask: np.ndarray, step: Step) -> np.ndarray:
        """Coordinates ``(n, c)`` of some particles alone; made and kept if not yet there."""
        from napari_cryodeco.explore import parts  # torch

        found = parts.kept_part(
            self.views,
            self.latents,
            self.epoch,
            np.flatnonzero(mask),
            part_method(step),
            step.labels[0],
            step.steps,
            progress=self.progress,
        )
        return found.coordinates

    def neighbours(self, count: int) -> np.ndarray:
        """Rows ``(n, count)`` of the nearest particles in z; made and kept if not yet there."""
        from napari_cryodeco.explore import landscape  # torch

        return landscape.kept_neighbours(self.views, self.latents, self.epoch, count, self.progress)

    def _confidence(self) -> np.ndarray | None:
        """How surely each particle comes back to its cluster over seeds, once that was tried."""
        from napari_cryodeco.explore import stability  # torch

        found = None if self.clustering is None else stability.latest(self.views, self.clustering)
        return None if found is None else found.confidence

    def _numbers(self) -> dict[str, Callable[[], np.ndarray]]:
        makers: dict[str, Callable[[], np.ndarray]] = {}
        if (found := self.clustering) is not None:
            makers["cluster posterior"] = lambda: found.own
            if (steady := self._confidence()) is not None:
                makers["cluster confidence"] = lambda: steady
        if (classes := self.classes) is not None:
            makers["class posterior"] = lambda: classes.max(1)
        tables = {"PC": self.projections["pca"].coordinates}
        if "umap" in self.projections:
            tables["UMAP "] = self.projections["umap"].coordinates
        tables["z"] = self.latents
        for prefix, table in tables.items():
            for i in range(table.shape[1]):
                makers[f"{prefix}{i + 1}"] = partial(_column, table, i)
        makers["|z|"] = lambda: np.linalg.norm(self.latents, axis=1)
        return makers


def _column(table: np.ndarray, place: int) -> np.ndarray:
    column: np.ndarray = table[:, place]
    return column
