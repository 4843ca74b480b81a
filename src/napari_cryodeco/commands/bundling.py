"""``cryodeco bundle``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from napari_cryodeco.atomic import refuse_existing
from napari_cryodeco.commands.common import Output, chosen_rows, clusters_of, open_run
from napari_cryodeco.terminal import Bar, complain, say

if TYPE_CHECKING:
    from napari_cryodeco.explore.figure import Group
    from napari_cryodeco.runs.run import Run


def bundle(
    run: Path,
    /,
    *,
    output: Output,
    each: Annotated[bool, Parameter(negative="")] = False,
    labels: str | None = None,
    rows: Path | None = None,
    selection: str | None = None,
    half_maps: Annotated[bool, Parameter(negative="")] = False,
    view: Literal["pca", "umap"] = "pca",
    level: float | None = None,
    low_pass: float | None = None,
    b_factor: float = 0.0,
    onto: Path | None = None,
    within: float = 1.0,
    datadir: Path | None = None,
    partial: Annotated[bool, Parameter(negative="")] = False,
    epoch: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Put particles, maps, figure, ChimeraX script and methods of a selection into one folder.

    Parameters
    ----------
    run
        Run directory.
    output
        Folder to make.
    each
        Every cluster as a group of its own.
    labels
        Numbers of clusters, from 1, as 1,3: together one group.
    rows
        File of row numbers from 0: .txt (one a line) or .npy.
    selection
        Name of a selection kept with the run.
    half_maps
        Also put the particles back into half-maps.
    view
        What the figure shows.
    level
        Of the surfaces in ChimeraX, in σ above the mean; one that suits the maps if not given.
    low_pass
        Resolution in Å to filter the maps to.
    b_factor
        Å²; amplitudes are multiplied by exp(−B s²/4): negative sharpens, as in RELION.
    onto
        Another .star or .cs file of the same particles, not binned, say: its rows are written.
    within
        Pixels of the micrograph by which coordinates may differ.
    datadir
        Folder of the stacks of that other file.
    partial
        Write also if that other file has not all of the particles.
    epoch
        Number of an epoch; the newest where not given.
    device
        auto, cpu, cuda:0 … or mps.
    overwrite
        Replace a folder of this name.
    """
    refuse_existing(output, overwrite)
    if level is not None and not level > 0:
        raise ValueError(f"--level {level:g}: give a number of σ above 0.")
    if onto is None and (partial or datadir is not None):
        raise ValueError("--partial and --datadir are for --onto FILE: give that too.")
    if each and (labels, rows, selection) != (None, None, None):
        raise ValueError("--each takes all clusters: leave --labels, --rows and --selection out.")
    opened = open_run(run)
    groups = _clusters(opened, epoch) if each else [_one(opened, labels, rows, selection, epoch)]
    from napari_cryodeco.explore.bundle import BundleOptions, write_bundle

    options = BundleOptions(
        half_maps=half_maps,
        view=view,
        level=level,
        low_pass=low_pass,
        b_factor=b_factor,
        onto=onto,
        datadir=datadir,
        partial=partial,
        within=within,
        device=device,
    )
    with Bar("bundle") as bar:
        made = write_bundle(opened, groups, output, options, epoch, overwrite, bar.count)
    say(f"{made.path}: {made.files} files, {len(groups)} groups")
    for warning in made.warnings:
        complain(warning)


def _one(
    run: Run, labels: str | None, rows: Path | None, selection: str | None, epoch: int | None
) -> Group:
    chosen, source = chosen_rows(run, "bundle", labels, rows, selection, epoch)
    from napari_cryodeco.explore.figure import Group
    from napari_cryodeco.explore.palette import category

    name = selection or (f"clusters {labels}" if labels else Path(source).stem)
    return Group(name, chosen, category(0))


def _clusters(run: Run, epoch: int | None) -> list[Group]:
    clusters = clusters_of(run, epoch)
    from napari_cryodeco.explore.figure import cluster_groups

    return list(cluster_groups(clusters))
