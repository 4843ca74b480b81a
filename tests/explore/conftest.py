"""A made-up run of 600 particles in 20 micrographs: enough to compare a selection with the rest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.imaging.so3 import matrix_to_euler, random_rotations
from napari_cryodeco.runs.checkpoint import write_epoch
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import write_tensors
from napari_cryodeco.stage_config import DataConfig

COUNT, PER_MICROGRAPH = 600, 30
_OPTICS = """data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnAmplitudeContrast #5
_rlnImagePixelSize #6
_rlnImageSize #7
1 one 300 2.7 0.1 8.0 20

data_particles

loop_
"""
LABELS = (
    *("rlnImageName", "rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY", "rlnOpticsGroup"),
    *("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"),
    *("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"),
)


def write_star(path: Path, columns: dict[str, list]) -> Path:
    """Write a RELION 3.1 file with one optics group."""
    rows = zip(*columns.values(), strict=True)
    heads = "".join(f"_{name} #{place}\n" for place, name in enumerate(columns, 1))
    text = "\n".join(" ".join(str(value) for value in row) for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_OPTICS + heads + text + "\n")
    return path


def made_up_columns(stack: Path) -> dict[str, list]:
    """Views from everywhere, a defocus a micrograph, positions on a grid."""
    rng = np.random.default_rng(11)
    rows = np.arange(COUNT)
    rotations = random_rotations(COUNT, torch.Generator().manual_seed(11))
    angles = torch.rad2deg(matrix_to_euler(rotations)).numpy().round(4)
    defocus = np.repeat(rng.uniform(8000, 25000, COUNT // PER_MICROGRAPH), PER_MICROGRAPH)
    defocus = (defocus + rng.normal(0, 50, COUNT)).round(1)
    columns = (
        [f"{row % 60 + 1:06d}@{stack}" for row in rows],
        [f"Micrographs/mic{row // PER_MICROGRAPH}.mrc" for row in rows],
        (100 + 120.0 * (rows % 6)).tolist(),
        (90 + 150.0 * (rows % PER_MICROGRAPH // 6)).tolist(),
        [1] * COUNT,
        defocus.tolist(),
        (defocus - rng.uniform(0, 400, COUNT)).round(1).tolist(),
        rng.uniform(0, 180, COUNT).round(2).tolist(),
        *angles.T.tolist(),
        *rng.normal(0, 4, (2, COUNT)).round(3).tolist(),
    )
    return dict(zip(LABELS, columns, strict=True))


@pytest.fixture
def wide_star_writer() -> Callable[[Path, dict[str, list]], Path]:
    """Writes a STAR file of columns."""
    return write_star


@pytest.fixture(scope="session")
def wide_template(tmp_path_factory: pytest.TempPathFactory, particle_set) -> Run:
    """The run that `wide_run` copies. Do not change it."""
    folder = tmp_path_factory.mktemp("wide")
    star = write_star(folder / "particles.star", made_up_columns(particle_set.stack))
    config = TrainConfig(data=DataConfig(source=star), poses="file", latent_dim=4, device="cpu")
    run = Run.create(folder / "run", read_particles(star), config)
    latents = torch.randn(COUNT, 4, generator=torch.Generator().manual_seed(1)) * 0.3
    latents[COUNT // 2 :, 0] += 4
    poses = run.particles.poses
    assert poses is not None

    def fill(epoch: Path) -> None:
        write_tensors(epoch / "latents.safetensors", {"latents": latents})
        columns = {"rotations": poses.rotations, "shifts": poses.shifts}
        write_tensors(epoch / "poses.safetensors", columns)

    write_epoch(run.paths, 1, fill)
    return Run.open(run.path)


@pytest.fixture
def wide_run(tmp_path: Path, wide_template: Run) -> Run:
    """600 particles in 20 micrographs, two clusters of 300 in z; views from everywhere."""
    shutil.copytree(wide_template.path, tmp_path / "wide")
    return Run.open(tmp_path / "wide")
