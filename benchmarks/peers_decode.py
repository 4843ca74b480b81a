"""Row D of the peers: one map from z, at 64 and 128 px.

The peer's cost is that of `eval_vol` with five points less that with one, by four: start-up does
not count. Networks need not be trained to be timed; at 64 px ours is, so that bf16 can be compared
with fp32.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from peer_cost import timed
from peer_program import Bench
from peer_sets import large_box
from peers_search import IMAGES, searched

from napari_cryodeco.explore.volumes import VolumeDecoder, VolumeRequest
from napari_cryodeco.imaging import fsc
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.stage_config import FieldConfig

SET, MORE, REPEATS = "dev_mix4_d64", 4, 5
LATENT = 8


def theirs(bench: Bench) -> list[dict[str, Any]]:
    """Decode by the peer: its ab initio network at both sizes, that of `train_vae` at 64 px."""
    searched(bench, bench.data / SET, 1)
    small = bench.cache / f"peer_search_{SET}_1" / "out"
    rows = [_their_row(bench, 64, "abinit, 256 × 3", small, 2)]
    rows.append(_their_row(bench, 64, "train_vae, 1024 × 3", _vae(bench), 1))
    return [*rows, _their_row(bench, 128, "abinit, 256 × 3", _large(bench), 0)]


def _vae(bench: Bench) -> Path:
    where, folder = bench.data / SET, bench.cache / "peer_decode_vae"
    inputs = ("--ctf", bench.peer.ctf(where), "--poses", bench.peer.true_poses(where))
    files = (where / "particles.mrcs", *inputs, "--ind", bench.peer.first_rows(IMAGES))
    rest = ("--zdim", LATENT, "-n", 1, "-b", 8, "--num-workers", 0, "--no-analysis")
    bench.peer.run(folder, "train_vae", *files, *rest, "-o", folder / "out")
    return folder / "out"


def _large(bench: Bench) -> Path:
    """Weights of the peer for 128 px: of its warm-up, with no search."""
    where, folder = large_box(128, IMAGES, bench.cache), bench.cache / "peer_decode_large"
    files = (where / "particles.mrcs", "--ctf", bench.peer.ctf(where), "--zdim", LATENT)
    plan = ("--n-imgs-pretrain", IMAGES, "--epochs-pose-search", 0, "--epochs-sgd", 1)
    rest = ("--num-workers", 0, "--no-amp", "--no-analysis", "--seed", 0)
    bench.peer.run(folder, "abinit", *files, *plan, *rest, "-o", folder / "out")
    return folder / "out"


def _their_row(bench: Bench, box: int, variant: str, out: Path, epoch: int) -> dict[str, Any]:
    z = np.random.default_rng(0).normal(size=(1 + MORE, LATENT))
    folder = out.parent
    one = bench.peer.decode(out, epoch, z[:1], folder / "one")
    many = bench.peer.decode(out, epoch, z, folder / "many")
    row = {"set": f"{box} px", "program": bench.peer.name, "variant": variant}
    each = (many["cpu_seconds"] - one["cpu_seconds"]) / MORE
    return row | many | {"per_map": round(each, 3), "command_cpu_seconds": one["cpu_seconds"]}


def ours(bench: Bench) -> list[dict[str, Any]]:
    """Decode by ours, in fp32 and in bf16."""
    where = bench.data / SET
    options = ("--poses", "file", "--datadir", str(where))
    run, _ = bench.train("known_d64", where / "gt" / "particles_gt.star", options)
    latents = run.epoch().latents()
    large = bench.cache / "ours" / "field_128.safetensors"
    if not large.is_file():
        torch.manual_seed(0)
        untrained = FieldDecoder(FieldConfig(), latents.shape[1], 63, torch.ones(64))
        untrained.save(large, Geometry(128, 2.5, 63, 1.0, 128, 2.5))
    rows = []
    for box, field in ((64, run.epoch().field_path), (128, large)):
        for precision in ("fp32", "bf16"):
            rows.append(_our_row(box, field, precision, latents[: REPEATS + 1]))
    return rows


def _our_row(
    box: int, field: Path, precision: Literal["fp32", "bf16"], z: np.ndarray
) -> dict[str, Any]:
    decoder = VolumeDecoder(field, precision=precision)
    decoder.decode(VolumeRequest(z[0], radius=6))  # the first product of a kind is slow
    spent: list[dict[str, Any]] = []
    for point in z[1:]:
        spent.append({})
        with timed(spent[-1]):
            one = decoder.decode(VolumeRequest(point))
    exact = VolumeDecoder(field).decode(VolumeRequest(z[-1]))
    same = fsc.mean(torch.from_numpy(one.data), torch.from_numpy(exact.data))
    return {
        "set": f"{box} px",
        "program": "napari-cryodeco",
        "variant": f"256 × 3, {precision}",
        "per_map": round(median(each["cpu_seconds"] for each in spent), 3),
        "fsc_with_fp32": round(same, 5),
        "gflops_median": median(each["gflops_median"] for each in spent),
        "gflops_least": min(each["gflops_least"] for each in spent),
    }
