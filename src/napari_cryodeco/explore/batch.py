"""Several groups of particles at once: a file of each in one new folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from napari_cryodeco.atomic import refuse_existing, replacing_folder
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.explore import subset
from napari_cryodeco.explore.figure import Group
from napari_cryodeco.explore.mapback import MapBack, write_mapped
from napari_cryodeco.explore.subset import Written

Progress = Callable[[int, int], None]


def file_names(groups: Sequence[Group]) -> list[str]:
    """Names of groups that any disk takes, each once."""
    names: list[str] = []
    for group in groups:
        plain = re.sub(r"[^A-Za-z0-9]+", "_", group.name).strip("_").lower()[:40] or "group"
        taken = sum(name == plain or name.startswith(f"{plain}-") for name in names)
        names.append(f"{plain}-{taken + 1}" if taken else plain)
    return names


def write_each(
    particles: Particles,
    groups: Sequence[Group],
    out: Path | str,
    suffix: str,
    mapped: MapBack | None = None,
    partial: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    datadir: Path | None = None,
) -> Written:
    """Write each group as a file of its own into the new folder `out`, which appears when whole.

    Parameters
    ----------
    particles
        All particles of the source; row i is particle i.
    groups
        At least one; names give the files.
    suffix
        ``.star``, ``.cs`` or ``.txt``, as of :func:`subset.write`.
    mapped
        Where the particles lie in another file whose rows are written; None: rows of the source.
    partial
        Leave out what that other file has not.
    progress
        Called with (done, in all); raising in it cancels.
    datadir
        Folder of the stacks of that other file, where they are not near it.

    Returns
    -------
    Written
        The folder, the number of rows in all its files, and their warnings.

    Raises
    ------
    FileExistsError, FileNotFoundError, PermissionError, ValueError
        With one sentence that names the cure.
    """
    out = Path(out)
    refuse_existing(out, overwrite)
    if not groups:
        raise ValueError("There is no group of particles to write: choose one.")
    count = 0
    warnings: list[str] = []
    with replacing_folder(out, overwrite) as part:
        for done, (group, name) in enumerate(zip(groups, file_names(groups), strict=True), 1):
            path = part / f"{name}{suffix}"
            if mapped is None:
                written = subset.write(group.rows, particles, path)
            else:
                written = write_mapped(mapped.only(group.rows), path, datadir, partial=partial)
            count += written.count
            warnings.extend(written.warnings)
            if progress is not None:
                progress(done, len(groups))
    return Written(out, count, tuple(dict.fromkeys(warnings)))
