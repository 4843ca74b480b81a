"""What several commands need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.terminal import complain, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from napari_cryodeco.explore.landscape import Clustering
    from napari_cryodeco.runs.run import Run

Output = Annotated[Path, Parameter(name=["-o", "--output"])]


def require_run(run: Path) -> None:
    """Say quickly, before torch is loaded, that this is no run."""
    if not RunPaths(run).config.is_file():
        raise FileNotFoundError(f"{run} is no run: make one with `cryodeco new STAR {run}`.")


def open_run(path: Path) -> Run:
    """Open a run."""
    require_run(path)
    from napari_cryodeco.runs.run import Run

    return Run.open(path)


def clusters_of(run: Run, epoch: int | None = None) -> Clustering:
    """The newest clustering of an epoch, the newest by default."""
    from napari_cryodeco.explore.landscape import NO_LATENTS, latest_clustering

    if run.config.rigid:
        raise ValueError(NO_LATENTS)
    found = latest_clustering(run.paths.views, run.epoch(epoch).number)
    if found is None:
        which = "" if epoch is None else f" of epoch {epoch}"
        raise ValueError(
            f"{run.path} has no clusters{which} yet: run `cryodeco cluster {run.path} -k K`."
        )
    return found


def require_clusters(run: Run, clusters: Clustering, numbers: Iterable[int]) -> None:
    """Raise ValueError if one of the numbers, from 1, is that of no cluster."""
    count = len(clusters.centres)
    for number in numbers:
        if not 1 <= number <= count:
            raise ValueError(f"cluster {number}: {run.path} has clusters 1 to {count}.")


def warn_of_unsupported(frames: Iterable[int]) -> None:
    """Say which frames of a path, from 0, lie where hardly any particles are; none: nothing."""
    if numbers := ", ".join(str(frame) for frame in frames):
        complain(f"Hardly any particles support frames {numbers}: do not interpret these.")


def members_of(run: Run, labels: str, epoch: int | None = None) -> np.ndarray:
    """Rows of the particles in the clusters named as ``1,3``; 0: the unassigned ones."""
    clusters = clusters_of(run, epoch)
    names = [name.strip() for name in labels.split(",")]
    if not all(name.isdigit() for name in names):
        raise ValueError(f"--labels {labels}: write numbers of clusters, as 1,3.")
    return clusters.members([int(name) for name in names])


def chosen_rows(
    run: Run,
    command: str,
    labels: str | None,
    rows: Path | None,
    selection: str | None,
    epoch: int | None = None,
) -> tuple[np.ndarray, str]:
    """Rows of the one choice that was made, and what it is in words."""
    if sum(choice is not None for choice in (labels, rows, selection)) != 1:
        raise ValueError(f"{command} needs one of --labels 1,3, --rows FILE and --selection NAME.")
    if labels is not None:
        return members_of(run, labels, epoch), f"clusters {labels}"
    if rows is not None:
        from napari_cryodeco.explore.subset import read_rows

        return read_rows(rows, len(run.particles)), str(rows)
    from napari_cryodeco.explore.shelf import load_all

    kept = {found.name: found for found in load_all(run.paths.selections)}
    if selection not in kept:
        there = ", ".join(kept) or "none"
        raise ValueError(f"{run.path} has no selection named {selection} (it has: {there}).")
    return kept[selection].rows, f"selection {selection}"


def say_clusters(clusters: Clustering) -> None:
    """Print who is how large."""
    total = len(clusters.labels)
    for title, count in zip(clusters.titles, clusters.counts, strict=True):
        say(f"{title}: {count:,} particles ({count / total:.1%})")
    if clusters.unassigned:
        say(f"unassigned: {clusters.unassigned:,} particles ({clusters.unassigned / total:.1%})")
