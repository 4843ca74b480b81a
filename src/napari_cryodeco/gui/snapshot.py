"""What the window needs of one epoch of a run, read in one go on any thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_cryodeco.explore.epoch_columns import EpochColumns
from napari_cryodeco.gui.colouring import Colouring, Density, by_label, by_value

if TYPE_CHECKING:
    from napari_cryodeco.explore.landscape import Clustering, Projection
    from napari_cryodeco.explore.selection import Selection
    from napari_cryodeco.runs.run import Run

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What the window needs of one epoch of a run.

    Parameters
    ----------
    run
        The opened run.
    epoch
        Its number.
    latents
        ``(n, d)`` float32, row i is particle i.
    classes
        Class posteriors ``(n, K)`` of the ab-initio stage, if there were classes.
    projections
        Views by method: always "pca", of an earlier epoch turned onto that of the newest, and
        "umap" once it was made for this epoch; and those of selections, by their keys.
    clustering
        Clusters of these latents, once they were made for this epoch.
    named
        Selections kept with the run.
    """

    run: Run
    epoch: int
    latents: Floats
    classes: Floats | None
    projections: dict[str, Projection]
    clustering: Clustering | None = None
    named: tuple[Selection, ...] = ()


def load_snapshot(path: Path, epoch: int | None = None) -> Snapshot:
    """Read an epoch (the newest by default) of the run at `path`, with the views made of it before.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no run, or it has no finished epoch yet.
    """
    # These import torch, which takes seconds: not at the top of a gui module.
    from napari_cryodeco.explore import epochs, landscape, parts, shelf
    from napari_cryodeco.runs.run import Run

    run = Run.open(path)
    found = run.epoch(epoch)
    latents = found.latents()
    views = run.paths.views
    projections = epochs.kept_projections(run, found)
    projections |= parts.kept_parts(views, latents, found.number)
    clustering = landscape.latest_clustering(views, found.number)
    return Snapshot(
        run,
        found.number,
        latents,
        found.class_posteriors(),
        projections,
        clustering,
        shelf.load_all(run.paths.selections),
    )


def columns_of(snapshot: Snapshot, table: Mapping[str, NDArray[Any]] | None = None) -> EpochColumns:
    """Columns of the epoch, and of the user's file if given."""
    return EpochColumns(
        snapshot.latents,
        snapshot.epoch,
        snapshot.run.paths.views,
        snapshot.projections,
        snapshot.clustering,
        snapshot.classes,
        table or {},
    )


def own_colourings(snapshot: Snapshot) -> dict[str, Callable[[], Colouring]]:
    """Makers of the colours that come with the run itself, by name; called when one is chosen."""
    columns = columns_of(snapshot)
    makers: dict[str, Callable[[], Colouring]] = {"density": Density}
    for name in columns.label_names():
        makers[name] = partial(_labelled, columns, name)
    for name in columns.number_names():
        makers[name] = partial(_valued, columns, name)
    return makers


def _labelled(columns: EpochColumns, name: str) -> Colouring:
    clusters = columns.clustering if name == "cluster" else None
    return by_label(name, columns.labels(name), None if clusters is None else clusters.shown)


def _valued(columns: EpochColumns, name: str) -> Colouring:
    return by_value(name, columns.column(name))
