"""The labelled sets of the proofs: recipes, a cache of what they give, and how they are read.

Seed 0 of ``dev_mix4_d64`` at SNR 0.1 is the shared development set itself; all else is simulated by
the same recipe. The sets are not committed: the recipes are.

    python benchmarks/prior_sets.py --data DIR --cache DIR     # make them all
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from state_sets import MAKERS
from torch import Tensor

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.molecule import load_beads
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.data.simulate import Recipe, simulate
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.runs.lock import RunLock
from napari_cryodeco.runs.progress import Progress
from napari_cryodeco.runs.run import Run
from napari_cryodeco.train.pipeline import steps
from napari_cryodeco.train.reconstruct import run_steps

DEV = ("5fj8", "5vox", "6vxx", "1qvr")
NAMED = {"single_1wcm": ("1wcm",), "single_5dn6": ("5dn6",), "single_3sfd": ("3sfd",)}
NAMED |= {"fresh4": ("5dn6", "6wps", "2f1d", "3erp")}  # looked at by nobody before they were scored
SIZES = {
    "dev_mix4_d64": (64, 5.0, 400),
    "holdout16": (64, 5.0, 500),
    "dev_mix4_d32": (32, 10.0, 400),
}
SIZES |= {"train": (64, 5.0, 150), "dev_hinge": (64, 5.0, 150)}
SIZES |= {"shared_core": (64, 5.0, 225), "linker": (64, 4.0, 50)}
SIZES |= {name: (64, 5.0, 500 if len(them) > 1 else 1000) for name, them in NAMED.items()}
SETS = ("dev_mix4_d64", "holdout16")


@dataclass(frozen=True)
class Mixture:
    """One labelled set, prepared as a run of its own.

    `labels` ``(n,)``, `species` their names, `images` ``(n, p)`` working coefficients on `ball`.
    """

    name: str
    seed: int
    snr: float
    run: Run
    labels: np.ndarray
    species: tuple[str, ...]

    @property
    def images(self) -> Tensor:
        """``(n, p)`` float16 working coefficients."""
        return self.run.stored_images()[:]

    @property
    def ctf(self) -> Ctf:
        """Of all particles."""
        return self.run.particles.ctf

    @property
    def geometry(self) -> Geometry:
        """Working box and pixel size."""
        return self.run.geometry

    def seen(self, radius: int, rows: slice) -> tuple[Tensor, Tensor, Ball]:
        """Coefficients and CTF ``(b, p)`` of `rows` up to `radius`, and their ball."""
        ball = Ball(min(radius, self.geometry.radius), 2)
        frequencies = ball.frequencies(self.geometry.box, self.geometry.pixel_size)
        return self.images[rows, : len(ball)].float(), self.ctf[rows].at(frequencies), ball

    def parts(self, size: int = 1024) -> list[slice]:
        """Slices that cover all images."""
        return [slice(start, start + size) for start in range(0, len(self.labels), size)]


def splits(data: Path) -> dict[str, str]:
    """Name of every structure → what the prior may do with it (``prior_split``)."""
    with (data / "structures" / "index.csv").open(encoding="utf-8") as file:
        return {row["pdb_id"]: row["prior_split"] for row in csv.DictReader(file)}


def members(name: str, data: Path) -> list[str]:
    """Structures of a set."""
    if name.startswith("dev_mix4"):
        return list(DEV)
    if name in NAMED:
        return list(NAMED[name])
    return sorted(pdb for pdb, split in splits(data).items() if split == name)


def folder(name: str, seed: int, snr: float, data: Path, cache: Path, count: int = 0) -> Path:
    """Folder of a set, simulated if it is not there; `count` images a species, 0: as the recipe."""
    box, pixel_size, usual = SIZES[name]
    count = count or usual
    if name.startswith("dev_") and (seed, snr, count) == (0, 0.1, usual):
        return data / "dev" / name
    out = cache / f"{name}_n{count}_snr{snr:g}_seed{seed}"
    if not out.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        half, structures = name != "train", data / "structures"  # half: as the shared sets are
        recipe = Recipe(box=box, pixel_size=pixel_size, count=count, snr=snr, half=half, seed=seed)
        if name in MAKERS:
            MAKERS[name](structures, recipe, out)
        else:
            beads = [load_beads(structures / f"{pdb}.npz") for pdb in members(name, data)]
            simulate(beads, recipe, out)
    return out


def prepared(path: Path, source: Path) -> Run:
    """The run at `path` with its working copy, made of the STAR file `source` if need be."""
    if not path.is_dir():
        config = TrainConfig.model_validate({"data": {"source": source}, "poses": "abinitio"})
        Run.create(path, read_particles(source), config)
    run = Run.open(path)
    if not run.paths.images.is_file():
        with RunLock(run.paths.root) as lock, Progress(run.paths.root, None) as progress:
            run_steps(run.paths, steps(run, torch.device("cpu"))[:1], progress, lock)
    return run


def mixture(name: str, seed: int, snr: float, data: Path, cache: Path, count: int = 0) -> Mixture:
    """Read a set; its working copy is made once, in the cache."""
    where = folder(name, seed, snr, data, cache, count)
    path = cache / "runs" / (where.name if where.parent == cache else f"{where.name}_shared")
    run = prepared(path, where / "particles.star")
    truth = np.load(where / "gt" / "ground_truth.npz", allow_pickle=False)
    species = tuple(str(name) for name in truth["class_names"])
    return Mixture(name, seed, snr, run, truth["label"].astype(int), species)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the shared data folder")
    parser.add_argument("--cache", type=Path, required=True, help="where sets are kept")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--snr", nargs="+", type=float, default=[0.1, 0.03])
    parser.add_argument("--count", type=int, default=0, help="images a species; 0: as the recipe")
    asked = parser.parse_args()
    for name in asked.sets:
        for snr in asked.snr:
            for seed in range(asked.seeds):
                made = mixture(name, seed, snr, asked.data, asked.cache, asked.count)
                print(f"{name} SNR {snr:g} seed {seed}: {len(made.labels)} images", flush=True)


if __name__ == "__main__":
    main()
