"""Projections and clusters of a run's latents, and their files under ``RUN/views``.

A view is one safetensors file, ``0012-pca``, ``0012-umap``, ``0012-umap16`` or ``0012-gmm-4``:
epoch, method, number of clusters; ``0012-suggestion.json`` is the curve of BIC and silhouette over
k, ``0012-neighbours10`` the ten nearest particles of each. Making the same view again replaces its
file; nothing else is touched. ``0012-gmm-6-hand2`` are those clusters after two acts by hand. Each
file of clusters knows its turn among those of the folder, which copies without their times keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_cryodeco.explore.cluster_edit import Edit
from napari_cryodeco.explore.clustering import (
    MOST_DIMENSIONS,
    ClusterCurve,
    Clustering,
    cluster,
    cluster_by_density,
    suggest,
)
from napari_cryodeco.explore.neighbours import COUNT, nearest
from napari_cryodeco.explore.projection import NO_LATENTS, Progress, Projection, pca, umap
from napari_cryodeco.runs.json_file import write_json
from napari_cryodeco.runs.store import read_header, read_tensors, write_tensors

__all__ = [
    "MOST_DIMENSIONS",
    "NO_LATENTS",
    "ClusterCurve",
    "Clustering",
    "Projection",
    "cluster",
    "cluster_by_density",
    "kept_neighbours",
    "kept_space",
    "latest_clustering",
    "load",
    "pca",
    "save",
    "save_curve",
    "suggest",
    "umap",
    "undo_edit",
]

SPACE = f"umap{MOST_DIMENSIONS}"  # the view that clusters are sought in

_KINDS: dict[str, type[Projection] | type[Clustering]] = {
    "projection": Projection,
    "clustering": Clustering,
}


def save(view: Projection | Clustering, folder: Path) -> Path:
    """Write a view into `folder` (``RUN/views``) and return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = _place(view, folder)
    _write(view, path)
    return path


def _write(view: Projection | Clustering, path: Path) -> None:
    kind = "projection" if isinstance(view, Projection) else "clustering"
    values = {field.name: getattr(view, field.name) for field in fields(view)}
    if isinstance(view, Clustering):
        values["edits"] = [edit.to_dict() for edit in view.edits]
    tensors = {
        key: torch.from_numpy(np.ascontiguousarray(value))
        for key, value in values.items()
        if isinstance(value, np.ndarray)
    }
    header: dict[str, Any] = {"kind": kind} | {
        key: value
        for key, value in values.items()
        if not isinstance(value, np.ndarray) and value is not None
    }
    if isinstance(view, Clustering):
        header["turn"] = 1 + max((turn for turn, _, _ in _turns(path.parent)), default=0)
    write_tensors(path, tensors, header)


def _place(view: Projection | Clustering, folder: Path) -> Path:
    """The file of a view; clusters changed by hand never take the place of others."""
    name = f"{view.epoch or 0:04d}-{view.method}"
    if isinstance(view, Projection):
        return folder / f"{name}.safetensors"
    if not view.edits:
        return folder / f"{name}-{len(view.centres)}.safetensors"
    stem, number = f"{name}-{view.computed}-hand", len(view.edits)
    while (path := folder / f"{stem}{number}.safetensors").exists():
        number += 1
    return path


