"""PCA views of earlier epochs, turned onto the newest one.

Each epoch's latents have axes of their own: from one to the next they flip and turn, and a particle
jumps across the picture though its neighbours stay. An orthogonal transformation changes no
distance, so the earlier view is turned as a whole, by the one that brings its particles nearest to
where the newest epoch shows them (orthogonal Procrustes; Schönemann 1966, Psychometrika 31:1).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.explore.landscape import load
from napari_cryodeco.explore.projection import Projection, pca
from napari_cryodeco.runs.checkpoint import Epoch
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_tensors, write_tensors


@dataclass(frozen=True, eq=False)
class Frame:
    """Axes of a view: coordinates are ``(latents - mean) @ axes.T``; `axes` ``(d, d)`` orthogonal.

    `mean` ``(d,)`` is that of the latents.
    """

    mean: np.ndarray
    axes: np.ndarray

    def project(self, latents: np.ndarray, epoch: int | None = None) -> Projection:
        """Coordinates of latents ``(n, d)``, and the share of the variance along each axis."""
        coordinates = ((latents - self.mean) @ self.axes.T).astype(np.float32)
        variances = coordinates.var(0, dtype=np.float64)
        total = float(variances.sum())
        return Projection(
            method="pca",
            coordinates=coordinates,
            explained=(variances / (total if total > 0 else 1.0)).astype(np.float32),
            components=self.axes.astype(np.float32),
            mean=self.mean.astype(np.float32),
            epoch=epoch,
        )


def frame_onto(latents: np.ndarray, target: np.ndarray) -> Frame:
    """The frame that shows latents ``(n, d)`` nearest to the coordinates `target` ``(n, d)``.

    Raises
    ------
    ValueError
        If the two are not of the same particles and dimensions.
    """
    if latents.shape != target.shape:
        raise ValueError(
            f"Latents of shape {latents.shape} cannot be turned onto those of shape {target.shape}."
        )
    mean = latents.mean(0, dtype=np.float64)
    centred = latents - mean
    left, _, right = np.linalg.svd(centred.T @ (target - target.mean(0, dtype=np.float64)))
    return Frame(mean, (left @ right).T)


def aligned_pca(run: Run, epoch: Epoch) -> Projection:
    """The PCA of an epoch's latents, turned onto that of the newest.

    The newest is shown in its own principal axes. The frame of an earlier one is kept as
    ``RUN/views/NNNN-frame.safetensors`` with the SHA-256 of both epochs' latents, and made anew
    when either is another.
    """
    newest, latents = run.epoch(), epoch.latents()
    if newest.number == epoch.number:
        return pca(latents, epoch.number)
    file = run.paths.views / f"{epoch.number:04d}-frame.safetensors"
    made_of = [one.sha256("latents.safetensors") for one in (epoch, newest)]
    frame = _kept(file, made_of)
    if frame is None:
        frame = frame_onto(latents, pca(newest.latents()).coordinates)
        tensors = {"mean": torch.from_numpy(frame.mean), "axes": torch.from_numpy(frame.axes)}
        with suppress(OSError):  # a run that may only be read is looked at all the same
            write_tensors(file, tensors, {"kind": "frame", "sha256": made_of})
    return frame.project(latents, epoch.number)


def _kept(file: Path, made_of: list[str]) -> Frame | None:
    if not file.is_file():
        return None
    tensors, header = read_tensors(file)
    if header.get("sha256") != made_of:
        return None
    return Frame(tensors["mean"].numpy(), tensors["axes"].numpy())


def kept_projections(run: Run, epoch: Epoch) -> dict[str, Projection]:
    """PCA of an epoch turned onto the newest, and its UMAP if one is kept, by method."""
    found = {"pca": aligned_pca(run, epoch)}
    path = run.paths.views / f"{epoch.number:04d}-umap.safetensors"
    if path.is_file() and isinstance(made := load(path), Projection):
        found["umap"] = made
    return found
