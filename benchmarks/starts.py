"""How often is one random start of all species right, and what do the prior's clusters add?

    python benchmarks/starts.py --data DIR --cache DIR --seeds 2

On sets of ``dev_mix4_d64``, single starts from the clusters of the bundled prior and from nothing:
1000 steps, then two passes over all particles. A start is right where ARI is at least 0.9. Needs
the runs that ``prior_abinitio.py --resimulate`` leaves in the cache: features are taken from there.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from measuring import RESULTS, Table, machine, provenance
from prior_sets import folder

from napari_cryodeco.explore.scores import rand_index
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_tensors
from napari_cryodeco.train import joint
from napari_cryodeco.train.abinit import tempered
from napari_cryodeco.train.looks import Looks, search_radius
from napari_cryodeco.train.stages import Silent, generator
from napari_cryodeco.train.starts import Start, StartPlan, held_out_score

SET, SNR, HELD, RIGHT = "dev_mix4_d64", 0.1, 240, 0.9
KEYS = ("set_seed", "begun_from", "seed")
BEGINNINGS = ("prior", "nothing")
PASSES = 2


def clusters(run: Run, begun_from: str) -> torch.Tensor:
    """What the start takes for granted, ``(n, K)``."""
    posteriors = read_tensors(run.paths.stage("features"))[0]["posteriors"]
    if begun_from == "nothing":
        return torch.full_like(posteriors, 1 / posteriors.shape[1])
    return tempered(posteriors)


def one(asked: argparse.Namespace, set_seed: int, begun_from: str, seed: int) -> dict[str, object]:
    """Start, pass twice, score."""
    where = folder(SET, set_seed, SNR, asked.data, asked.cache)
    labels = np.load(where / "gt" / "ground_truth.npz", allow_pickle=False)["label"].astype(int)
    name = f"{SET}_{set_seed}_{SNR}_bundled_true_{set_seed}"
    run = Run.open(asked.cache / "abinitio" / name)
    geometry, species = run.geometry, int(labels.max()) + 1
    radius = search_radius(geometry)
    looks = Looks(run.stored_images(), run.particles.ctf, geometry, radius, torch.device("cpu"))
    begun, cpu = clusters(run, begun_from), time.process_time()
    evidence, plan = looks.evidence(torch.arange(len(labels))), StartPlan.of(species, looks)
    start = Start(evidence[HELD:], looks.power, plan, begun[HELD:])
    random = generator(seed, "starts", set_seed)
    for step in range(plan.steps):
        start.step(step, random)
    spent = time.process_time() - cpu
    held_out = held_out_score(evidence[:HELD], start.volumes, plan.last, plan.extent)
    volumes = Ball(radius, 3).extend(start.volumes)
    stage = joint.JointStage(looks, volumes, torch.zeros(len(labels), 1), species)
    stage.load(None)
    for unit in range(PASSES):
        stage.advance(unit, Silent())
    found = stage.posteriors.argmax(1)
    return {
        "ari_clusters": round(rand_index(labels, begun.argmax(1)), 4),
        "ari": round(rand_index(labels, found), 4),
        "held_out": round(held_out, 2),
        "counts": torch.bincount(found, minlength=species).tolist(),
        "cpu_seconds": round(spent, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the shared data folder")
    parser.add_argument("--cache", type=Path, required=True, help="where sets and runs are kept")
    parser.add_argument("--sets", type=int, nargs="+", default=[0, 1, 2], help="seeds of the sets")
    parser.add_argument("--seeds", type=int, default=2, help="starts of each kind and set")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(asked.out / "starts.json", KEYS)
    for seed in range(asked.seeds):
        for set_seed in asked.sets:
            for begun_from in BEGINNINGS:
                known = {"set_seed": set_seed, "begun_from": begun_from, "seed": seed}
                if table.find(**known) is not None:
                    continue
                row = known | one(asked, set_seed, begun_from, seed) | machine() | provenance()
                table.put(row)
                print(known, row["ari"], row["held_out"], f"{row['cpu_seconds']} CPU-s", flush=True)
    for begun_from in BEGINNINGS:
        found = [row["ari"] for row in table.rows() if row["begun_from"] == begun_from]
        right = sum(ari >= RIGHT for ari in found)
        print(f"{begun_from}: {right} of {len(found)} starts right, ARI {np.mean(found):.3f}")


if __name__ == "__main__":
    main()
