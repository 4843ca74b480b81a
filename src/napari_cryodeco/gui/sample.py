"""File → Open Sample: maps and particles made here and now from the shipped bead models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_cryodeco.gui.readers import map_options, read_mrc_files

SPECIES = ("1wcm", "3jb9", "4jsv")
BOX, PIXEL_SIZE = 48, 8.0  # maps
IMAGES_EACH, IMAGE_BOX, IMAGE_PIXEL_SIZE, SNR = 100, 64, 6.0, 0.1  # particles
COLOURS = ("#56B4E9", "#E69F00", "#009E73")


def open_maps() -> list[tuple[Any, ...]]:
    """True maps of the sample's species at 16 Å, in σ units, one beside the other."""
    import torch  # seconds to import: only for who opens the sample

    from napari_cryodeco.data.molecule import load_beads
    from napari_cryodeco.data.projection import true_map

    layers = []
    for number, name in enumerate(SPECIES):
        molecule = load_beads(name)
        positions, electrons = map(torch.from_numpy, (molecule.positions, molecule.electrons))
        volume = true_map(positions, electrons, BOX, PIXEL_SIZE, 0.45 * PIXEL_SIZE).numpy()
        volume = (volume - volume.mean()) / volume.std()
        options = map_options(volume, PIXEL_SIZE, molecule.title)
        options["translate"] = (0.0, 0.0, number * 0.9 * BOX * PIXEL_SIZE)
        options["colormap"] = COLOURS[number]
        layers.append((volume.astype("float32"), options, "image"))
    return layers


def open_particles() -> list[tuple[Any, ...]]:
    """Simulate a small mixture once, into ``~/cryodeco/sample``, and show its stack.

    The folder is an ordinary particle set: choose its ``particles.star`` in Reconstruct.
    """
    folder = sample_folder()
    if not folder.exists():
        from napari_cryodeco.data.molecule import load_beads
        from napari_cryodeco.data.simulate import Recipe, simulate

        recipe = Recipe(box=IMAGE_BOX, pixel_size=IMAGE_PIXEL_SIZE, count=IMAGES_EACH, snr=SNR)
        simulate([load_beads(name) for name in SPECIES], recipe, folder)
    data, options, kind = read_mrc_files(str(folder / "particles.mrcs"))[0]
    options["name"] = f"sample particles ({folder / 'particles.star'})"
    return [(data, options, kind)]


def sample_folder() -> Path:
    """Where the simulated particles are kept."""
    return Path.home() / "cryodeco" / "sample"
