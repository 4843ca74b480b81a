"""Projections of some of the particles: a UMAP or PCA of a selection, kept by what made it.

A file is named by a hash of the rows, their z, the method and the seed: what is asked for again is
there at once, and what was made of other latents is never shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from napari_cryodeco.explore.projection import Part, Progress, Projection, pca, umap
from napari_cryodeco.explore.recipe import Recipe, Step
from napari_cryodeco.runs.store import read_header, read_tensors, write_tensors

PartMethod = Literal["umap", "pca"]
MOST_COMPONENTS = 16  # of a PCA that are kept
_ARRAYS = ("coordinates", "explained", "components", "mean")


def key_of(latents: np.ndarray, rows: np.ndarray, method: str, seed: int) -> str:
    """A name for a projection of some `rows` ``(m,)`` of latents ``(n, d)``."""
    found = hashlib.sha256(f"{method} {seed} {latents.shape}".encode())
    for table in (rows.astype(np.int64), latents[rows]):
        found.update(np.ascontiguousarray(table).tobytes())
    return found.hexdigest()[:12]


def place(folder: Path, epoch: int, method: str, key: str) -> Path:
    """The file of a part in `folder` (``RUN/views``)."""
    return folder / f"{epoch:04d}-part_{method}_{key}.safetensors"


def kept_part(
    folder: Path,
    latents: np.ndarray,
    epoch: int,
    rows: np.ndarray,
    method: PartMethod = "umap",
    seed: int = 0,
    steps: Sequence[Step] = (),
    title: str = "",
    progress: Progress | None = None,
) -> Projection:
    """The projection of some particles of an epoch; made and kept in `folder` if not yet there.

    Parameters
    ----------
    latents, rows
        ``(n, d)`` of all particles, and the rows ``(m,)`` that are projected; the others get no
        coordinates (NaN).
    steps, title
        How these particles were selected, and what that is called.

    Raises
    ------
    ValueError
        For too few particles.
    """
    rows = np.unique(np.asarray(rows, np.int64))
    least = 4 if method == "umap" else 2
    if len(rows) < least:
        raise ValueError(f"{len(rows)} particles are too few for their own {method.upper()}.")
    key = key_of(latents, rows, method, seed)
    path = place(folder, epoch, method, key)
    if path.is_file():
        return _read(path, len(latents))
    if method == "umap":
        made = umap(latents[rows], seed, progress, epoch=epoch)
    else:
        made = replace(_leading(pca(latents[rows], epoch)), seed=seed)
    tensors = {
        name: torch.from_numpy(value)
        for name in _ARRAYS
        if (value := getattr(made, name)) is not None
    }
    header = {
        "kind": "part",
        "method": method,
        "seed": seed,
        "epoch": epoch,
        "title": title or f"{len(rows):,} particles",
        "key": key,
        "recipe": Recipe(tuple(steps)).to_dict(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors | {"rows": torch.from_numpy(rows)}, header)
    return _read(path, len(latents))


def kept_parts(folder: Path, latents: np.ndarray, epoch: int) -> dict[str, Projection]:
    """All parts of an epoch's latents ``(n, d)`` that are kept, by `Projection.key`, oldest first.

    Those of other latents, as of an epoch that was trained again, are left out.
    """
    files = folder.glob(f"{epoch:04d}-part_*.safetensors")
    found = {}
    for path in sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name)):
        if read_header(path).get("kind") != "part":
            continue
        made = _read(path, len(latents))
        assert made.part is not None and made.seed is not None
        rows, key = made.part.rows, made.part.key
        there = len(rows) > 0 and rows[-1] < len(latents)
        if there and key_of(latents, rows, made.method, made.seed) == key:
            found[made.key] = made
    return found


def forget(folder: Path, made: Projection) -> None:
    """Remove the file of a part."""
    if made.part is not None:
        place(folder, made.epoch or 0, made.method, made.part.key).unlink(missing_ok=True)


def _leading(made: Projection) -> Projection:
    """Without the last components of a PCA of many."""
    assert made.explained is not None and made.components is not None
    few = slice(0, MOST_COMPONENTS)
    return replace(
        made,
        coordinates=np.ascontiguousarray(made.coordinates[:, few]),
        explained=made.explained[few],
        components=np.ascontiguousarray(made.components[few]),
    )


def _read(path: Path, n: int) -> Projection:
    tensors, header = read_tensors(path)
    values = {name: tensor.numpy() for name, tensor in tensors.items()}
    rows = values.pop("rows")
    coordinates = np.full((n, values["coordinates"].shape[1]), np.nan, np.float32)
    there = rows < n
    coordinates[rows[there]] = values.pop("coordinates")[there]
    steps = Recipe.from_dict(header["recipe"]).steps
    part = Part(header["title"], rows, steps, header["key"])
    return Projection(
        header["method"],
        coordinates,
        seed=header["seed"],
        epoch=header["epoch"],
        part=part,
        **values,
    )
