"""What the window needs of one epoch of a run, read in one go on any thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
        "umap" once it was made for this epoch.
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
    from napari_cryodeco.explore import epochs, landscape, shelf
    from napari_cryodeco.runs.run import Run

    run = Run.open(path)
    found = run.epoch(epoch)
    latents = found.latents()
    projections = {"pca": epochs.aligned_pca(run, found)}
    views = run.paths.views
    umap = views / f"{found.number:04d}-umap.safetensors"
    if umap.is_file() and isinstance(made := landscape.load(umap), landscape.Projection):
        projections["umap"] = made
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


def own_colourings(snapshot: Snapshot) -> dict[str, Callable[[], Colouring]]:
    """Makers of the colours that come with the run itself, by name; called when one is chosen."""
    makers: dict[str, Callable[[], Colouring]] = {"density": Density}
    if (found := snapshot.clustering) is not None:
        sure = found.posteriors.max(1)
        makers["cluster"] = lambda: by_label("cluster", found.labels)
        makers["cluster posterior"] = lambda: by_value("cluster posterior", sure)
    if (classes := snapshot.classes) is not None:
        makers["class"] = lambda: by_label("class", classes.argmax(1))
        makers["class posterior"] = lambda: by_value("class posterior", classes.max(1))
    tables = {"PC": snapshot.projections["pca"].coordinates, "z": snapshot.latents}
    for prefix, table in tables.items():
        for i, column in enumerate(table.T):
            name = f"{prefix}{i + 1}"
            makers[name] = partial(by_value, name, column)
    makers["|z|"] = lambda: by_value("|z|", np.linalg.norm(snapshot.latents, axis=1))
    return makers
