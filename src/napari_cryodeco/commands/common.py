"""What several commands need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_cryodeco.runs.paths import RunPaths

if TYPE_CHECKING:
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


def clusters_of(run: Run) -> Clustering:
    """The newest clustering of the newest epoch."""
    from napari_cryodeco.explore.landscape import latest_clustering

    found = latest_clustering(run.paths.views, run.epoch().number)
    if found is None:
        raise ValueError(f"{run.path} has no clusters yet: run `cryodeco cluster {run.path} -k K`.")
    return found
