"""Poses by the grid alone, by grid and octree, and by the field itself at every image and pose.

Field and maps are in the frame of the truth (a field that was trained at the true poses, or the
true maps), so poses are compared as they are, modulo the symmetry of the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import Stopwatch
from peer_sets import Truth
from prior_sets import prepared
from species_scores import symmetry_of
from torch import Tensor

from napari_cryodeco.explore.clustering import cluster
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.so3 import angle_between
from napari_cryodeco.model import precision
from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.model.exact_search import exact_search
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_mrc
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.matching import BATCH, Matcher, SearchPlan

CPU = torch.device("cpu")
FEW, MANY = 16, 400  # images for the field at every pose, and for all else: the first of the set
CENTRES = 4
AS_A_RUN = SearchPlan(11, 16, 0.12, keep=4)  # as the last passes of the stage joint
DEEP = SearchPlan(11, 31, 0.12, levels=4, keep=8)


@dataclass(frozen=True)
class Variant:
    """How `images` are searched: `plan` None is the field itself at every pose.

    In the true maps of ``dev_mix4_d64`` or in maps decoded at the centres of clusters of z;
    `refined`: by the octree after the grid.
    """

    images: int
    plan: SearchPlan | None
    refined: bool = True
    true_maps: bool = False


VARIANTS = {
    "field at every pose": Variant(FEW, None),
    "templates, the same few": Variant(FEW, AS_A_RUN),
    "grid only, the same few": Variant(FEW, AS_A_RUN, refined=False),
    "templates": Variant(MANY, AS_A_RUN),
    "grid only": Variant(MANY, AS_A_RUN, refined=False),
    "true maps": Variant(MANY, AS_A_RUN, true_maps=True),
    "true maps, deep": Variant(MANY, DEEP, true_maps=True),
    "true maps, grid only": Variant(MANY, AS_A_RUN, refined=False, true_maps=True),
}


def searched(name: str, sets: Path, run: Run) -> dict[str, Any]:
    """Cost and pose errors of one variant; `run` is a field trained on ``dev_mix4_d32``."""
    variant = VARIANTS[name]
    where = sets / ("dev_mix4_d64" if variant.true_maps else "dev_mix4_d32")
    if variant.true_maps:
        run = prepared(run.path.parent / where.name, where / "particles.star")
    reach = variant.plan.fine_radius if variant.plan else run.geometry.radius
    products = precision.choose_products("auto", CPU)
    images, ctf, geometry = run.stored_images(), run.particles.ctf, run.geometry
    looks = Looks(images, ctf, geometry, min(reach, geometry.radius), CPU, products)
    seen = looks.evidence(torch.arange(variant.images))
    if variant.plan is None:
        z, field = torch.from_numpy(run.epoch().latents()[: len(seen)]), _field(run)
        watch, set_up = Stopwatch(), 0.0
        rotations, _ = exact_search(field, z.float(), seen)
    else:
        _warm_up(seen, variant.plan)
        watch, ball = Stopwatch(), Ball(seen.ball.radius, 3)
        volumes, group = _true(where, run, ball) if variant.true_maps else _decoded(run, ball)
        matchers = [Matcher(volume, ball, seen.ball, variant.plan) for volume in volumes]
        set_up = watch.exact()["cpu_seconds"]
        rotations = _found(seen, matchers, group[: len(seen)], variant.refined)
    spent = watch.exact()["cpu_seconds"]
    cost = {"set_up": round(set_up, 2), "per_image": round((spent - set_up) / len(seen), 5)}
    return {"set": where.name, "images": len(seen)} | errors(where, rotations) | cost


def _field(run: Run) -> FieldDecoder:
    field = run.epoch().decoder()
    field.compute = precision.choose("auto", CPU)
    return field


def _true(where: Path, run: Run, ball: Ball) -> tuple[Tensor, np.ndarray]:
    """True maps ``(K, p)``, and which of them each image is of."""
    maps = [read_mrc(file)[0] for file in sorted((where / "gt").glob("vol_*.mrc"))]
    scaled = [ball.from_map(torch.from_numpy(true).float(), run.geometry.scale) for true in maps]
    return torch.stack(scaled), Truth.of(where).labels


def _decoded(run: Run, ball: Ball) -> tuple[Tensor, np.ndarray]:
    """Maps at the centres of clusters of z, and the cluster of each image."""
    clusters = cluster(run.epoch().latents(), CENTRES, "kmeans", 0)
    return _field(run).decode_ball(torch.from_numpy(clusters.centres), ball), clusters.labels


def _found(seen: Evidence, matchers: list[Matcher], group: np.ndarray, refined: bool) -> Tensor:
    """Rotations ``(n, 3, 3)``, each image in its own map."""
    rotations = torch.eye(3).repeat(len(seen), 1, 1)
    for number, matcher in enumerate(matchers):
        for rows in torch.from_numpy(np.flatnonzero(group == number)).split(BATCH):
            best = matcher.coarse(seen[rows])
            best = matcher.polish(seen[rows], best) if refined else best
            rotations[rows] = best.best()[0]
    return rotations


def _warm_up(seen: Evidence, plan: SearchPlan) -> None:
    """Compile what is compiled at its first use."""
    ball = Ball(seen.ball.radius, 3)
    matcher = Matcher(torch.exp(-0.02 * ball.radii**2), ball, seen.ball, plan)
    matcher.polish(seen[:4], matcher.coarse(seen[:4]))


def errors(where: Path, rotations: Tensor) -> dict[str, float]:
    """How far rotations ``(m, 3, 3)`` of the first images are off, in the frame of the truth."""
    truth, degrees = Truth.of(where), []
    true = torch.from_numpy(truth.rotations).float()
    for row, found in enumerate(rotations):
        _, group = symmetry_of(where, int(truth.labels[row]))
        degrees.append(torch.rad2deg(angle_between(found, true[row] @ group)).min())
    off = torch.stack(degrees)
    return {
        "median_degrees": round(float(off.median()), 2),
        "p90_degrees": round(float(off.quantile(0.9)), 2),
        "within_5": round(float((off < 5).float().mean()), 3),
    }
