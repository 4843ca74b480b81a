"""Row A of the peers: pose search per image, with the volumes decoded from a trained field.

The peer decodes a slice for every pose of every image: 16 images at its full default settings, one
epoch of search. Its cost is the whole process less a process without that epoch. Ours decodes 4
or 16 centres of z once, cuts their slices, searches every image on the grid of all centres and
polishes it at the best three that are in the running. Its poses are compared with those of the
same search in the true map of the particle's species.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_cost import Spent, timed
from peer_program import Bench
from peer_sets import Truth
from species_scores import pose_errors
from torch import Tensor

from napari_cryodeco.explore.clustering import cluster
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.model import precision
from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.model.pose_search import Candidates
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_mrc
from napari_cryodeco.train.joint import CONTEST
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.matching import BATCH, Matcher, SearchPlan, join, search

SETS, IMAGES = ("dev_mix4_d64", "dev_mix4_d32"), 16
SAMPLE = 400  # images that ours is timed and judged on, the first of the set
POLISHED = 3  # centres at most for each image
CPU = torch.device("cpu")
AS_A_RUN = SearchPlan(11, 16, 0.12, keep=4)
AS_DEEP = SearchPlan(11, 31, 0.12, levels=4, keep=8)
"""All frequencies, steps of 0.9° and 8 candidates: as the peer's default."""


def theirs(bench: Bench) -> list[dict[str, Any]]:
    """Search 16 images with the peer."""
    return [_their_row(bench, bench.data / name) for name in SETS]


def searched(bench: Bench, where: Path, epochs: int) -> Spent:
    """Run the peer: a warm-up, so many epochs of search, one of descent."""
    folder = bench.cache / f"peer_search_{where.name}_{epochs}"
    files = (where / "particles.mrcs", "--ctf", bench.peer.ctf(where))
    files += ("--ind", bench.peer.first_rows(IMAGES), "--n-imgs-pretrain", IMAGES, "--zdim", 8)
    plan = ("--epochs-pose-search", epochs, "--epochs-sgd", 1, "--batch-size-hps", IMAGES)
    rest = ("--t-extent", 4, "--num-workers", 0, "--no-amp", "--no-analysis", "--seed", 0)
    return bench.peer.run(folder, "abinit", *files, *plan, *rest, "-o", folder / "out")


def _their_row(bench: Bench, where: Path) -> dict[str, Any]:
    base, full = (searched(bench, where, epochs) for epochs in (0, 1))
    log = (bench.cache / f"peer_search_{where.name}_1" / "log.txt").read_text()
    epoch = re.search(r"HPS Epoch: 1 finished in (\d+):(\d+):([\d.]+)", log)
    assert epoch is not None, "the peer's log does not tell the time of its search"
    hours, minutes, seconds = map(float, epoch.groups())
    share = full["cpu_seconds"] / full["seconds"]  # the log has wall time
    row = {"set": where.name, "program": bench.peer.name, "variant": "default grid, 1 volume each"}
    found = {
        "images": IMAGES,
        "per_image": round((full["cpu_seconds"] - base["cpu_seconds"]) / IMAGES, 3),
        "per_image_by_its_log": round((3600 * hours + 60 * minutes + seconds) * share / IMAGES, 3),
        "without_search_cpu_seconds": base["cpu_seconds"],
    }
    return row | full | found


@dataclass(frozen=True)
class Scene:
    """Some particles of a trained run, and where their set is."""

    run: Run
    where: Path
    evidence: Evidence
    ball: Ball

    @classmethod
    def of(cls, run: Run, where: Path, radius: int) -> Scene:
        """See the first images up to a Fourier radius."""
        products = precision.choose_products("auto", CPU)
        images, ctf = run.stored_images(), run.particles.ctf
        looks = Looks(images, ctf, run.geometry, radius, CPU, products)
        evidence = looks.evidence(torch.arange(SAMPLE))
        return cls(run, where, evidence, Ball(radius, 3))

    def errors(self, rotations: Tensor) -> list[float]:
        """Median pose errors in degrees, species by species."""
        labels = Truth.of(self.where).labels[:SAMPLE]
        return [one["median_degrees"] for one in pose_errors(self.where, rotations, labels, labels)]


