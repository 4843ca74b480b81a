"""Ab initio, end to end by default settings: ARI, pose errors and time beside the machine's speed.

    python benchmarks/abinitio.py --data DIR --set dev_mix4_d32 --classes 4 auto
    python benchmarks/abinitio.py --data SETS --set 1wcm --classes 1 --seeds 0 1 2 --stop joint

Every figure is printed and appended to ``benchmarks/results/abinitio.json``.
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
from species_scores import pose_errors

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.explore.landscape import cluster
from napari_cryodeco.explore.scores import rand_index
from napari_cryodeco.model.precision import choose, gigaflops
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_tensors
from napari_cryodeco.train.device import choose_device
from napari_cryodeco.train.pipeline import steps
from napari_cryodeco.train.reconstruct import reconstruct, run_steps

RESULTS = Path(__file__).parent / "results" / "abinitio.json"


def cpu_seconds() -> float:
    """User and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def one(folder: Path, classes: str, seed: int, stop: str | None) -> dict[str, object]:
    """Run one set and score it; the truth is read only afterwards."""
    wanted = classes if classes == "auto" else int(classes)
    config = TrainConfig.model_validate(
        {
            "data": {"source": folder / "particles.star"},
            "poses": "abinitio",
            "abinitio": {"classes": wanted},
            "seed": seed,
        }
    )
    device = choose_device("auto")
    speed = gigaflops(torch.float32, device), gigaflops(choose("auto", device), device)
    begun, cpu = time.perf_counter(), cpu_seconds()
    with tempfile.TemporaryDirectory() as scratch:
        run = Run.create(Path(scratch) / "run", read_particles(config.data.source), config)
        if stop is None:
            reconstruct(run)
        else:
            _until(run, stop, device)
        seconds, used = time.perf_counter() - begun, cpu_seconds() - cpu
        state, _ = read_tensors(run.paths.stage("joint"))
        labels = np.load(folder / "gt" / "ground_truth.npz")["label"].astype(int)
        found = state["scores"].argmax(1)
        rotations = state["rotations"][torch.arange(len(found)), found]
        result: dict[str, object] = {
            "set": folder.name,
            "classes": classes,
            "species_found": int(state["scores"].shape[1]),
            "seed": seed,
            "ari_classes": round(rand_index(labels, found), 3),
            "poses": pose_errors(folder, rotations, labels, found.numpy()),
        }
        if stop is None:
            count = int(labels.max()) + 1
            on_z = cluster(run.epoch().latents(), count).labels
            result["ari_latents"] = round(rand_index(labels, on_z), 3)
    result |= {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used, 1),
        "threads": torch.get_num_threads(),
        "gflops_fp32": round(speed[0]),
        "gflops_chosen": round(speed[1]),
    }
    return result


def _until(run: Run, stop: str, device: torch.device) -> None:
    from napari_cryodeco.runs.lock import RunLock
    from napari_cryodeco.runs.progress import Progress

    plan = steps(run, device)
    names = [step.name for step in plan]
    with RunLock(run.paths.root) as lock, Progress(run.paths.root, None) as progress:
        run_steps(run.paths, plan[: names.index(stop) + 1], progress, lock)


def main() -> None:
    """Run what is asked and add it to the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets")
    parser.add_argument("--set", nargs="+", required=True, help="folders under it")
    parser.add_argument("--classes", nargs="+", default=["auto"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--stop", help="last stage to run: joint, subspace; default: all")
    asked = parser.parse_args()
    for name in asked.set:
        for classes in asked.classes:
            for seed in asked.seeds:
                result = one(asked.data / name, classes, seed, asked.stop)
                print(json.dumps(result), flush=True)
                old = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.write_text(json.dumps([*old, result], indent=1) + "\n")


if __name__ == "__main__":
    main()
