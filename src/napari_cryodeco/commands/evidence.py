"""``cryodeco backproject``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_cryodeco.atomic import refuse_existing
from napari_cryodeco.commands.common import Output, members_of, open_run
from napari_cryodeco.terminal import Bar, complain, say

if TYPE_CHECKING:
    from napari_cryodeco.explore.evidence import Chosen
    from napari_cryodeco.runs.run import Run


def backproject(
    run: Path,
    /,
    *,
    output: Output,
    labels: str | None = None,
    rows: Path | None = None,
    near: int | None = None,
    count: int = 500,
    epoch: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Reconstruct from some particles themselves, and compare the decoded map with that.

    Writes map.mrc, two half-maps, decoded.mrc, fsc.json and rows.txt into a new folder. The
    half-maps share the poses of the run: their resolution is an upper bound. Of a run without z,
    all particles are taken where none are named.

    Parameters
    ----------
    run
        Run directory.
    output
        Folder to make.
    labels
        Numbers of clusters, from 1, as 1,3.
    rows
        File of row numbers from 0: .txt (one a line) or .npy.
    near
        Row of a particle in the input, from 0: it and its neighbours in z, the nearer the heavier.
    count
        How many neighbours.
    epoch
        Number of an epoch; the newest where not given.
    device
        auto, cpu, cuda:0 … or mps.
    overwrite
        Replace a folder of this name.
    """
    refuse_existing(output, overwrite)
    opened = open_run(run)
    choices = sum(choice is not None for choice in (labels, rows, near))
    if choices != 1 and not (opened.config.rigid and choices == 0):
        raise ValueError("backproject needs one of --labels 1,3, --rows FILE and --near ROW.")
    from napari_cryodeco.explore.evidence import judge, write_verdict

    chosen = _chosen(opened, labels, rows, near, count, epoch)
    with Bar("back-projection") as bar:
        verdict = judge(opened, chosen, epoch, device, bar.count)
    write_verdict(verdict, output, overwrite)
    for sentence in verdict.sentences:
        say(sentence)
    if verdict.warning:
        complain(f"Warning: {verdict.warning}")


def _chosen(
    run: Run,
    labels: str | None,
    rows: Path | None,
    near: int | None,
    count: int,
    epoch: int | None,
) -> Chosen:
    import numpy as np

    from napari_cryodeco.explore.evidence import Chosen, chosen_near
    from napari_cryodeco.explore.landscape import NO_LATENTS
    from napari_cryodeco.explore.subset import read_rows

    if labels is not None:
        return Chosen(members_of(run, labels, epoch), None, f"clusters {labels}")
    if rows is not None:
        return Chosen(read_rows(rows, len(run.particles)), None, str(rows))
    if near is None:
        return Chosen(np.arange(len(run.particles)), None, "all particles")
    if run.config.rigid:
        raise ValueError(NO_LATENTS)
    latents = run.epoch(epoch).latents()
    if not 0 <= near < len(latents):
        raise ValueError(f"row {near}: {run.path} has rows 0 to {len(latents) - 1}.")
    source = f"the nearest to row {near} in z"
    return chosen_near(latents, latents[near], count, source)
