"""Fixtures that several layers share: a tiny particle set and a run trained on it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and numpy are imported

import numpy as np
import pytest
import torch

from napari_cryodeco.data.molecule import Molecule
from napari_cryodeco.data.simulate import Recipe, simulate

torch.set_num_threads(1)

BOX, PIXEL_SIZE, PER_SPECIES = 20, 8.0, 30


@dataclass(frozen=True)
class ParticleSet:
    """A simulated set of two species.

    `star` has CTF only, `star_with_poses` also orientations and shifts; `labels` ``(n,)``,
    `rotations` ``(n, 3, 3)`` and `shifts` ``(n, 2)`` Å are the truth of the rows; `maps` the true
    map of each species.
    """

    folder: Path
    star: Path
    star_with_poses: Path
    stack: Path
    labels: np.ndarray
    rotations: np.ndarray
    shifts: np.ndarray
    maps: tuple[Path, ...]
    box: int = BOX
    pixel_size: float = PIXEL_SIZE

    def __len__(self) -> int:
        return len(self.labels)


def make_molecule(name: str, extent: tuple[float, float, float], seed: int) -> Molecule:
    """Make an irregular cloud of 150 beads with this spread in Å along x, y, z."""
    rng = np.random.default_rng(seed)
    positions = rng.normal(size=(150, 3)) * extent
    positions[:40] += np.array(extent) * rng.uniform(0.5, 1.5, 3)  # no symmetry
    positions -= positions.mean(0)
    electrons = np.full(150, 60.0, np.float32)
    return Molecule(name, name, "made for the tests", positions.astype(np.float32), electrons)


def make_particle_set(folder: Path, count: int = PER_SPECIES, seed: int = 5) -> ParticleSet:
    """Simulate `count` images of each of two species: a rod and a disc, at a friendly SNR."""
    molecules = [make_molecule("rod", (10, 10, 26), 1), make_molecule("disc", (24, 24, 8), 2)]
    recipe = Recipe(
        box=BOX, pixel_size=PIXEL_SIZE, count=count, snr=1.0, shift=0.05, seed=seed, b_factor=0.0
    )
    star = simulate(molecules, recipe, folder)
    truth = np.load(folder / "gt" / "ground_truth.npz")
    return ParticleSet(
        folder=folder,
        star=star,
        star_with_poses=folder / "gt" / "particles_gt.star",
        stack=folder / "particles.mrcs",
        labels=truth["label"].astype(int),
        rotations=truth["rotation"],
        shifts=truth["origin_A"],
        maps=tuple(sorted((folder / "gt").glob("vol_*.mrc"))),
    )


@pytest.fixture(scope="session")
def particle_set(tmp_path_factory: pytest.TempPathFactory) -> ParticleSet:
    """60 images of 20 px at 8 Å of two species, with truth. Do not change its files."""
    return make_particle_set(tmp_path_factory.mktemp("set") / "mix2")
