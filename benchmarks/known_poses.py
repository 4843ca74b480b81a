"""Known poses: are species and motions found, how good are the maps, and what does it cost.

    python benchmarks/known_poses.py --data /path/to/data/dev
    python benchmarks/known_poses.py --data /path/to/data/dev --sets dev_mix4_d32 --start random

Training sees ``gt/particles_gt.star`` (poses); all else under ``gt/`` only scores.
``--start random`` replaces the linear start of the latents by small random numbers, all else equal.
Every figure is printed and appended to ``benchmarks/results/known_poses.json``.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.explore.landscape import cluster, pca
from napari_cryodeco.explore.scores import rand_index
from napari_cryodeco.imaging import fsc
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.model.precision import choose, gigaflops
from napari_cryodeco.runs.lock import RunLock
from napari_cryodeco.runs.progress import Progress
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_mrc, read_tensors, write_tensors
from napari_cryodeco.train.device import choose_device
from napari_cryodeco.train.pipeline import steps
from napari_cryodeco.train.reconstruct import reconstruct, run_steps

RESULTS = Path(__file__).parent / "results" / "known_poses.json"
CPU = torch.device("cpu")


def cpu_seconds() -> float:
    """User and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def forget_latents(run: Run) -> None:
    """Do the stages up to the linear start, then put small random latents in its place."""
    plan = steps(run, choose_device(run.config.device))
    with RunLock(run.paths.root) as lock, Progress(run.paths.root, None) as progress:
        run_steps(run.paths, plan[:-1], progress, lock)
    tensors, header = read_tensors(run.paths.stage("subspace"))
    noise = torch.randn(tensors["coordinates"].shape, generator=torch.Generator().manual_seed(0))
    tensors["coordinates"] = 0.1 * noise  # as in an auto-decoder; the mean map is kept
    tensors["components"] = torch.zeros_like(tensors["components"])
    tensors["precision"] = torch.full_like(noise, 1e4)
    write_tensors(run.paths.stage("subspace"), tensors, header)


def train(folder: Path, changes: dict[str, object], random: bool) -> Run:
    """Train one set in a temporary place."""
    star = folder / "gt" / "particles_gt.star"
    values = {"data": {"source": star, "datadir": folder}, "poses": "file"} | changes
    config = TrainConfig.model_validate(values)
    path = Path(tempfile.mkdtemp(prefix="known_poses_")) / folder.name
    run = Run.create(path, read_particles(star, folder), config)
    if random:
        forget_latents(run)
    reconstruct(run)
    return run


def score(run: Run, folder: Path) -> dict[str, object]:
    """Compare with the truth: labels and maps of species, or the angle of a motion."""
    truth = np.load(folder / "gt" / "ground_truth.npz")
    epoch, geometry = run.epoch(), run.geometry
    latents, labels = epoch.latents(), truth["label"].astype(int)
    ball, decoder = Ball(geometry.radius, 3), epoch.decoder()

    def quality(z: np.ndarray, species: int) -> float:
        h = decoder.decode_ball(torch.from_numpy(z)[None].float(), ball)
        true = torch.from_numpy(read_mrc(folder / "gt" / f"vol_{species:03d}.mrc")[0])
        return round(fsc.mean(ball.to_map(h, geometry.box, geometry.scale)[0], true), 4)

    if truth["latent"].size:
        axes = pca(latents).coordinates[:, :2]
        rhos = [abs(float(spearmanr(axis, truth["latent"])[0])) for axis in axes.T]
        means = [quality(latents[labels == c].mean(0), c) for c in range(labels.max() + 1)]
        return {"spearman_pc1_pc2": [round(rho, 4) for rho in rhos], "mean_fsc": means}
    species = len(truth["class_names"])
    found = cluster(latents, species, "gmm", 0)
    majority = [int(np.bincount(labels[found.labels == c]).argmax()) for c in range(species)]
    return {
        "ari": round(rand_index(labels, found.labels), 4),
        "majority": [str(truth["class_names"][c]) for c in majority],
        "mean_fsc": [quality(found.centres[c], majority[c]) for c in range(species)],
    }


def one(folder: Path, changes: dict[str, object], start: str) -> dict[str, object]:
    """Train and score one set."""
    dtype = choose("auto", CPU)
    speed = gigaflops(dtype, CPU)
    wall, cpu = time.perf_counter(), cpu_seconds()
    run = train(folder, changes, start == "random")
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    row = {
        "set": folder.name,
        "start": start,
        "settings": changes,
        **score(run, folder),
        "cpu_seconds": round(cpu),
        "wall_seconds": round(wall),
        "threads": torch.get_num_threads(),
        "dtype": str(dtype).removeprefix("torch."),
        "gflops": round(speed),
        "gflops_after": round(gigaflops(dtype, CPU)),
    }
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--sets", nargs="+", default=["dev_mix4_d32", "dev_hinge"])
    parser.add_argument("--start", choices=["subspace", "random"], default="subspace")
    parser.add_argument("--settings", default="{}", help="changes of the settings as JSON")
    chosen = parser.parse_args()
    rows = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    for name in chosen.sets:
        changes = json.loads(chosen.settings)
        if "hinge" in name:
            changes.setdefault("preset", "simple-motion")
        rows.append(one(chosen.data / name, changes, chosen.start))
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
