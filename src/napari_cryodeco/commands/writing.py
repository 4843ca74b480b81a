"""``cryodeco select`` and ``export``."""

from __future__ import annotations

from pathlib import Path

from napari_cryodeco.atomic import refuse_existing
from napari_cryodeco.commands.common import Output, members_of, open_run
from napari_cryodeco.terminal import Bar, complain, say


def select(
    run: Path,
    /,
    *,
    output: Output,
    labels: str | None = None,
    rows: Path | None = None,
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
    float32
        Copy the images too, as 32-bit floats beside SUBSET.star: RELION 3.1 reads no 16-bit ones.
    overwrite
        Replace a file of this name.
    """
    if (labels is None) == (rows is None):
        raise ValueError("select needs one of --labels 1,3 and --rows FILE.")
    opened = open_run(run)
    from napari_cryodeco.explore import subset

    opened.check_source()
    if rows is not None:
        chosen = subset.read_rows(rows, len(opened.particles))
    else:
        chosen = members_of(opened, labels or "")
    write = subset.write_with_images if float32 else subset.write
    written = write(chosen, opened.particles, output, overwrite=overwrite)
    say(f"{written.path}: {written.count:,} of {len(opened.particles):,} particles")
    for warning in written.warnings:
        complain(warning)


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
