"""Runs of any number of particles for `interaction.py`, made of one small finished run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.data.star_export import write_particles
from napari_cryodeco.explore.projection import pca
from napari_cryodeco.runs.checkpoint import write_epoch
from napari_cryodeco.runs.json_file import write_json
from napari_cryodeco.runs.progress import Status
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import write_tensors

JITTER = 0.25  # of the spread of z: clusters stay, no two particles share a place


def run_of(count: int, source: Run, cache: Path) -> Path:
    """A finished run of `count` particles, with all columns of a RELION file and no images.

    Its particles are those of `source`, drawn again and again, their z moved a little; it has the
    decoder of `source`. Beside it lie ``xy.npy`` ``(count, 2)``, PC1 and PC2, and ``values.npy``
    ``(2, count)``, the first two numbers of z: what the peers draw.
    """
    folder = cache / f"of_{count}"
    if (folder / "values.npy").is_file():
        return folder / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows, star = rng.integers(0, len(source.particles), count), folder / "particles.star"
    write_particles(source.particles, rows, star)
    drawn = replace(source.particles[torch.from_numpy(rows)], source=star)
    run = Run.create(folder / "run", drawn, source.config)
    write_json(run.paths.geometry, source.geometry.to_dict())
    first = source.epoch()
    latents = first.latents()[rows]
    latents += JITTER * latents.std(0) * rng.standard_normal(latents.shape, np.float32)

    def fill(part: Path) -> None:
        shutil.copy(first.field_path, part / "field.safetensors")
        write_tensors(part / "latents.safetensors", {"latents": torch.from_numpy(latents)})
        poses = first.poses()[torch.from_numpy(rows)]
        columns = {"rotations": poses.rotations, "shifts": poses.shifts}
        write_tensors(part / "poses.safetensors", columns)

    write_epoch(run.paths, 1, fill)
    write_json(run.paths.status, Status(state="done", share=1.0))
    np.save(folder / "xy.npy", np.ascontiguousarray(pca(latents).coordinates[:, :2]))
    np.save(folder / "values.npy", np.ascontiguousarray(latents[:, :2].T))
    return run.path
