"""Training from the prior against training from random weights of the same encoder.

    python benchmarks/prior_curve.py --data DIR --cache DIR --prior FILE --mode abinitio
    python benchmarks/prior_curve.py --data DIR --cache DIR --prior FILE --mode poses --arms all

The published loop (``loop: parity``) with the small encoder; k-NN score and ARI of z after every
epoch (the paper's Fig. 2e), and what of the encoder is trained (its Extended Data Fig. 2): arms
``full``, ``blocks``, ``head`` and ``fixed`` start from the prior, ``random`` has the same shape and
fresh weights. Modes: ``abinitio`` searches poses, ``poses`` has the true ones, ``refine`` is the
last stage of the quick way (``loop: prior-first``) with true poses.

The search with the field itself costs 0.16 CPU-s an image even on the coarsest grid (72 rotations,
two halvings, a field 64 wide), so the set is small: see SETTINGS. Every (arm, seed) is a process of
its own; finished ones are not run again, killed ones go on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from feature_scores import score
from measuring import IMAGES, RESULTS, Stopwatch, Table, machine, provenance
from prior_abinitio import open_run
from prior_encoders import shape_of
from prior_sets import folder

from napari_cryodeco.model.prior import PriorEncoder
from napari_cryodeco.model.weights import located, read_weights, write_small
from napari_cryodeco.runs.json_file import read_json, write_json
from napari_cryodeco.runs.progress import Status
from napari_cryodeco.runs.run import Run
from napari_cryodeco.train.reconstruct import reconstruct

KEYS = ("mode", "set", "snr", "count", "box", "arm", "seed", "prior", "epochs")
ARMS = ("full", "blocks", "head", "fixed", "random")
NAMES = {
    "full": "prior, all trained",
    "blocks": "prior, last block trained",
    "head": "prior, head trained",
    "fixed": "prior, fixed",
    "random": "random start, all trained",
}
FIELD = {"width": 64, "layers": 2, "frequencies": 32}
SEARCH = {"search_level": 0, "kept": 4, "levels": 2, "search_images": 1, "warmup_images": 3200}
SETTINGS: dict[str, dict[str, Any]] = {
    "abinitio": {"loop": "parity", "poses": "abinitio", "field": FIELD, "parity": SEARCH},
    "poses": {"loop": "parity", "poses": "file", "parity": {"warmup_images": 3200}},
    "refine": {"loop": "prior-first", "poses": "file"},
}
FASTER = 3.0


def settings(asked: argparse.Namespace, arm: str, seed: int, weights: Path) -> dict[str, Any]:
    """Settings of one run; two searches over all images are the least that the loop does."""
    values = {
        name: dict(part) if isinstance(part, dict) else part
        for name, part in SETTINGS[asked.mode].items()
    }
    strategy = "full" if arm == "random" else arm
    values["encoder"] = {"kind": "cnn", "prior": str(weights), "strategy": strategy, "blocks": 1}
    values["seed"] = seed
    values["precision"] = "fp32"
    if asked.mode == "refine":
        values["refine"] = {"epochs": asked.epochs}
    else:
        values["parity"] = {**values["parity"], "epochs": asked.epochs}
    return values


def random_weights(path: Path, like: Path, seed: int) -> Path:
    """A file of fresh random weights, of the shape of the prior; the same for the same seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        write_small(path, PriorEncoder(1, **shape_of(like)), {"title": "random weights"})
    return path


