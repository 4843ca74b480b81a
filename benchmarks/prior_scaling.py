"""How good a prior gets with more structures, other kinds of them, and other objectives.

    python benchmarks/prior_scaling.py --data DIR --cache DIR --minutes 3
    python benchmarks/prior_scaling.py --data DIR --cache DIR --minutes 3 --study kinds
    python benchmarks/prior_scaling.py --data DIR --cache DIR --minutes 3 --study objectives

Every arm is a `cryodeco pretrain` of equal length with the same small encoder, scored on unseen
species. Study `structures`: the real training structures alone, and with 100, 1,000 and 4,000
procedural ones. Study `kinds`: 1,000 of one kind, and of all. Study `objectives`: prototypes,
supervised contrast, identity and MoCo v3 with 1,000 procedural ones. A finished arm is not trained
again; a killed one goes on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from feature_scores import score
from measuring import IMAGES, RESULTS, Stopwatch, Table, machine, provenance
from prior_encoders import of_prior
from prior_sets import SETS, mixture

from napari_cryodeco.data.procedural import KINDS
from napari_cryodeco.model.weights import read_weights

KEYS = ("study", "objective", "synthetic", "kinds", "seed", "minutes")
COUNTS = (0, 100, 1000, 4000)
OBJECTIVES = ("prototypes", "supcon", "identity", "moco")
MIDDLE = 1000


@dataclass(frozen=True)
class Arm:
    """An objective, a number of procedural structures, and their kind ("all": of every kind)."""

    objective: str
    synthetic: int
    kinds: str = "all"

    @property
    def folder(self) -> str:
        """Name of its pretraining."""
        return f"{self.objective}_{self.synthetic}" + (
            "" if self.kinds == "all" else f"_{self.kinds}"
        )


def arms(study: str) -> list[Arm]:
    """What a study compares."""
    if study == "structures":
        return [Arm("prototypes", count) for count in COUNTS]
    if study == "kinds":
        return [
            Arm("prototypes", 0),
            *[Arm("prototypes", MIDDLE, kind) for kind in (*KINDS, "all")],
        ]
    return [Arm(objective, MIDDLE) for objective in OBJECTIVES]


def title(study: str, arm: Arm) -> str:
    """Name of a bar."""
    if study == "objectives":
        return arm.objective
    return "real" if not arm.synthetic else f"+ {arm.synthetic:,} {arm.kinds}"


def train(asked: argparse.Namespace, arm: Arm, seed: int) -> Path:
    """Folder of a finished pretraining."""
    out = asked.cache / "scaling" / f"{arm.folder}_{seed}_{asked.minutes:g}min"
    command = [sys.executable, "-m", "napari_cryodeco", "pretrain", str(out)]
    command += ["--objective", arm.objective, "--synthetic", str(arm.synthetic)]
    command += ["--seed", str(seed), "--structures", str(asked.data / "structures")]
    command += ["--model", "small", "--minutes", str(asked.minutes), "--anneal"]
    command += ["--threads", str(asked.threads)]
    kinds = [] if arm.kinds == "all" else [f"kinds=[{arm.kinds}]"]
    for setting in (*asked.setting, *kinds):
        command += ["--set", setting]
    subprocess.run(command, check=True)
    return out


def one(asked: argparse.Namespace, arm: Arm, seed: int) -> dict[str, Any]:
    """Train and score one arm."""
    watch = Stopwatch()
    out = train(asked, arm, seed)
    prior = out / "prior.safetensors"
    row: dict[str, Any] = {"study": asked.study, **asdict(arm)}
    row |= {"seed": seed, "minutes": asked.minutes, **watch.read()}
    row["header"] = read_weights(prior).header
    for name in SETS:
        seen = mixture(name, 0, 0.1, asked.data, asked.cache, asked.count)
        found = score(of_prior(prior)(seen), seen.labels, 0)
        row |= {f"knn_{name}": found.knn, f"ari_{name}": found.ari}
    print(
        f"{title(asked.study, arm)}, seed {seed}: "
        + ", ".join(f"{n} k-NN {row[f'knn_{n}']:.3f} ARI {row[f'ari_{n}']:.3f}" for n in SETS),
        flush=True,
    )
    return row | machine() | provenance()


def draw(asked: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """k-NN and ARI of the arms of a study."""
    import prior_figures as figures

    page = figures.figure(3.4 * len(SETS), 5)
    axes = page.subplots(2, len(SETS), squeeze=False)
    for column, name in enumerate(SETS):
        for line, (what, label) in enumerate((("knn", "15-NN accuracy"), ("ari", "ARI of a GMM"))):
            bars = []
            for arm in arms(asked.study):
                group = [
                    row[f"{what}_{name}"]
                    for row in rows
                    if all(row[key] == value for key, value in asdict(arm).items())
                ]
                if group:
                    spread, named = float(np.std(group)), title(asked.study, arm)
                    bars.append(figures.Bar(named, float(np.mean(group)), spread, True))
            head = f"{name}, SNR 0.1" if what == "knn" else ""
            figures.bars(axes[line, column], bars, head, label, None)
    figures.save(page, asked.images / f"prior_scaling_{asked.study}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the shared data folder")
    parser.add_argument("--cache", type=Path, required=True, help="where sets and priors are kept")
    parser.add_argument(
        "--study", choices=["structures", "kinds", "objectives"], default="structures"
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="of each arm")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--count", type=int, default=0, help="images a species; 0: as the recipe")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--setting", nargs="*", default=[], help="NAME=VALUE of cryodeco pretrain")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder of the figure")
    parser.add_argument("--draw", action="store_true", help="draw what was measured, nothing else")
    asked = parser.parse_args()
    table = Table(asked.out / "prior_scaling.json", KEYS)
    known = {"study": asked.study, "minutes": asked.minutes}
    for seed in range(0 if asked.draw else asked.seeds):
        for arm in arms(asked.study):
            if table.find(**known, **asdict(arm), seed=seed) is None:
                table.put(one(asked, arm, seed))
    rows = [row for row in table.rows() if all(row[k] == v for k, v in known.items())]
    draw(asked, rows)


if __name__ == "__main__":
    main()
