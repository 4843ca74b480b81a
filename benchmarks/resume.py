"""SIGKILL in every stage with default threads, then `train` again: does the result change?

    python benchmarks/resume.py --data /path/to/data --set dev/dev_mix4_d32 --classes 4
    python benchmarks/resume.py --data /path/to/data --set dev/dev_mix4_d32 --poses file

Trains twice, once unharmed and once killed in each stage in turn, and prints the ARI of both.
Killed jobs are real: `cryodeco train` in a process of its own, ended with SIGKILL in mid-stage.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.cli import main as cryodeco
from napari_cryodeco.explore.landscape import cluster
from napari_cryodeco.explore.scores import rand_index
from napari_cryodeco.model.precision import choose, gigaflops
from napari_cryodeco.runs.progress import read_status
from napari_cryodeco.runs.run import Run

RESULTS = Path(__file__).parent / "results" / "resume.json"
BRIEF = ("prepare", "features", "subspace")  # over before a step is told
ABINITIO = ("features", "abinit", "joint")


def kill_in(run: Path, stage: str) -> dict[str, object]:
    """Train in a process of its own and kill it in the second unit of a stage, or the only one."""
    job = subprocess.Popen([sys.executable, "-m", "napari_cryodeco", "train", str(run)])
    while job.poll() is None:
        now = read_status(run)
        here = now.pid == job.pid and now.stage == stage and now.unit >= min(1, now.units - 1)
        if here and (now.step or stage in BRIEF):
            os.kill(job.pid, signal.SIGKILL)
            break
        time.sleep(0.02)
    job.wait()
    now = read_status(run)
    print(f"  {stage}: {now.state} in unit {now.unit} of {now.units}, step {now.step}/{now.steps}")
    return {"stage": stage, "state": now.state, "unit": now.unit, "step": now.step}


def score(run: Path, labels: np.ndarray) -> float:
    """ARI of a Gaussian mixture on the last latents."""
    latents = Run.open(run).epoch().latents()
    return rand_index(labels, cluster(latents, labels.max() + 1).labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", default="dev/dev_mix4_d32")
    parser.add_argument("--poses", choices=["file", "abinitio"], default="abinitio")
    parser.add_argument("--classes", default="auto")
    parser.add_argument("--setting", nargs="*", default=[], help="as refine.epochs=2")
    options = parser.parse_args()

    folder = options.data / options.set
    star = folder / ("gt/particles_gt.star" if options.poses == "file" else "particles.star")
    labels = np.load(folder / "gt" / "ground_truth.npz")["label"].astype(int)
    words = ["--poses", options.poses, "--classes", options.classes]
    for setting in options.setting:
        words += ["--set", setting]
    stages = ("prepare", *(ABINITIO if options.poses == "abinitio" else ()), "subspace", "refine")
    with tempfile.TemporaryDirectory() as scratch:
        whole, killed = Path(scratch) / "whole", Path(scratch) / "killed"
        for run in (whole, killed):
            assert cryodeco(["new", str(star), str(run), *words]) == 0
        train = [sys.executable, "-m", "napari_cryodeco", "train"]
        subprocess.run([*train, str(whole)], check=True)
        places = [kill_in(killed, stage) for stage in stages]
        subprocess.run([*train, str(killed)], check=True)
        scores = score(whole, labels), score(killed, labels)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    device = torch.device("cpu")
    record = {
        "set": options.set,
        "poses": options.poses,
        "classes": options.classes,
        "settings": options.setting,
        "killed": places,
        "ari_whole": round(scores[0], 4),
        "ari_killed": round(scores[1], 4),
        "difference": round(abs(scores[0] - scores[1]), 4),
        "cpu_seconds": round(children.ru_utime + children.ru_stime, 1),
        "threads": torch.get_num_threads(),
        "gflops_fp32": round(gigaflops(torch.float32, device)),
        "gflops_chosen": round(gigaflops(choose("auto", device), device)),
    }
    print(json.dumps(record, indent=1))
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    RESULTS.write_text(json.dumps([*kept, record], indent=1) + "\n")


if __name__ == "__main__":
    main()