class Clock:
    """Notes when each unit of the training began, over all attempts at a run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marks: dict[str, dict[str, float]] = read_json(path) if path.is_file() else {}
        last = list(self._marks.values())[-1] if self._marks else {}
        self._before = last or {"seconds": 0.0, "cpu_seconds": 0.0}
        self._watch = Stopwatch()

    def __call__(self, status: Status) -> None:
        name = f"{status.stage} {status.unit}"
        if status.stage and name not in self._marks:
            now = self._watch.read()
            self._marks[name] = {k: round(self._before[k] + now[k], 1) for k in now}
            write_json(self._path, self._marks)

    def ends(self, stage: str, epochs: int) -> list[dict[str, float]]:
        """When each epoch of a stage ended: what began next began then."""
        return [self._marks[f"{stage} {unit + 1}"] for unit in range(epochs)]


def one(asked: argparse.Namespace, arm: str, seed: int) -> None:
    """Train and score one arm with one seed."""
    where = folder(asked.set, seed, asked.snr, asked.data, asked.cache, asked.count)
    prior = located(asked.prior)
    home, digest = asked.cache / "curves", read_weights(prior).sha256[:8]
    weights = prior
    if arm == "random":
        weights = random_weights(home / f"random_{digest}_{seed}.safetensors", prior, seed)
    known = {
        "mode": asked.mode,
        "set": asked.set,
        "snr": asked.snr,
        "count": asked.count,
        "arm": arm,
    }
    values = settings(asked, arm, seed, weights)
    source = where / "particles.star"
    if values["poses"] == "file":
        source = where / "gt" / "particles_gt.star"
        values["data"] = {"source": source, "datadir": where}
    values["data"] = {"source": source, "datadir": where, "box": asked.box}
    stem = f"{asked.mode}_{where.name}_{digest}_{arm}_{seed}_{asked.epochs}"
    run = open_run(home / stem, source, values)
    clock = Clock(run.path / "clock.json")
    reconstruct(run, clock)
    row = known | {"images": len(run.particles), "seed": seed, "prior": prior.stem}
    row |= {"epochs": asked.epochs, "box": asked.box, "curve": curve(run, where, clock, seed)}
    Table(asked.out / "prior_curve.json", KEYS).put(row | machine() | provenance())
    last = row["curve"][-1]
    print(
        f"{asked.mode} {arm} seed {seed}: k-NN {last['knn']:.3f} ARI {last['ari']:.3f} "
        f"after {last['cpu_seconds']:.0f} CPU-s",
        flush=True,
    )


def curve(run: Run, where: Path, clock: Clock, seed: int) -> list[dict[str, float]]:
    """Scores of z after every epoch, and when it ended."""
    labels = np.load(where / "gt" / "ground_truth.npz", allow_pickle=False)["label"].astype(int)
    stage = "parity" if run.config.loop == "parity" else "refine"
    numbers = run.epochs()
    points = []
    for number, spent in zip(numbers, clock.ends(stage, len(numbers)), strict=True):
        found = score(torch.from_numpy(run.epoch(number).latents()), labels, seed)
        rounded = {"knn": found.knn, "nearest": found.nearest, "ari": found.ari}
        points.append({"epoch": number} | {k: round(v, 4) for k, v in rounded.items()} | spent)
    return points


def reached(points: list[dict[str, float]], what: str, goal: float) -> float | None:
    """CPU-seconds after which a curve is at `goal` for good; None: never."""
    below = [index for index, point in enumerate(points) if point[what] < goal]
    first = below[-1] + 1 if below else 0
    return points[first]["cpu_seconds"] if first < len(points) else None


def report(rows: list[dict[str, Any]]) -> None:
    """Final scores of each arm, and how much sooner it was where the random start ended."""
    for arm in ARMS:
        group = [row for row in rows if row["arm"] == arm]
        if not group:
            continue
        last = [row["curve"][-1] for row in group]
        text = ", ".join(
            f"{what} {np.mean([p[what] for p in last]):.3f} ± {np.std([p[what] for p in last]):.3f}"
            for what in ("knn", "nearest", "ari")
        )
        print(f"  {NAMES[arm]:26s} {text} ({len(group)} seeds)")
        for what in ("ari", "knn"):
            print(f"    {_sooner(rows, group, what)}") if arm != "random" else None


def _sooner(rows: list[dict[str, Any]], group: list[dict[str, Any]], what: str) -> str:
    ratios = []
    for row in group:
        twin = [r for r in rows if (r["arm"], r["seed"]) == ("random", row["seed"])]
        if not twin:
            return f"{what}: no random run to compare with"
        theirs = twin[0]["curve"]
        needed = reached(theirs, what, theirs[-1][what])
        ours = reached(row["curve"], what, theirs[-1][what])
        ratios.append(0.0 if ours is None else (needed or 0.0) / max(ours, 1e-9))
    met = "PASS" if min(ratios) >= FASTER else "FAIL"
    shown = ", ".join(f"{ratio:.1f}×" if ratio else "never" for ratio in ratios)
    return f"{met}  {what}: at the random run's final value {shown} sooner (goal {FASTER:g}×)"


def draw(asked: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Curves by epoch and by time; bars of the strategies at the end."""
    import prior_figures as figures

    page = figures.figure(12, 3.3)
    axes = page.subplots(1, 4)
    shown = [arm for arm in ARMS if any(row["arm"] == arm for row in rows)]
    for place, what, title in ((axes[0], "knn", "15-NN accuracy"), (axes[1], "ari", "ARI")):
        lines = [figures.Line(NAMES[arm], *_stacked(rows, arm, what)) for arm in shown]
        figures.curves(place, lines, title, "epoch", "")
        place.set_ylim(0, 1)
    axes[1].legend().remove()
    for arm, colour in zip(shown, figures.LINES, strict=False):
        for row in (row for row in rows if row["arm"] == arm):
            spent = [point["cpu_seconds"] for point in row["curve"]]
            axes[2].plot(spent, [point["ari"] for point in row["curve"]], color=colour, lw=1)
    figures.tidy(axes[2], "ARI against time", "CPU-seconds")
    axes[2].set_ylim(0, 1)
    last = {arm: [r["curve"][-1] for r in rows if r["arm"] == arm] for arm in shown}
    bars = [
        figures.Bar(
            NAMES[arm],
            float(np.mean([p["nearest"] for p in last[arm]])),
            float(np.std([p["nearest"] for p in last[arm]])),
            arm != "random",
        )
        for arm in shown
    ]
    figures.bars(axes[3], bars, "1-NN at the end", "", 0.25)
    figures.save(page, asked.images / f"prior_curve_{asked.mode}.png")


