"""One reconstruction in one and in several processes (torchrun): the same end, and what it costs.

    python benchmarks/processes.py --data /path/to/data/dev --processes 1 2
    python benchmarks/processes.py --data /path/to/data/dev --poses abinitio --set refine.epochs=8

On GPUs every process takes its own. Every row is printed and appended to
``benchmarks/results/processes.json``; with more than one, PASS says that all ARI agree within 0.02.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, Stopwatch, machine, provenance
from sklearn.metrics import adjusted_rand_score

from napari_cryodeco.cli import main as cryodeco
from napari_cryodeco.explore.landscape import cluster
from napari_cryodeco.runs.json_file import read_json, write_json
from napari_cryodeco.runs.progress import RunFollower
from napari_cryodeco.runs.run import Run

TARGET = 0.02


def train(run: Path, processes: int) -> None:
    """Train as users do."""
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    subprocess.run([*start, "-m", "napari_cryodeco", "train", str(run)], check=True)


def row(folder: Path, processes: int, poses: str, settings: list[str]) -> dict[str, Any]:
    """Train one set in so many processes, and compare with its truth."""
    star = folder / ("gt/particles_gt.star" if poses == "file" else "particles.star")
    run = Path(tempfile.mkdtemp(prefix="processes_")) / folder.name
    truth = np.load(folder / "gt" / "ground_truth.npz")["label"].astype(int)
    species = len(np.unique(truth))
    words = ["new", str(star), str(run), "--datadir", str(folder), "--poses", poses]
    words += ["--classes", str(species)] + [word for text in settings for word in ("--set", text)]
    if cryodeco(words):
        raise SystemExit(1)
    watch = Stopwatch()
    train(run, processes)
    cost = watch.read()
    opened = Run.open(run)
    found = cluster(opened.epoch().latents(), species, "gmm", 0).labels
    metrics = {(m.stage, m.name): m.value for m in RunFollower(run).poll().metrics}
    return {
        "set": folder.name,
        "poses": poses,
        "settings": settings,
        "processes": processes,
        "ari": round(float(adjusted_rand_score(truth, found)), 4),
        "loss": round(metrics["refine", "loss"], 5),
        **cost,
    }


def main() -> None:
    """Run the rows, write them, judge them."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--data", type=Path, required=True)
    words.add_argument("--set-name", default="dev_mix4_d32")
    words.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    words.add_argument("--poses", choices=("file", "abinitio"), default="file")
    words.add_argument("--set", action="append", default=[], dest="settings")
    asked = words.parse_args()
    rows = []
    for count in asked.processes:
        rows.append(row(asked.data / asked.set_name, count, asked.poses, asked.settings))
        print(rows[-1], flush=True)
    spread = max(one["ari"] for one in rows) - min(one["ari"] for one in rows)
    verdict = "PASS" if spread <= TARGET else "FAIL"
    print(f"{verdict}: ARI within {spread:.4f} (target {TARGET})")
    file = RESULTS / "processes.json"
    before = read_json(file) if file.is_file() else []
    record = {"rows": rows, "spread": round(spread, 4), "verdict": verdict}
    write_json(file, [*before, record | machine() | provenance()])


if __name__ == "__main__":
    main()
