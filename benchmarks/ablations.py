"""Ablations: one thing changed at a time, with known poses, and two searches of poses.

    python benchmarks/ablations.py --data DIR --cache CACHE --parts norm latent encoder search
    python benchmarks/ablations.py --report

DIR is the shared data folder. Parts:

* ``norm``: LayerNorm in the field on and off; ``norm-published``: in the published loop, where the
  field begins from random weights and z from an encoder, and not from a linear model;
* ``latent``: 4 … 128 numbers in z;
* ``encoder``: a table, or the bundled encoder of which all, the last block, the head or nothing but
  a linear map is trained, or one of its shape with random weights;
* ``search``: poses by the grid alone, by grid and octree in maps decoded once, and by the field
  itself at every image and pose (`ablation_search.py`).

All else is as the defaults say. Rows of the first four train on ``gt/particles_gt.star`` of
``dev_mix4_d32``; all else under ``gt/`` only scores. A row is a process of its own and takes
``--minutes`` of CPU at most; a finished one is not made again. ``--report`` writes the page
docs/ablations.md and its figure.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from ablation_search import VARIANTS, searched
from ablations_report import line, report
from measuring import RESULTS, Table, engine, machine, provenance
from prior_abinitio import open_run, train_until
from prior_curve import random_weights
from prior_sets import folder
from row_scores import latent_scores
from rows import TooLongError, limited

from napari_cryodeco.model.weights import located
from napari_cryodeco.runs.progress import RunFollower
from napari_cryodeco.runs.run import Run

FILE = RESULTS / "ablations.json"
KEYS = ("part", "variant", "seed")
SET = "dev_mix4_d32"
SIZES = (4, 8, 16, 32, 64, 128)
STRATEGIES = ("full", "blocks", "head", "fixed")
PUBLISHED = {
    "loop": "parity",
    "latent_dim": 16,
    "encoder": {"kind": "cnn", "prior": "bundled"},
    "parity": {"warmup_images": 3200, "epochs": 12},
}
PARTS: dict[str, dict[str, dict[str, Any]]] = {
    "norm": {"on": {"field": {"layer_norm": True}}, "off": {"field": {"layer_norm": False}}},
    "norm-published": {
        "on": PUBLISHED | {"field": {"layer_norm": True}},
        "off": PUBLISHED | {"field": {"layer_norm": False}},
    },
    "latent": {str(size): {"latent_dim": size} for size in SIZES},
    "encoder": {
        "table": {"encoder": {"kind": "table"}},
        **{
            name: {"encoder": {"kind": "cnn", "prior": "bundled", "strategy": name, "blocks": 1}}
            for name in STRATEGIES
        },
        "random": {"encoder": {"kind": "cnn", "strategy": "full"}},
    },
    "search": {name: {} for name in VARIANTS},
}


def trained(part: str, variant: str, seed: int, where: Path, runs: Path) -> tuple[Run, dict]:
    """The run of a row, at the true poses, and what it cost."""
    source = where / "gt" / "particles_gt.star"
    values = PARTS[part][variant] | {"poses": "file", "seed": seed}
    values["data"] = {"source": source, "datadir": where}
    if variant == "random":
        file = random_weights(runs / f"random_{seed}.safetensors", located("bundled"), seed)
        values["encoder"] = values["encoder"] | {"prior": str(file)}
    run = open_run(runs / f"{part}_{variant}_{seed}", source, values)
    return run, train_until(run, "parity" if run.config.loop == "parity" else "refine")


def loss(run: Run) -> list[float]:
    """Mean squared error per coefficient, epoch by epoch."""
    told = RunFollower(run.path).poll().metrics
    return [round(one.value, 5) for one in told if one.name == "loss"]


def one(part: str, variant: str, seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Run and score one row."""
    runs, begun = asked.cache / f"ablations_{engine()}", machine()
    runs.mkdir(parents=True, exist_ok=True)
    if part == "search":
        base, _ = trained("encoder", "table", 1, folder(SET, 0, 0.1, asked.data, runs), runs)
        return searched(variant, asked.data / "dev", base) | begun
    where = folder(SET, 0, 0.1, asked.data, asked.cache)
    run, used = trained(part, variant, seed, where, runs)
    found = {"z": run.epoch().latents().shape[1], "epochs": len(run.epochs()), "loss": loss(run)}
    return found | latent_scores(run, where) | used | begun


def in_its_own_process(part: str, variant: str, seed: int, asked: argparse.Namespace) -> None:
    """Make one row, with a limit on its CPU time."""
    row: dict[str, Any] = {"part": part, "variant": variant, "seed": seed}
    try:
        limited(asked.minutes)
        row |= one(part, variant, seed, asked)
    except TooLongError:
        row |= {"stopped": f"after {asked.minutes:g} CPU-minutes"}
    row |= {"engine": engine()} | provenance()
    Table(FILE, KEYS).put(row)
    print(line(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="the shared data folder")
    parser.add_argument("--cache", type=Path, help="where runs are kept")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--variants", nargs="+", help="these only")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--minutes", type=float, default=6, help="CPU-minutes a row may take")
    parser.add_argument("--report", action="store_true", help="write the page; run nothing")
    parser.add_argument("--alone", action="store_true", help="run the one row in this process")
    asked = parser.parse_args()
    table = Table(FILE, KEYS)
    if asked.report:
        report(table.rows())
        return
    for part in asked.parts:
        for variant in asked.variants or PARTS[part]:
            for seed in asked.seeds:
                if asked.alone:
                    in_its_own_process(part, variant, seed, asked)
                elif table.find(part=part, variant=variant, seed=seed) is None:
                    rest = ["--parts", part, "--variants", variant, "--seeds", str(seed), "--alone"]
                    subprocess.run([sys.executable, __file__, *sys.argv[1:], *rest], check=True)


if __name__ == "__main__":
    main()
