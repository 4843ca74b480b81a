"""``cryodeco check``: whether the working images of a run are as they were written."""

from __future__ import annotations

from pathlib import Path

from napari_cryodeco.commands.common import open_run
from napari_cryodeco.runs.mirrored import refuse_mirror
from napari_cryodeco.terminal import Bar, complain, say


def check(run: Path, /, *, repair: bool = False) -> None:
    """Read all working images of a run and compare them with their checksums.

    Parameters
    ----------
    run
        Run directory.
    repair
        Copy damaged or missing blocks again from the particle stacks.
    """
    opened = open_run(run)
    refuse_mirror(run)
    from napari_cryodeco.runs.integrity import check_images, repair_images, source_warning

    if warning := source_warning(opened):
        complain(warning)
    with Bar("check") as bar:
        if repair:
            repair_images(opened, bar.count)
        found = check_images(opened, bar.count)
    say(found)
