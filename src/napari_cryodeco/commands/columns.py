"""``cryodeco columns``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_cryodeco.atomic import refuse_existing, write_text
from napari_cryodeco.commands.common import open_run
from napari_cryodeco.terminal import complain, say

if TYPE_CHECKING:
    import numpy as np

    from napari_cryodeco.runs.run import Run


def columns(
    run: Path,
    /,
    *,
    add: Path | None = None,
    names: str | None = None,
    output: Annotated[Path | None, Parameter(name=["-o", "--output"])] = None,
    epoch: int | None = None,
    overwrite: bool = False,
) -> None:
    """List what is known of each particle: columns of its file, of the run, and your own.

    Parameters
    ----------
    run
        Run directory.
    add
        .npy or .csv file with columns to keep with the run: row i is particle i, or joined by a
        column rlnImageName or uid.
    names
        Columns to write, as defocus,tilt,rlnMicrographName; all where not given.
    output
        FILE.csv to write them into.
    epoch
        Number of an epoch; the newest where not given.
    overwrite
        Replace a file of this name.
    """
    if output is not None:
        if output.suffix.lower() != ".csv":
            raise ValueError(f"{output}: columns are written as .csv; choose such a name.")
        refuse_existing(output, overwrite)
    elif names is not None:
        raise ValueError("--names is for -o FILE.csv: say where to write them.")
    opened = open_run(run)
    if add is not None:
        _add(opened, add)
    from napari_cryodeco.explore.columns import Columns

    found = Columns(opened, epoch)
    if output is not None:
        chosen = [c.name for c in found.listed] if names is None else names.split(",")
        _write(found.read(name.strip() for name in chosen), output)
        return
    if add is None:
        for column in found.listed:
            say(f"{column.origin:<8} {column.name:<34} {column.label}")


def _add(run: Run, path: Path) -> None:
    from napari_cryodeco.explore.user_columns import bring

    found = bring(path, run)
    say(f"{run.path}: kept {', '.join(found.values)}")
    if found.gaps:
        complain(f"{path}: {found.gaps}")


def _write(values: dict[str, np.ndarray], output: Path) -> None:
    import csv
    import io

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(values)
    table.writerows(zip(*(column.tolist() for column in values.values()), strict=True))
    write_text(output, text.getvalue())
    rows = len(next(iter(values.values())))
    say(f"{output}: {len(values)} columns of {rows:,} particles")
