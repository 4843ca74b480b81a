"""``cryodeco select`` and ``export``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cryodeco.atomic import refuse_existing
from napari_cryodeco.commands.common import Output, members_of, open_run
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
    recipe: Path | None = None,
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
    recipe
        A named selection of this or another run (RUN/selections/NAME.safetensors): the steps that
        made it are done again on the newest epoch of this one.
    float32
        Copy the images too, as 32-bit floats beside SUBSET.star: RELION 3.1 reads no 16-bit ones.
    overwrite
        Replace a file of this name.
    """
    if sum(given is not None for given in (labels, rows, recipe)) != 1:
        raise ValueError("select needs one of --labels 1,3, --rows FILE and --recipe FILE.")
    opened = open_run(run)
    from napari_cryodeco.explore import subset

    opened.check_source()
    if rows is not None:
        chosen = subset.read_rows(rows, len(opened.particles))
    elif recipe is not None:
        chosen = _replayed(opened, recipe)
    else:
        chosen = members_of(opened, labels or "")
    write = subset.write_with_images if float32 else subset.write
    written = write(chosen, opened.particles, output, overwrite=overwrite)
    say(f"{written.path}: {written.count:,} of {len(opened.particles):,} particles")
    for warning in written.warnings:
        complain(warning)


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
