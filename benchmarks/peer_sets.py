"""The files that both programs get: a set's own, a smaller one of each species, a larger box."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_cryodeco.atomic import replacing_folder
from napari_cryodeco.data.ground_truth import Recipe
from napari_cryodeco.data.molecule import bead_names, load_beads
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.data.simulate import simulate
from napari_cryodeco.explore import subset


@dataclass(frozen=True)
class Truth:
    """What is known of a set: `labels` ``(n,)``, `names` of the species, true `rotations`."""

    labels: np.ndarray
    names: list[str]
    rotations: np.ndarray

    @classmethod
    def of(cls, where: Path) -> Truth:
        """Read the truth of a set; for scoring only."""
        known = np.load(where / "gt" / "ground_truth.npz", allow_pickle=False)
        return cls(
            known["label"].astype(int), list(map(str, known["class_names"])), known["rotation"]
        )


def smaller(where: Path, each: int, cache: Path) -> Path:
    """A set of the first `each` particles of every species, with its truth, in `cache`."""
    out = cache / "sets" / f"{where.name}_{each}_each"
    if not out.is_dir():
        labels = Truth.of(where).labels
        rows = [np.flatnonzero(labels == species)[:each] for species in np.unique(labels)]
        out.parent.mkdir(parents=True, exist_ok=True)
        picked(where, np.sort(np.concatenate(rows)), out, images=True)
    return out


def picked(where: Path, rows: np.ndarray, out: Path, images: bool = False) -> None:
    """Make the set `out` of some rows of another, with their truth.

    `images`: copied too; else the files refer to the other set's, and so do the maps.
    """
    write = subset.write_with_images if images else subset.write
    with replacing_folder(out) as part:
        write(rows, read_particles(where / "particles.star"), part / "particles.star")
        (part / "gt").mkdir()
        posed = where / "gt" / "particles_gt.star"
        if posed.is_file():
            subset.write(rows, read_particles(posed, where), part / "gt" / posed.name)
        known = dict(np.load(where / "gt" / "ground_truth.npz", allow_pickle=False))
        count = len(known["label"])
        for name, column in known.items():
            if column.shape[:1] == (count,):
                known[name] = column[rows]
        np.savez(part / "gt" / "ground_truth.npz", **known)
        for volume in (where / "gt").glob("vol_*.mrc"):
            (part / "gt" / volume.name).symlink_to(volume.resolve())
        shutil.copy(where / "info.json", part)


def large_box(box: int, count: int, cache: Path) -> Path:
    """A few images of `box` px: the peer needs some before it has a decoder of that size."""
    out = cache / "sets" / f"box_{box}"
    if not out.is_dir():
        molecule = load_beads(bead_names()[0])
        recipe = Recipe(box=box, pixel_size=320 / box, count=count, snr=0.1, seed=0)
        simulate([molecule], recipe, out)
    return out
