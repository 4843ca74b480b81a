"""``cryodeco select`` and ``export``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_cryodeco.atomic import refuse_existing
from napari_cryodeco.commands.common import Output, chosen_rows, clusters_of, open_run
from napari_cryodeco.terminal import Bar, complain, say

if TYPE_CHECKING:
    import numpy as np

    from napari_cryodeco.runs.run import Run


def select(
    run: Path,
    /,
    *,
    output: Output,
    labels: str | None = None,
    rows: Path | None = None,
    selection: str | None = None,
    recipe: Path | None = None,
    core: float | None = None,
    confident: float | None = None,
    onto: Path | None = None,
    within: float = 1.0,
    datadir: Path | None = None,
    poses: Annotated[bool, Parameter(negative="")] = False,
    partial: Annotated[bool, Parameter(negative="")] = False,
    float32: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a subset as rows of your own file, all columns and optics kept.

    Parameters
    ----------
    run
        Run directory.
    output
        SUBSET.star, .cs or .txt (row numbers from 0).
    labels
        Numbers of clusters, from 1, as 1,3.
    rows
        File of row numbers from 0: .txt (one a line) or .npy.
    selection
        Name of a selection kept with the run.
    recipe
        A named selection of this or another run (RUN/selections/NAME.safetensors): the steps that
        made it are done again on the newest epoch of this one.
    core
        Of these only particles whose posterior of their own cluster is at least so much, 0 to 1.
    confident
        Of these only particles whose cluster came back over seeds with at least so much, 0 to 1:
        `cryodeco stability` first.
    onto
        Another .star or .cs file of the same particles, not binned, say: its rows are written. They
        are matched by uid, then image name, then micrograph and coordinates.
    within
        Pixels of the micrograph by which coordinates may differ.
    datadir
        Folder of the stacks of that other file, where they are not near it.
    poses
        Set this run's orientations and shifts in the rows of that other file.
    partial
        Write also if that other file has not all of the particles.
    float32
        Copy the images too, as 32-bit floats beside SUBSET.star: RELION 3.1 reads no 16-bit ones.
    overwrite
        Replace a file of this name.
    """
    if onto is None and (poses or partial or datadir is not None):
        raise ValueError("--poses, --partial and --datadir are for --onto FILE: give that too.")
    if onto is not None and float32:
        raise ValueError("--float32 copies the images of the run's own file: leave out --onto.")
    choices = (labels, rows, selection, recipe)
    if sum(choice is not None for choice in choices) != 1:
        raise ValueError(
            "select needs one of --labels 1,3, --rows FILE, --selection NAME and --recipe FILE."
        )
    opened = open_run(run)
    if recipe is not None:
        chosen, source = _replayed(opened, recipe), str(recipe)
    else:
        chosen, source = chosen_rows(opened, "select", labels, rows, selection)
    chosen = _core(opened, chosen, core, confident)
    if not len(chosen):
        raise ValueError(f"{source}: no particle is left by these limits; lower them.")
    from napari_cryodeco.explore import subset

    opened.check_source()
    if onto is not None:
        from napari_cryodeco.explore.mapback import map_back, write_mapped

        mapped = map_back(opened, chosen, onto, within)
        poses_of = opened if poses else None
        written = write_mapped(mapped, output, datadir, poses_of, partial, overwrite)
        if mapped.complete:
            say(f"{mapped.sentence}.")
    else:
        write = subset.write_with_images if float32 else subset.write
        written = write(chosen, opened.particles, output, overwrite=overwrite)
    say(f"{written.path}: {written.count:,} of {len(opened.particles):,} particles")
    for warning in written.warnings:
        complain(warning)


def _core(run: Run, rows: np.ndarray, core: float | None, confident: float | None) -> np.ndarray:
    """Those of some rows that belong to their cluster surely enough."""
    if core is None and confident is None:
        return rows
    for name, value in (("--core", core), ("--confident", confident)):
        if value is not None and not 0 < value <= 1:
            raise ValueError(f"{name} {value:g}: give a probability, more than 0 and at most 1.")
    clusters = clusters_of(run)
    if core is not None:
        rows = clusters.core(rows, core)
    if confident is not None:
        from napari_cryodeco.explore.stability import latest

        found = latest(run.paths.views, clusters)
        if found is None:
            raise ValueError(
                f"{run.path}: whether its clusters come back is not known yet; run `cryodeco "
                f"stability {run.path}`."
            )
        rows = found.core(rows, confident)
    return rows


def _replayed(run: Run, recipe: Path) -> np.ndarray:
    import numpy as np

    from napari_cryodeco.explore.epoch_columns import EpochColumns
    from napari_cryodeco.explore.replay import replay
    from napari_cryodeco.explore.selection import Selection

    kept = Selection.load(recipe)
    with Bar("neighbours in z") as bar:
        columns = replace(EpochColumns.of_run(run), progress=bar.count)
        mask = replay((kept.as_step(),), columns)
    return np.flatnonzero(mask)


def export(run: Path, out: Path, /, *, overwrite: bool = False) -> None:
    """Export latents.npy, particles.star and maps/class_NNN.mrc; row i is row i of the input.

    Parameters
    ----------
    run
        Run directory.
    out
        Folder to make.
    overwrite
        Replace a folder of this name.
    """
    refuse_existing(out, overwrite)
    opened = open_run(run)
    from napari_cryodeco.explore.exporting import export_run

    opened.check_source()
    with Bar("export") as bar:
        export_run(opened, out, progress=bar.count, overwrite=overwrite)
    say(str(out))
