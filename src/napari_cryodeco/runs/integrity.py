"""Whether the working images of a run are as they were written, and how they are put right."""

from __future__ import annotations

from napari_cryodeco.data.copy_record import (
    CopyRecord,
    check_size,
    damaged_blocks,
    read_record,
)
from napari_cryodeco.data.stack import Progress
from napari_cryodeco.data.working_copy import repair
from napari_cryodeco.runs.lock import RunLock
from napari_cryodeco.runs.run import Run


def source_warning(run: Run) -> str:
    """One sentence where a stack is not the one that was copied any more; empty: all are."""
    record = read_record(run.paths.images)
    change = "" if record is None else record.changed_source()
    if not change:
        return ""
    return (
        f"{change} since its images were copied: {run.path} goes on with the copied ones; put the "
        "old file back, or make a new run to use the new one."
    )


def check_images(run: Run, progress: Progress | None = None) -> str:
    """Compare all working images with their checksums; say in one sentence that they are whole.

    Raises
    ------
    ValueError
        If they are not: the sentence names the block and the cure.
    """
    copy = run.paths.images
    record = read_record(copy)
    if not copy.is_file() and (record is None or not record.finished):
        reached = 0 if record is None else record.reached
        raise ValueError(
            f"{copy} is not whole yet, {reached:,} of {len(run.particles):,} images are copied: "
            f"`cryodeco train {run.path}` goes on from there."
        )
    check_size(copy)
    if record is None:
        return f"{copy} has the right size; an older version made it, without checksums."
    if damaged := damaged_blocks(copy, record, progress):
        raise ValueError(
            f"{_named(run, record, damaged)}: `cryodeco check {run.path} --repair` copies the "
            "images again."
        )
    return f"{copy}: {record.count:,} images in {record.blocks:,} blocks are as they were written."


def repair_images(run: Run, progress: Progress | None = None) -> None:
    """Copy again what is damaged or missing of the working images.

    Raises
    ------
    ValueError
        If they cannot be put right, as the stacks have changed; or if the run is being trained.
    """
    with RunLock(run.path):
        damaged = repair(run.particles, run.paths.images, progress)
    record = read_record(run.paths.images)
    if damaged and record is not None:
        raise ValueError(
            f"{_named(run, record, damaged)} and {record.changed_source() or 'cannot be copied'} "
            "since: put the old file back, or make a new run."
        )


def _named(run: Run, record: CopyRecord, damaged: list[int]) -> str:
    first, end = record.bounds(damaged[0])
    block = f"{run.paths.images}: block {damaged[0] + 1} of {record.blocks}"
    more = f", and {len(damaged) - 1} more," if len(damaged) > 1 else ""
    return f"{block} (images {first + 1:,} to {end:,}){more} is damaged"