def load(path: Path) -> Projection | Clustering:
    """Read a view written by :func:`save`.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; run `cryodeco project` or `cryodeco cluster` first."
        )
    tensors, header = read_tensors(path)
    kind = header.pop("kind", None)
    if kind not in _KINDS:
        raise ValueError(
            f"{path} holds no projection and no clustering; give a file of the run's views folder."
        )
    values: dict[str, Any] = {key: tensor.numpy() for key, tensor in tensors.items()}
    if kind == "clustering":
        header.pop("turn", None)  # of the file, not of the clusters
        header["names"] = tuple(header.get("names", ()))
        header["edits"] = tuple(Edit.from_dict(edit) for edit in header.get("edits", ()))
    return _KINDS[kind](**values, **header)


def latest_clustering(folder: Path, epoch: int | None = None) -> Clustering | None:
    """Find the clustering written last into `folder` (of one epoch, if given), or None."""
    return next((made for _, made in _clusterings(folder, epoch)), None)


def undo_edit(folder: Path, epoch: int | None = None, seen: Clustering | None = None) -> Clustering:
    """Take back what was done last to the latest clusters by hand; their file goes.

    Parameters
    ----------
    seen
        The clusters that are meant, if the latest ones might be others by now.

    Raises
    ------
    ValueError
        When nothing was done to them, what they were before was made anew meanwhile, or others are
        the latest.
    """
    found = list(_clusterings(folder, epoch))
    if seen is not None and (not found or found[0][1].fingerprint != seen.fingerprint):
        raise ValueError(
            "The clusters were changed in another window meanwhile: open the run again to see them."
        )
    if not found or not found[0][1].edits:
        raise ValueError("Nothing was done to these clusters by hand: there is nothing to undo.")
    path, made = found[0]
    for before, other in found[1:]:
        if other.fingerprint == made.before and other.epoch == made.epoch:
            _write(other, before)  # the latest again
            path.unlink()
            return other
    raise ValueError(
        f"What the clusters in {path.name} were before is no longer in {folder}: cluster again."
    )


def _clusterings(folder: Path, epoch: int | None) -> Iterator[tuple[Path, Clustering]]:
    """Clusterings of an epoch, the latest first."""
    number = "*" if epoch is None else f"{epoch:04d}"
    for _, _, path in sorted(_turns(folder, number), reverse=True):
        if isinstance(made := load(path), Clustering):
            yield path, made


def _turns(folder: Path, number: str = "*") -> Iterator[tuple[int, int, Path]]:
    """Turn, time of change (ns) and file of all clusterings; turn 0 of those without one."""
    for path in folder.glob(f"{number}-*-*.safetensors"):
        turn = 0
        with suppress(ValueError):  # what is damaged is told when it is read
            turn = int(read_header(path).get("turn", 0))
        yield turn, path.stat().st_mtime_ns, path


def kept_space(
    folder: Path,
    latents: np.ndarray,
    epoch: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> np.ndarray:
    """Where clusters of an epoch's latents ``(n, d)`` are sought; a UMAP is kept in `folder`.

    z itself up to 16 dimensions, else its 16-dimensional UMAP, made once for each seed.
    """
    if latents.shape[1] <= MOST_DIMENSIONS:
        return latents
    path = folder / f"{epoch:04d}-{SPACE}.safetensors"
    if path.is_file():
        made = load(path)
        if isinstance(made, Projection) and made.seed == seed:
            return made.coordinates
    made = umap(latents, seed, progress, epoch=epoch, dimensions=MOST_DIMENSIONS)
    save(made, folder)
    return made.coordinates


def kept_neighbours(
    folder: Path,
    latents: np.ndarray,
    epoch: int,
    count: int = COUNT,
    progress: Progress | None = None,
) -> np.ndarray:
    """Rows ``(n, count)`` of the nearest particles in an epoch's z, kept in `folder`."""
    path = folder / f"{epoch:04d}-neighbours{count}.safetensors"
    if path.is_file():
        tensors, _ = read_tensors(path)
        table: np.ndarray = tensors["rows"].numpy()
        if len(table) == len(latents):
            return table
    table = nearest(latents, count, progress)
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(path, {"rows": torch.from_numpy(table)}, {"kind": "neighbours"})
    return table


def save_curve(curve: ClusterCurve, folder: Path, epoch: int) -> Path:
    """Write BIC and silhouette over k into `folder` (``RUN/views``) and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{epoch:04d}-suggestion.json"
    write_json(path, {"epoch": epoch} | curve.record())
    return path
