"""Row C of the peers: poses are known, four species at 32 px.

The peer's `train_vae` for 25 epochs against our default run, ARI and maps epoch by epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peer_program import Bench, Spent
from peer_scores import Decode, of_found_groups, of_latents, of_true_groups
from peer_sets import Truth

from napari_cryodeco.explore.volumes import VolumeDecoder, VolumeRequest

SET, EPOCHS = "dev_mix4_d32", 25
SCORED = (1, 2, 3, 5, 8, 12, 18, 25)


def theirs(bench: Bench) -> list[dict[str, Any]]:
    """Train the peer: all images, batch 8, z of 8 numbers, its default networks."""
    where, folder = bench.data / SET, bench.cache / "peer_known"
    inputs = ("--ctf", bench.peer.ctf(where), "--poses", bench.peer.true_poses(where))
    options = ("--seed", 0, "--zdim", 8, "-n", EPOCHS, "-b", 8, "--num-workers", 0)
    files = (where / "particles.mrcs", *inputs)
    spent = bench.peer.run(
        folder, "train_vae", *files, *options, "--no-analysis", "-o", folder / "out"
    )

    def read(epoch: int) -> tuple[float, np.ndarray, Decode]:
        z = bench.peer.array(folder / "out" / f"z.{epoch}.pkl")

        def decode(points: np.ndarray) -> list[np.ndarray]:
            return bench.peer.maps(folder / "out", epoch, points)

        return spent["cpu_seconds"] * epoch / EPOCHS, z, decode

    return [{"program": bench.peer.name} | _row(bench, spent, read, SCORED)]


def ours(bench: Bench) -> list[dict[str, Any]]:
    """Train ours by default settings."""
    where = bench.data / SET
    options = ("--poses", "file", "--datadir", str(where))
    run, spent = bench.train("known_d32", where / "gt" / "particles_gt.star", options)

    def read(number: int) -> tuple[float, np.ndarray, Decode]:
        epoch = run.epoch(number)
        # the epochs grow: their share of the CPU time is that of the wall time when each was done
        done = epoch.field_path.stat().st_mtime - spent["begun"]
        share = min(1.0, done / (spent["ended"] - spent["begun"]))
        return spent["cpu_seconds"] * share, epoch.latents(), _decoder_of(epoch.field_path)

    return [{"program": "napari-cryodeco"} | _row(bench, spent, read, tuple(run.epochs()))]


def _decoder_of(field: Path) -> Decode:
    """Decode with a field of ours."""
    volumes = VolumeDecoder(field)

    def decode(z: np.ndarray) -> list[np.ndarray]:
        requests = [VolumeRequest(point) for point in z]
        return [one.data for one in volumes.decode_many(requests)]

    return decode


def _row(
    bench: Bench,
    spent: Spent,
    read: Callable[[int], tuple[float, np.ndarray, Decode]],
    epochs: tuple[int, ...],
) -> dict[str, Any]:
    where, by_epoch = bench.data / SET, []
    truth = Truth.of(where)
    for epoch in epochs:
        seconds, z, decode = read(epoch)
        found = {"epoch": epoch, "cpu_seconds": round(seconds, 1)} | of_latents(z, truth)
        by_epoch.append(found | {"fsc_of_true_groups": of_true_groups(decode, z, where)})
    last = {key: value for key, value in by_epoch[-1].items() if key != "cpu_seconds"}
    last["fsc_of_found_groups"] = of_found_groups(decode, z, where)
    return {"set": SET, "variant": "default"} | spent | last | {"by_epoch": by_epoch}


def seconds_to(row: dict[str, Any], fsc: float) -> float | None:
    """CPU-seconds after which the mean FSC of the true groups' maps is at least `fsc`."""
    for epoch in row["by_epoch"]:
        if np.mean(epoch["fsc_of_true_groups"]) >= fsc:
            return float(epoch["cpu_seconds"])
    return None
