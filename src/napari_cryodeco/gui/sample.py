"""File → Open Sample: maps and particles of the demo's mixture, made here and now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_cryodeco.explore.palette import CATEGORIES
from napari_cryodeco.gui.readers import map_options, read_mrc_files

BOX, PIXEL_SIZE = 48, 8.0  # maps
IMAGES_EACH = 100  # particles: enough to look at; the demo makes more


def open_maps() -> list[tuple[Any, ...]]:
    """True maps of the sample's species at 16 Å, in σ units, one beside the other."""
    import torch  # seconds to import: only for who opens the sample

    from napari_cryodeco.data.projection import true_map
    from napari_cryodeco.demo import SAMPLE

    layers = []
    for number, molecule in enumerate(SAMPLE.molecules()):
        positions, electrons = map(torch.from_numpy, (molecule.positions, molecule.electrons))
        volume = true_map(positions, electrons, BOX, PIXEL_SIZE, 0.45 * PIXEL_SIZE).numpy()
        volume = (volume - volume.mean()) / volume.std()
        options = map_options(volume, PIXEL_SIZE, molecule.title)
        options["translate"] = (0.0, 0.0, number * 0.9 * BOX * PIXEL_SIZE)
        options["colormap"] = CATEGORIES[number]
        layers.append((volume.astype("float32"), options, "image"))
    return layers


def open_particles() -> list[tuple[Any, ...]]:
    """Simulate a small mixture once, into ``~/cryodeco/sample``, and show its stack.

    The folder is an ordinary particle set: choose its ``particles.star`` in Reconstruct.
    """
    folder = sample_folder()
    if not folder.exists():
        from dataclasses import replace

        from napari_cryodeco.data.simulate import simulate
        from napari_cryodeco.demo import SAMPLE

        simulate(SAMPLE.molecules(), replace(SAMPLE.recipe, count=IMAGES_EACH), folder)
    data, options, kind = read_mrc_files(str(folder / "particles.mrcs"))[0]
    options["name"] = f"sample particles ({folder / 'particles.star'})"
    return [(data, options, kind)]


def sample_folder() -> Path:
    """Where the simulated particles are kept."""
    return Path.home() / "cryodeco" / "sample"
