"""Row B of the peers: from nothing, 250 images of each of four species at 32 px.

The peer's grid is cut down, as its own would take days here: a base grid of 576 poses instead of
4608, 4 × 4 shifts instead of 7 × 7, three levels, 8 to 12 frequencies, two epochs of search.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from peer_cost import Spent
from peer_program import Bench
from peer_scores import of_latents, of_poses
from peer_sets import Truth, smaller

from napari_cryodeco.explore.scores import rand_index

SET, EACH = "dev_mix4_d32", 250
SEARCHES, EPOCHS = 2, 12
GRID = ("--t-extent", 4, "--t-ngrid", 4, "--base-healpy", 1, "--niter", 3, "--nkeptposes", 4)
GRID += ("--l-start", 8, "--l-end", 12)


def searched(bench: Bench) -> Spent:
    """Run the peer ab initio."""
    where, folder = smaller(bench.data / SET, EACH, bench.cache), bench.cache / "peer_whole"
    epochs = ("--epochs-pose-search", SEARCHES, "--epochs-sgd", EPOCHS, "--n-imgs-pretrain", 2000)
    batches = ("--batch-size-sgd", 64, "--batch-size-hps", 8, "--num-workers", 0, "--no-amp")
    rest = ("--no-analysis", "--seed", 0, "--checkpoint", 2, "--zdim", 8, "-o", folder / "out")
    files = (where / "particles.mrcs", "--ctf", bench.peer.ctf(where))
    return bench.peer.run(folder, "abinit", *files, *epochs, *GRID, *batches, *rest)


def theirs(bench: Bench) -> list[dict[str, Any]]:
    """Run the peer on its cheap grid and score it."""
    spent, out = searched(bench), bench.cache / "peer_whole" / "out"
    last = SEARCHES + EPOCHS
    z = bench.peer.array(out / f"z.{last}.pkl")
    where = smaller(bench.data / SET, EACH, bench.cache)
    found = _scores(where, bench.peer.rotations(out / f"pose.{last}.pkl"), z)
    return [_row(bench.peer.name, "cheap grid", where) | spent | found]


def ours(bench: Bench) -> list[dict[str, Any]]:
    """Run ours by default settings, told that there are four species."""
    where = smaller(bench.data / SET, EACH, bench.cache)
    options = ("--poses", "abinitio", "--classes", "4")
    run, spent = bench.train("whole", where / "particles.star", options)
    epoch = run.epoch()
    found = _scores(where, epoch.poses().rotations, epoch.latents())
    classes = epoch.class_posteriors()
    if classes is not None:
        right = rand_index(Truth.of(where).labels, classes.argmax(1))
        found["ari_of_classes"] = round(right, 4)
    return [_row("napari-cryodeco", "default", where) | spent | found]


def _row(program: str, variant: str, where: Path) -> dict[str, Any]:
    return {"set": where.name, "program": program, "variant": variant}


def _scores(where: Path, rotations: Any, z: np.ndarray) -> dict[str, Any]:
    return of_latents(z, Truth.of(where)) | of_poses(where, rotations, z)
