"""``cryodeco landscape``: the free energy of a view and its minima."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from napari_cryodeco.atomic import refuse_existing
from napari_cryodeco.commands.common import open_run
from napari_cryodeco.terminal import complain, say


def landscape(
    run: Path,
    /,
    *,
    output: Annotated[Path, Parameter(name=["-o", "--output", "--out"])],
    view: Literal["pca", "umap"] = "pca",
    axes: tuple[int, int] = (1, 2),
    depth: float = 1.0,
    smoothing: float = 0.5,
    epoch: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write the free energy −ln p of a view, and its minima: depth, share, nearest particle.

    Parameters
    ----------
    run
        Run directory.
    output
        New folder for landscape.json, .png and .svg.
    view
        Principal components, or UMAP (`cryodeco project` first), which keeps no densities.
    axes
        Two axes of the view, from 1.
    depth
        kT that one has to climb out of a minimum for it to count.
    smoothing
        Of the density, in units of Scott's bandwidth.
    epoch
        Number of an epoch; the newest where not given.
    overwrite
        Replace a folder of this name.
    """
    refuse_existing(output, overwrite)
    opened = open_run(run)
    import numpy as np

    from napari_cryodeco.explore.energy_files import write_landscape
    from napari_cryodeco.explore.epochs import kept_projections
    from napari_cryodeco.explore.free_energy import free_energy
    from napari_cryodeco.explore.projection import NO_LATENTS

    if opened.config.rigid:
        raise ValueError(NO_LATENTS)
    kept = kept_projections(opened, opened.epoch(epoch))
    if view not in kept:
        raise ValueError(f"{run} has no UMAP of this epoch: run `cryodeco project {run}`.")
    table = kept[view].coordinates
    for axis in axes:
        if not 1 <= axis <= max(2, table.shape[1]):
            raise ValueError(f"--axes {axis}: this view has axes 1 to {table.shape[1]}.")
    first, second = axes[0] - 1, axes[1] - 1
    x = table[:, first]
    y = table[:, second] if second < table.shape[1] else np.zeros_like(x)
    found = free_energy(x, y, depth, smoothing)
    record = write_landscape(found, kept[view], (first, second), depth, output, overwrite)
    for number, one in enumerate(found.minima, 1):
        more = "more than " if one.closed else ""
        say(
            f"minimum {number}: {one.energy:.2f} kT, {more}{one.depth:.2f} kT deep, "
            f"{one.share:.1%} of the particles, nearest row {one.row}"
        )
    say(str(output / "landscape.png"))
    for caveat in record["caveats"]:
        complain(caveat)
