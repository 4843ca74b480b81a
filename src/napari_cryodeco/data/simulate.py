"""Simulated particle sets of bead models, with their truth, for tests, tutorials and benchmarks.

A set is a folder: `particles.mrcs`, `particles.star` (RELION 3.1, CTF only), `info.json`, and in
`gt/` the truth: `particles_gt.star` (with poses), `ground_truth.npz`, and `vol_NNN.mrc`, the map of
each class in the units of the images.

Protein is white. The noise is white with standard deviation 1 in every image, so its level cannot
give a class away. SNR is var(signal after CTF) / var(noise) over all pixels of the box, per species
unless they are states of one molecule (the definition of CryoBench, at the box that is written).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import mrcfile
import numpy as np
import torch

from napari_cryodeco.atomic import replacing_folder
from napari_cryodeco.data.ground_truth import Recipe, Truth, write_star, write_truth
from napari_cryodeco.data.molecule import Molecule
from napari_cryodeco.data.projection import project, to_images, true_map
from napari_cryodeco.imaging.ctf import Ctf

__all__ = ["Recipe", "Truth", "clean_images", "draw_truth", "simulate"]

_BATCH_BEADS = 600_000  # beads spread at a time: bounds the memory of a batch


def draw_truth(species: int, recipe: Recipe, rng: np.random.Generator) -> Truth:
    """Draw labels, poses and CTFs of all particles, shuffled."""
    n = species * recipe.count
    mean = rng.uniform(*recipe.defocus, n)
    half = np.abs(rng.normal(0, recipe.astigmatism, n)) / 2
    angle = rng.uniform(0, np.pi, n)
    constant = {
        "voltage": recipe.voltage,
        "cs": recipe.cs,
        "amplitude": recipe.amplitude,
        "phase": 0.0,
    }
    ctf = Ctf(
        defocus_u=torch.from_numpy(mean + half),
        defocus_v=torch.from_numpy(mean - half),
        angle=torch.from_numpy(angle),
        **{name: torch.full((n,), value) for name, value in constant.items()},
    )
    tilt = np.rad2deg(np.arccos(rng.uniform(-1, 1, n)))
    eulers = np.stack([rng.uniform(-180, 180, n), tilt, rng.uniform(-180, 180, n)], 1)
    reach = recipe.shift * recipe.box
    displacements = rng.uniform(-reach, reach, (n, 2))
    labels = rng.permutation(np.repeat(np.arange(species), recipe.count))
    return Truth(labels, eulers, displacements, ctf)


def clean_images(
    molecule: Molecule, truth: Truth, rows: np.ndarray, recipe: Recipe
) -> torch.Tensor:
    """Noiseless images ``(len(rows), box, box)`` with CTF and displacement, in electrons."""
    index = torch.from_numpy(rows)
    box, half = recipe.box, recipe.box // 2 + 1
    spectra = project(
        torch.from_numpy(molecule.positions),
        torch.from_numpy(molecule.electrons),
        truth.rotations()[index],
        box,
        recipe.pixel_size,
        recipe.blur,
    )
    fy, fx = torch.meshgrid(
        torch.fft.fftfreq(box), torch.fft.fftfreq(box)[:half].abs(), indexing="ij"
    )
    per_pixel = torch.stack([fx, fy], -1).reshape(-1, 2)
    transfer = truth.ctf[index].at(per_pixel / recipe.pixel_size)
    envelope = torch.exp(-recipe.b_factor / 4 * (per_pixel / recipe.pixel_size).pow(2).sum(1))
    turns = torch.from_numpy(truth.displacements[rows]).float() @ per_pixel.T
    moved = torch.polar(transfer * envelope, -2 * torch.pi * turns)
    return to_images(spectra * moved.reshape(-1, box, half), box)


def simulate(
    molecules: Sequence[Molecule],
    recipe: Recipe,
    out: Path | str,
    latent: np.ndarray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a simulated set.

    Parameters
    ----------
    molecules
        One per species, or per state of a motion.
    recipe
        How the images are made; the same recipe gives the same files.
    out
        Folder to make. It appears when it is whole.
    latent
        ``(species,)`` true coordinate of each state, kept in the truth.
    progress
        Called with (images done, images in all).

    Returns
    -------
    Path
        The set's `particles.star`.

    Raises
    ------
    FileExistsError
        `out` exists.
    """
    if not molecules:
        raise ValueError("Nothing to simulate: name at least one structure.")
    out = Path(out)
    rng = np.random.default_rng(recipe.seed)
    truth = draw_truth(len(molecules), recipe, rng)
    with replacing_folder(out) as folder:
        (folder / "gt").mkdir()
        sigma, signal = _write_stack(
            folder / "particles.mrcs", molecules, truth, recipe, rng, progress
        )
        write_star(folder / "particles.star", truth, recipe, poses=False)
        write_star(folder / "gt" / "particles_gt.star", truth, recipe, poses=True)
        for number, molecule in enumerate(molecules):
            _write_map(folder / "gt" / f"vol_{number:03d}.mrc", molecule, sigma[number], recipe)
        names = [molecule.name for molecule in molecules]
        symmetries = [molecule.symmetry for molecule in molecules]
        file = folder / "gt" / "ground_truth.npz"
        write_truth(file, truth, recipe, names, sigma, signal, latent, symmetries)
        info = {"models": names, "n": len(truth.labels), **asdict(recipe)}
        (folder / "info.json").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
    return out / "particles.star"


