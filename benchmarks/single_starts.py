"""One species alone from nothing: what shaking and spreading of the viewing directions are worth.

    python benchmarks/single_starts.py --cache DIR --seeds 5

Species of the demo's sample, 250 images each at SNR 0.1: an asymmetric polymerase, a capsid and a
small pentamer, whose views are nearly alike. Arms: ``plain`` (neither), ``shaken`` (poses compared
with a fading error), ``spread`` (no crowds along few viewing axes), ``both`` (as a run does). A map
is compared with the true one, both hands, by mean FSC of shells 1-9; ``along`` is the share of the
images' second moment along one axis: 0.33 where they look from everywhere, 1 where all look along
one line.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import torch
from measuring import RESULTS, Table, machine, provenance
from prior_sets import prepared

from napari_cryodeco.data.simulate import simulate
from napari_cryodeco.demo import SAMPLE
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import align
from napari_cryodeco.imaging.superpose import superpose
from napari_cryodeco.runs.run import Run
from napari_cryodeco.train import coverage
from napari_cryodeco.train.abinit import sharpened
from napari_cryodeco.train.looks import Looks, search_radius
from napari_cryodeco.train.matching import Matcher, SearchPlan, search
from napari_cryodeco.train.stages import generator
from napari_cryodeco.train.starts import StartPlan, random_start

KEYS = ("species", "arm", "seed")
FREE, CAPS = (1e9, 1e9), (coverage.CAP_AT_FIRST, coverage.CAP)
SHAKEN = StartPlan().shaken
ARMS = {"plain": (0.0, FREE), "shaken": (SHAKEN, FREE), "spread": (0.0, CAPS)}
ARMS["both"] = (SHAKEN, CAPS)


def demo_sample(cache: Path) -> tuple[Run, Path]:
    """The demo's sample as a run with its working copy, simulated once."""
    sample = cache / "demo_sample"
    if not sample.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        simulate(SAMPLE.molecules(), SAMPLE.recipe, sample)
    return prepared(cache / "runs" / sample.name, sample / "particles.star"), sample


def one(run: Run, sample: Path, species: int, arm: str, seed: int) -> dict[str, object]:
    """Start, sharpen, compare with the truth."""
    shaken, (coverage.CAP_AT_FIRST, coverage.CAP) = ARMS[arm]
    truth = np.load(sample / "gt" / "ground_truth.npz", allow_pickle=False)
    rows = torch.from_numpy(np.flatnonzero(truth["label"] == species))
    rows = rows[torch.randperm(len(rows), generator=generator(seed, "single", 0))]
    radius = search_radius(run.geometry)
    looks = Looks(run.stored_images(), run.particles.ctf, run.geometry, radius, torch.device("cpu"))
    evidence, begun = looks.evidence(rows), time.process_time()
    plan = replace(StartPlan.of(1, looks), shaken=shaken)
    volume = random_start(evidence, looks.power, plan, generator(seed, "single", 1), lambda: None)
    volume = sharpened(evidence, volume, looks.power, looks, lambda: None).volume
    spent = time.process_time() - begun
    matcher = Matcher(volume, Ball(radius, 3), evidence.ball, SearchPlan(11, radius))
    rotations, _, _ = search(evidence, matcher).best()
    views, near = rotations[:, 2], Ball(9, 3)
    moments = torch.linalg.eigvalsh((views[:, :, None] * views[:, None]).mean(0))
    molecule = SAMPLE.molecules()[species]
    true = torch.from_numpy(mrcfile.read(sample / "gt" / f"vol_{species:03d}.mrc").copy())
    poses = align(
        rotations,
        torch.from_numpy(truth["rotation"]).float()[rows],
        torch.from_numpy(molecule.symmetry).float(),
    )
    return {
        "fsc": round(float(superpose(volume, near.from_map(true), near).fsc.mean()), 3),
        "along": round(float(moments.max()), 3),
        "median_degrees": round(poses.median_degrees, 1),
        "cpu_seconds": round(spent, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="where the sample is kept")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    table, (run, sample) = Table(asked.out / "single_starts.json", KEYS), demo_sample(asked.cache)
    for place, name in enumerate(SAMPLE.structures):
        for arm in ARMS:
            for seed in range(asked.seeds):
                known = {"species": name, "arm": arm, "seed": seed}
                if table.find(**known) is None:
                    found = one(run, sample, place, arm, seed)
                    table.put(known | found | machine() | provenance())
            rows = [r for r in table.rows() if (r["species"], r["arm"]) == (name, arm)]
            means = {key: np.mean([row[key] for row in rows]) for key in ("fsc", "along")}
            values = " ".join(f"{row['fsc']:.2f}" for row in rows)
            print(
                f"{name} {arm}: FSC {means['fsc']:.2f} ({values}), along {means['along']:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
