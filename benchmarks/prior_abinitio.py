"""Ab initio from the prior's clusters: are classes and poses right before there is a field?

    python benchmarks/prior_abinitio.py --data DIR --cache DIR --prior bundled none --seeds 3
    python benchmarks/prior_abinitio.py --data DIR --cache DIR --prior FILE --only-seed 1

Stages prepare, features, abinit and joint with default settings and the true number of species
(``--classes auto``: estimated). Each (prior, seed) is a process of its own with its run kept in the
cache: a killed one goes on where it was, a finished one is not run again. With seed 0 the set is
the shared one; ``--resimulate`` makes a new set of the same recipe for each seed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import IMAGES, RESULTS, Stopwatch, Table, machine, provenance
from prior_sets import folder
from species_scores import pose_errors

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.explore.scores import rand_index
from napari_cryodeco.runs.json_file import read_json, write_json
from napari_cryodeco.runs.lock import RunLock
from napari_cryodeco.runs.progress import Progress
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_header, read_tensors
from napari_cryodeco.train.device import choose_device
from napari_cryodeco.train.pipeline import steps
from napari_cryodeco.train.reconstruct import run_steps

STAGES = ("prepare", "features", "abinit", "joint")
KEYS = ("set", "set_seed", "snr", "prior", "classes", "seed")
GOAL_ARI, GOAL_SECONDS = 0.95, 300


def open_run(path: Path, source: Path, values: dict[str, Any]) -> Run:
    """The run at `path`, made if it is not there."""
    if not path.is_dir():
        config = TrainConfig.model_validate({"data": {"source": source}} | values)
        Run.create(path, read_particles(source), config)
    return Run.open(path)


def train_until(run: Run, stage: str) -> dict[str, float]:
    """Run the stages up to `stage`; CPU-seconds of killed attempts are counted from their file.

    The wall seconds are those that the run recorded itself, stage by stage.
    """
    spent = run.path / "benchmark.json"
    before = read_json(spent)["cpu_seconds"] if spent.is_file() else 0.0
    plan = steps(run, choose_device(run.config.device))
    names = [step.name for step in plan]
    watch = Stopwatch()
    try:
        with RunLock(run.paths.root) as lock, Progress(run.paths.root, None) as progress:
            run_steps(run.paths, plan[: names.index(stage) + 1], progress, lock)
    finally:
        cpu = before + watch.read()["cpu_seconds"]
        write_json(spent, {"cpu_seconds": round(cpu, 1)})
    seconds = {
        name: round(read_header(run.paths.stage(name)).get("seconds", 0.0), 1)
        for name in names[: names.index(stage) + 1]
    }
    return {"cpu_seconds": round(cpu, 1), "seconds": round(sum(seconds.values()), 1)} | {
        f"seconds_{name}": value for name, value in seconds.items()
    }


def scores(run: Run, where: Path) -> dict[str, Any]:
    """ARI of the first clusters and of the final classes, and pose errors of each species."""
    labels = np.load(where / "gt" / "ground_truth.npz", allow_pickle=False)["label"].astype(int)
    clusters = read_tensors(run.paths.stage("features"))[0]["posteriors"].argmax(1).numpy()
    state, _ = read_tensors(run.paths.stage("joint"))
    found = state["scores"].argmax(1)
    rotations = state["rotations"][torch.arange(len(found)), found]
    return {
        "species_found": int(state["scores"].shape[1]),
        "ari_clusters": round(rand_index(labels, clusters), 4),
        "ari_classes": round(rand_index(labels, found), 4),
        "poses": pose_errors(where, rotations, labels, found.numpy()),
    }


def one(asked: argparse.Namespace, prior: str, seed: int) -> None:
    """Run and score one prior with one seed."""
    set_seed = seed if asked.resimulate else 0
    where = folder(asked.set, set_seed, asked.snr, asked.data, asked.cache)
    truth = np.load(where / "gt" / "ground_truth.npz", allow_pickle=False)
    classes = len(truth["class_names"]) if asked.classes == "true" else "auto"
    known = {"set": asked.set, "set_seed": set_seed, "snr": asked.snr, "prior": name_of(prior)}
    known |= {"classes": asked.classes, "seed": seed}
    stem = "_".join(str(value) for value in known.values())
    values = {
        "poses": "abinitio",
        "abinitio": {"classes": classes},
        "encoder": {"prior": prior},
        "seed": seed,
    }
    run = open_run(asked.cache / "abinitio" / stem, where / "particles.star", values)
    before = machine()
    cost = train_until(run, STAGES[-1])
    record = run.path / "prior.json"
    used = read_json(record) if record.is_file() else {}
    row = known | scores(run, where) | cost | {"used": used} | before | provenance()
    Table(asked.out / "prior_abinitio.json", KEYS).put(row)
    print(
        f"{asked.set} prior {known['prior']} seed {seed}: clusters ARI {row['ari_clusters']:.3f}, "
        f"classes ARI {row['ari_classes']:.3f}, {row['seconds']:.0f} s "
        f"({row['cpu_seconds']:.0f} CPU-s), poses "
        + ", ".join(f"{p['species']} {p['median_degrees']:.1f}°" for p in row["poses"]),
        flush=True,
    )


def name_of(prior: str) -> str:
    """How a prior is called in the results: a file by its stem."""
    return Path(prior).stem if prior.endswith(".safetensors") else prior


def report(table: Table, name: str) -> None:
    """What the issue asks for, prior by prior."""
    rows = [row for row in table.rows() if row["set"] == name]
    for prior in dict.fromkeys(row["prior"] for row in rows):
        group = [row for row in rows if row["prior"] == prior]
        ari = [row["ari_classes"] for row in group]
        seconds = [row["seconds"] for row in group]
        met = min(ari) >= GOAL_ARI and max(seconds) <= GOAL_SECONDS and len(group) >= 3
        print(
            f"{'PASS' if met else 'FAIL'}  {name}, prior {prior}: ARI {np.mean(ari):.3f} "
            f"(least {min(ari):.3f}, goal {GOAL_ARI}), most {max(seconds):.0f} s "
            f"(goal {GOAL_SECONDS}), {len(group)} runs"
        )


def draw(table: Table, name: str, images: Path) -> None:
    """ARI before and after, time, and pose errors of every run."""
    import prior_figures as figures

    rows = sorted(
        (row for row in table.rows() if row["set"] == name), key=lambda row: row["prior"] == "none"
    )
    priors = list(dict.fromkeys(row["prior"] for row in rows))
    page = figures.figure(11, 3.2)
    axes = page.subplots(1, 4)
    columns = [
        ("ari_clusters", "ARI of the first clusters", GOAL_ARI),
        ("ari_classes", "ARI after ab initio", GOAL_ARI),
        ("seconds", "wall seconds", GOAL_SECONDS),
    ]
    for place, (column, title, goal) in zip(axes, columns, strict=False):
        for x, prior in enumerate(priors):
            found = [row[column] for row in rows if row["prior"] == prior]
            colour = figures.GREY if prior == "none" else figures.ORANGE
            place.bar(x, np.mean(found), color=colour, width=0.6)
            place.scatter([x] * len(found), found, color="black", s=9, zorder=3)
        place.axhline(goal, color="black", linestyle=":", linewidth=0.8)
        place.set_xticks(range(len(priors)), [f"prior: {prior}" for prior in priors])
        figures.tidy(place, title)
    species = [pose["species"] for pose in rows[0]["poses"]]
    for x, prior in enumerate(priors):
        colour = figures.GREY if prior == "none" else figures.ORANGE
        for row in (row for row in rows if row["prior"] == prior):
            errors = [pose["median_degrees"] for pose in row["poses"]]
            place_x = np.arange(len(species)) + 0.25 * x
            axes[3].scatter(place_x, errors, color=colour, s=14)
    axes[3].set_xticks(np.arange(len(species)), species)
    axes[3].set_yscale("log")
    ticks = [1, 2, 5, 10, 30, 100]
    axes[3].set_yticks(ticks, [f"{tick}°" for tick in ticks])
    axes[3].minorticks_off()
    axes[3].set_ylim(1, 180)
    figures.tidy(axes[3], "median pose error")
    figures.save(page, images / "prior_abinitio.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the shared data folder")
    parser.add_argument("--cache", type=Path, required=True, help="where sets and runs are kept")
    parser.add_argument("--prior", nargs="+", default=["bundled", "none"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only-seed", type=int, help="run this seed alone, in this process")
    parser.add_argument("--set", default="dev_mix4_d64")
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--classes", choices=["true", "auto"], default="true")
    parser.add_argument("--resimulate", action="store_true", help="a new set for each seed")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder of the figure")
    parser.add_argument("--draw", action="store_true", help="draw what was measured, nothing else")
    asked = parser.parse_args()
    table = Table(asked.out / "prior_abinitio.json", KEYS)
    if asked.only_seed is not None:
        one(asked, asked.prior[0], asked.only_seed)
        return
    for seed in range(0 if asked.draw else asked.seeds):
        for prior in asked.prior:
            known = {"set": asked.set, "set_seed": seed if asked.resimulate else 0}
            known |= {"snr": asked.snr, "prior": name_of(prior), "classes": asked.classes}
            if table.find(**known, seed=seed) is None:
                options = [*sys.argv[1:], "--prior", prior, "--only-seed", str(seed)]
                subprocess.run([sys.executable, __file__, *options], check=True)
    report(table, asked.set)
    draw(table, asked.set, asked.images)


if __name__ == "__main__":
    main()