def _write_stack(
    path: Path,
    molecules: Sequence[Molecule],
    truth: Truth,
    recipe: Recipe,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Write the stack; return raw noise and scaled signal variance of each class."""
    n, box = len(truth.labels), recipe.box
    with mrcfile.new_mmap(
        path, (n, box, box), mrc_mode=12 if recipe.half else 2, overwrite=True
    ) as mrc:
        mrc.set_image_stack()
        mrc.voxel_size = recipe.pixel_size
        variance = np.empty(len(molecules))
        done = 0
        for number, molecule in enumerate(molecules):
            rows = np.flatnonzero(truth.labels == number)
            unit = _unit(molecule, box)
            moments = np.zeros(2)
            size = max(1, min(64, _BATCH_BEADS // len(molecule)))
            for start in range(0, len(rows), size):
                batch = rows[start : start + size]
                images = clean_images(molecule, truth, batch, recipe).numpy() / unit
                moments += images.sum(dtype=float), np.square(images).sum(dtype=float)
                mrc.data[batch] = images
                done += len(batch)
                if progress is not None:
                    progress(done, n)
            mean, square = moments / (len(rows) * box * box)
            variance[number] = (square - mean**2) * unit**2
        level = np.full_like(variance, variance.mean()) if recipe.pooled else variance
        sigma = np.sqrt(level / recipe.snr)
        scale = np.array([_unit(molecule, box) for molecule in molecules]) / sigma
        _add_noise(mrc.data, scale[truth.labels], rng)
        mrc.update_header_stats()
    return sigma, variance / sigma**2


def _unit(molecule: Molecule, box: int) -> float:
    """Mean electrons per pixel: keeps clean images well inside the range of float16."""
    return float(molecule.electrons.sum()) / box**2


def _add_noise(stack: np.ndarray, scale: np.ndarray, rng: np.random.Generator) -> None:
    for start in range(0, len(stack), 256):
        chunk = stack[start : start + 256].astype(np.float32)
        noise = rng.standard_normal(chunk.shape, dtype=np.float32)
        stack[start : start + 256] = (
            chunk * scale[start : start + 256, None, None].astype(np.float32) + noise
        )


def _write_map(path: Path, molecule: Molecule, sigma: float, recipe: Recipe) -> None:
    positions, electrons = (
        torch.from_numpy(molecule.positions),
        torch.from_numpy(molecule.electrons),
    )
    volume = true_map(positions, electrons, recipe.box, recipe.pixel_size, recipe.blur) / sigma
    with mrcfile.new(path) as mrc:
        mrc.set_data(volume.numpy())
        mrc.voxel_size = recipe.pixel_size
