"""How many numbers z should have: the estimate of a run beside a scan, and beside the truth.

    python benchmarks/latent_size.py --data DIR --cache CACHE
    python benchmarks/latent_size.py --data DIR --cache CACHE --sets dev_mix4_d32 --field
    python benchmarks/latent_size.py --report

Poses are the true ones. Images are cropped to 32 px, so that a row is a matter of seconds.
One linear model of 16 components is fitted to each set. A row is a length of z; its linear scores
are those of the first components. ``--field`` also fits a small field (width 64, 3 epochs) at
each length. Rows that are there are not made again.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, Stopwatch, Table, engine, provenance
from prior_sets import SIZES, folder
from row_scores import conformation_scores

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.ground_truth import read_truth
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.explore.clustering import cluster
from napari_cryodeco.explore.scores import nearest_scores, rand_index
from napari_cryodeco.runs.latent_size import enough
from napari_cryodeco.runs.lock import RunLock
from napari_cryodeco.runs.progress import Progress
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_tensors
from napari_cryodeco.train.linear_model import LinearModel
from napari_cryodeco.train.linear_stage import SubspaceStage
from napari_cryodeco.train.pipeline import steps
from napari_cryodeco.train.reconstruct import reconstruct, run_steps

FILE = RESULTS / "latent_size.json"
TRUTH = {
    "dev_mix4_d32": "4 species: 3",
    "dev_hinge": "1 angle, bent",
    "linker": "2 angles, bent",
    "shared_core": "8 states: 7",
}
"""Directions in which maps vary, by construction."""

LIMIT, SCAN, BOX = 16, (2, 4, 8, 16), 32
FIELD = {"width": 64, "layers": 2, "frequencies": 96}


def settings(where: Path, size: int, seed: int) -> dict[str, Any]:
    """Settings of a run with the true poses."""
    return {
        "data": {"source": where / "gt" / "particles_gt.star", "datadir": where, "box": BOX},
        "poses": "file",
        "latent_dim": size,
        "field": FIELD,
        "refine": {"epochs": 3, "warmup": 200},
        "device": "cpu",
        "seed": seed,
    }


def made(where: Path, place: Path, size: int, seed: int) -> Run:
    """A run of a set at `place`."""
    source = where / "gt" / "particles_gt.star"
    config = TrainConfig.model_validate(settings(where, size, seed))
    return Run.create(place, read_particles(source, where), config)


def fitted(where: Path, seed: int) -> SubspaceStage:
    """The linear model of a set, with all its components."""
    with tempfile.TemporaryDirectory() as place:
        run = made(where, Path(place) / "run", LIMIT, seed)
        prepare, subspace = steps(run, torch.device("cpu"))[:2]
        with RunLock(run.path) as lock, Progress(run.path, None) as progress:
            run_steps(run.paths, [prepare, subspace], progress, lock)
        stage = subspace.make({})
        assert isinstance(stage, SubspaceStage)
        stage.load(read_tensors(run.paths.stage("subspace"))[0])
        return stage


def scored(latents: np.ndarray, where: Path) -> dict[str, Any]:
    """How well z tells the classes, or the conformation."""
    truth = read_truth(where)
    if truth.latent is not None:
        return conformation_scores(latents, truth.latent)
    found = cluster(latents, len(truth.names), "gmm", 0)
    return {
        "ari": round(rand_index(truth.labels, found.labels), 4),
        "top1": round(nearest_scores(latents, truth.labels).top1, 4),
    }


def linear(model: LinearModel, size: int, where: Path) -> dict[str, Any]:
    """Scores of the first components, and what they add to the prediction of unseen pixels."""
    gain = float(model.gain[:size, 0].sum())
    return {"gain": round(gain, 2)} | scored(model.coordinates[:, :size].numpy(), where)


def field(where: Path, size: int, seed: int) -> dict[str, Any]:
    """Scores of a field's latents."""
    place = Path(tempfile.mkdtemp())
    try:
        run = made(where, place / "run", size, seed)
        reconstruct(run)
        return scored(run.epoch().latents(), where)
    finally:
        shutil.rmtree(place)


def measure(name: str, asked: argparse.Namespace, table: Table) -> None:
    """All rows of a set."""
    where = folder(name, 0, 0.1, asked.data, asked.cache, SIZES[name][2])
    watch = Stopwatch()
    stage = fitted(where, asked.seed)
    tried = stage.tried
    known = {"set": name, "seed": asked.seed, "truth": TRUTH[name]}
    estimate = enough(tried, 1)
    known |= {"confirmed": sum(one.confirmed for one in tried), "estimate": estimate}
    gains = [[round(one.gain, 2), round(one.error, 2)] for one in tried]
    reliability = [round(one.reliability, 2) for one in tried]
    cpu = watch.read()["cpu_seconds"]
    for size in sorted({*SCAN, estimate}):
        row = known | {"size": size, "linear": linear(stage.model, size, where)}
        row |= {"gains": gains, "reliability": reliability, "cpu_linear": cpu, "engine": engine()}
        before = table.find(set=name, seed=asked.seed, size=size) or {}
        row |= {key: before[key] for key in ("field", "cpu_field") if key in before}
        if asked.field and "field" not in row:
            watch = Stopwatch()
            row["field"] = field(where, size, asked.seed)
            row["cpu_field"] = watch.read()["cpu_seconds"]
        table.put(row | provenance())
        print(line(row), flush=True)


def line(row: dict[str, Any]) -> str:
    """A row as a line of the table of docs/method.md."""
    here = f"**{row['size']}**" if row["size"] == row["estimate"] else str(row["size"])
    cells = [row["set"], row["truth"], str(row["confirmed"]), here, f"{row['linear']['gain']:.1f}"]
    return "| " + " | ".join([*cells, told(row["linear"]), told(row.get("field", {}))]) + " |"


def told(scores: dict[str, Any]) -> str:
    """The scores of z in words."""
    words = {"ari": "ARI", "top1": "1-NN", "knn_r2": "R²", "spearman": "ρ"}
    said = []
    for name, word in words.items():
        value = scores.get(name)
        if value is not None:
            some = value if isinstance(value, list) else [value]
            said.append(f"{word} {' '.join(f'{one:.3f}' for one in some)}")
    return ", ".join(said) or "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the shared data folder")
    parser.add_argument("--cache", type=Path, help="where simulated sets are kept")
    parser.add_argument("--sets", nargs="+", choices=TRUTH, default=list(TRUTH))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--field", action="store_true", help="fit a small field too")
    parser.add_argument("--report", action="store_true", help="print the rows that are there")
    asked = parser.parse_args()
    table = Table(FILE, ("set", "seed", "size"))
    if asked.report:
        print("\n".join(line(row) for row in table.rows()))
        return
    for name in asked.sets:
        measure(name, asked, table)


if __name__ == "__main__":
    main()