def ours(bench: Bench) -> list[dict[str, Any]]:
    """Search with ours in 4 and 16 centres, as in a run and as deep as the peer."""
    rows = []
    for name in SETS:
        where = bench.data / name
        options = ("--poses", "file", "--datadir", str(where))
        run, _ = bench.train(f"known_{name[-3:]}", where / "gt" / "particles_gt.star", options)
        for variant, plan in (("as in a run", AS_A_RUN), ("as deep as the peer", AS_DEEP)):
            scene = Scene.of(run, where, min(plan.fine_radius, run.geometry.radius))
            known = _with_true_maps(scene, plan)
            for count in (4, 16):
                row = {"set": name, "program": "napari-cryodeco"}
                row |= {"variant": f"{variant}, {count} centres", "true_map_degrees": known}
                rows.append(row | _searched(scene, plan, count))
                print(rows[-1], flush=True)
    return rows


def _searched(scene: Scene, plan: SearchPlan, count: int) -> dict[str, Any]:
    """Cost and pose errors of a search in the maps of `count` centres of z.

    Decoding and cutting is done once for all images of the set, and counted so.
    """
    latents, field = scene.run.epoch().latents(), scene.run.epoch().decoder()
    field.compute = precision.choose("auto", CPU)
    z = torch.from_numpy(cluster(latents, count, "kmeans", 0).centres)
    made: Spent = {}
    looked: Spent = {}
    _warm_up(scene, plan)
    with timed(made):
        volumes = field.decode_ball(z, scene.ball)
        matchers = [Matcher(v, scene.ball, scene.evidence.ball, plan) for v in volumes]
    with timed(looked):
        found = [_best(part, matchers) for part in _batches(scene.evidence)]
    each, whole = looked["cpu_seconds"] / SAMPLE, len(scene.run.particles)
    return {
        "images": SAMPLE,
        "fine_radius": scene.ball.radius,
        "dtype_of_grid": str(scene.evidence.products).removeprefix("torch."),
        "dtype_of_field": str(field.compute).removeprefix("torch."),
        "set_up_cpu_seconds": round(made["cpu_seconds"], 2),
        "per_image_without_set_up": round(each, 5),
        "per_image": round(each + made["cpu_seconds"] / whole, 5),
        "cpu_seconds": round(made["cpu_seconds"] + looked["cpu_seconds"], 2),
        "median_degrees": scene.errors(join(found).best()[0]),
        "gflops_median": looked["gflops_median"],
        "gflops_least": min(made["gflops_least"], looked["gflops_least"]),
    }


def _warm_up(scene: Scene, plan: SearchPlan) -> None:
    """Compile what is compiled at its first use: start-up is not counted for the peer either."""
    blob = torch.exp(-0.02 * scene.ball.radii**2)
    search(scene.evidence[:4], Matcher(blob, scene.ball, scene.evidence.ball, plan))


def _batches(evidence: Evidence) -> list[Evidence]:
    return [evidence[start : start + BATCH] for start in range(0, len(evidence), BATCH)]


def _best(seen: Evidence, matchers: list[Matcher]) -> Candidates:
    """Best pose of each image, over the centres that the grid finds best and near each other."""
    grids = [matcher.coarse(seen) for matcher in matchers]
    first = torch.stack([grid.scores[:, 0] for grid in grids])
    leading = first.topk(min(POLISHED, len(matchers)), dim=0).values
    least = torch.maximum(leading[-1], leading[0] - CONTEST)
    n = len(seen)
    nothing = torch.full((n, 1), -torch.inf)
    best = Candidates(torch.zeros(n, 1, 3, 3), torch.zeros(n, 1, 2), nothing)
    for matcher, grid, scores in zip(matchers, grids, first, strict=True):
        near = torch.nonzero(scores >= least)[:, 0]
        if not len(near):
            continue
        start = Candidates(grid.rotations[near], grid.shifts[near], grid.scores[near])
        found = matcher.polish(seen[near], start)
        better = found.scores[:, 0] > best.scores[near, 0]
        for name in ("rotations", "shifts", "scores"):
            getattr(best, name)[near[better]] = getattr(found, name)[better]
    return best


def _with_true_maps(scene: Scene, plan: SearchPlan) -> list[float]:
    """Median pose errors of the same search in the true map of each particle's species."""
    labels, geometry = Truth.of(scene.where).labels[:SAMPLE], scene.run.geometry
    rotations = torch.eye(3).repeat(len(labels), 1, 1)
    for species in np.unique(labels):
        true = read_mrc(scene.where / "gt" / f"vol_{species:03d}.mrc")[0]
        volume = scene.ball.from_map(torch.from_numpy(true).float(), geometry.scale)
        matcher = Matcher(volume, scene.ball, scene.evidence.ball, plan)
        mine = torch.from_numpy(np.flatnonzero(labels == species))
        rotations[mine] = search(scene.evidence[mine], matcher).best()[0]
    return scene.errors(rotations)