def _stacked(rows: list[dict[str, Any]], arm: str, what: str) -> tuple[list[float], np.ndarray]:
    group = [row["curve"] for row in rows if row["arm"] == arm]
    shortest = min(len(points) for points in group)
    epochs = [point["epoch"] for point in group[0][:shortest]]
    return epochs, np.array([[point[what] for point in points[:shortest]] for points in group])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the shared data folder")
    parser.add_argument("--cache", type=Path, required=True, help="where sets and runs are kept")
    parser.add_argument("--prior", default="bundled", help="bundled, or a file of weights")
    parser.add_argument("--mode", choices=list(SETTINGS), default="abinitio")
    parser.add_argument("--arms", nargs="+", choices=[*ARMS, "all"], default=["full", "random"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only-seed", type=int, help="run this seed alone, in this process")
    parser.add_argument("--set", default="dev_mix4_d64")
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--count", type=int, default=200, help="images a species")
    parser.add_argument("--box", type=int, default=32, help="working box, px")
    parser.add_argument("--epochs", type=int, default=12, help="epochs of descent")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder of the figure")
    parser.add_argument("--draw", action="store_true", help="draw what was measured, nothing else")
    asked = parser.parse_args()
    if asked.only_seed is not None:
        one(asked, asked.arms[0], asked.only_seed)
        return
    arms = list(ARMS) if "all" in asked.arms else asked.arms
    table = Table(asked.out / "prior_curve.json", KEYS)
    prior = located(asked.prior).stem
    wanted = {"mode": asked.mode, "set": asked.set, "snr": asked.snr, "prior": prior}
    wanted |= {"epochs": asked.epochs, "count": asked.count, "box": asked.box}

    def mine() -> list[dict[str, Any]]:
        return [row for row in table.rows() if all(row[k] == v for k, v in wanted.items())]

    for seed in range(0 if asked.draw else asked.seeds):
        for arm in arms:
            if not any((row["arm"], row["seed"]) == (arm, seed) for row in mine()):
                options = [*sys.argv[1:], "--arms", arm, "--only-seed", str(seed)]
                subprocess.run([sys.executable, __file__, *options], check=True)
    print(f"{asked.mode}: {asked.set}, {asked.count} images a species, box {asked.box}")
    report(mine())
    draw(asked, mine())


if __name__ == "__main__":
    main()
