"""How the rows of `rows.py` are scored, and the oracle that searches in the true maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_sets import Truth
from prior_sets import prepared
from species_scores import pose_errors, species_scores, states_of_one
from torch import Tensor

from napari_cryodeco.data.ground_truth import read_truth
from napari_cryodeco.explore.clustering import cluster
from napari_cryodeco.explore.map_scores import conformation_rows, score_maps
from napari_cryodeco.explore.scores import label_scores, nearest_scores, rand_index
from napari_cryodeco.explore.volumes import VolumeDecoder
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import align
from napari_cryodeco.model import precision
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_mrc, read_tensors
from napari_cryodeco.train.joint import JointStage
from napari_cryodeco.train.looks import Looks, search_radius
from napari_cryodeco.train.passes import PLANS
from napari_cryodeco.train.stages import Silent

CPU = torch.device("cpu")
MORE_PASSES = 2
MAPS = 8  # states whose decoded map is compared with the true one


def joint_stage(run: Run, volumes: Tensor) -> JointStage:
    """The joint stage of a run's images, begun from `volumes` ``(K, p)``."""
    products = precision.choose_products(run.config.precision, CPU)
    images, ctf, geometry = run.stored_images(), run.particles.ctf, run.geometry
    looks = Looks(images, ctf, geometry, search_radius(geometry), CPU, products)
    return JointStage(looks, volumes, torch.zeros(len(images), 1), len(volumes), run.config.seed)


def joint_scores(run: Run, where: Path) -> dict[str, Any]:
    """Classes, poses and what the run says of its species, as the stage joint left them."""
    state, _ = read_tensors(run.paths.stage("joint"))
    stage = joint_stage(run, state["volumes"])
    stage.load(state)
    clusters = read_tensors(run.paths.stage("features"))[0]["posteriors"].argmax(1).numpy()
    labels, (rotations, found) = Truth.of(where).labels, _best(state)
    scores = _scored(where, labels, rotations, found)
    scores["ari_clusters"] = round(rand_index(labels, clusters), 4)
    scores["log_likelihood"] = _likelihood(state)
    scores["species"] = species_scores(where, rotations, found, stage.records())
    return scores


def oracle_scores(where: Path, path: Path) -> dict[str, Any]:
    """The same of one full pass in the true maps: what this search could give at best.

    `kept` is what is left of it after two passes more, in the maps that the particles made: whether
    the truth stays where it is once it is found.
    """
    run = prepared(path, where / "particles.star")
    truth, geometry = Truth.of(where), run.geometry
    ball = Ball(search_radius(geometry), 3)
    maps = [read_mrc(file)[0] for file in sorted((where / "gt").glob("vol_*.mrc"))]
    scaled = [ball.from_map(torch.from_numpy(true).float(), geometry.scale) for true in maps]
    stage = joint_stage(run, torch.stack(scaled))
    stage.load(None)
    whole = next(n for n, plan in enumerate(PLANS) if not isinstance(plan, str) and plan.all)
    stage.advance(whole, Silent())
    state = stage.tensors()
    scores = _scored(where, truth.labels, *_best(state)) | {"log_likelihood": _likelihood(state)}
    for _ in range(MORE_PASSES):
        stage.advance(whole, Silent())
    found = _best(state := stage.tensors())[1]
    kept = {"ari_classes": round(rand_index(truth.labels, found), 4)}
    return scores | {"kept": kept | {"log_likelihood": _likelihood(state)}}


def _likelihood(state: dict[str, Tensor]) -> float:
    """Mean over particles of the best log-likelihood: what a run seeks to raise."""
    return round(float(state["scores"].amax(1).mean()), 2)


def _best(state: dict[str, Tensor]) -> tuple[Tensor, np.ndarray]:
    """Rotations ``(n, 3, 3)`` of each particle in its likeliest species ``(n,)``."""
    found = state["scores"].argmax(1)
    return state["rotations"][torch.arange(len(found)), found], found.numpy()


def _scored(
    where: Path, labels: np.ndarray, rotations: Tensor, found: np.ndarray
) -> dict[str, Any]:
    scores = {
        "species_found": len(np.unique(found)),
        "ari_classes": round(rand_index(labels, found), 4),
        "accuracy": round(label_scores(labels, found).accuracy, 4),
    }
    return scores | {"pose_errors": _errors(where, labels, rotations, found)}


def _errors(
    where: Path, labels: np.ndarray, rotations: Tensor, found: np.ndarray
) -> list[dict[str, Any]]:
    """Pose errors of each species, or of all particles where they are states of one."""
    if not states_of_one(where):
        return pose_errors(where, rotations, labels, found)
    poses = align(rotations, torch.from_numpy(Truth.of(where).rotations).float())
    together = {"median_degrees": round(poses.median_degrees, 2)}
    return [together | {"within_15": round(poses.share_within(15), 3)}]


def latent_scores(run: Run, where: Path) -> dict[str, Any]:
    """How well z tells the classes, or the conformation, and how good the decoded maps are."""
    latents, truth = run.epoch().latents(), read_truth(where)
    scores: dict[str, Any] = {}
    if run.config.poses == "abinitio":  # those that the maps are decoded at
        own, poses = _best(read_tensors(run.paths.stage("joint"))[0])[1], run.epoch().poses()
        scores["pose_errors"] = _errors(where, truth.labels, poses.rotations, own)
    if truth.latent is not None:
        scores |= conformation_scores(latents, truth.latent)
    else:
        found = cluster(latents, len(truth.names), "gmm", 0)
        scores["ari_latents"] = round(rand_index(truth.labels, found.labels), 4)
    scores["top1"] = round(nearest_scores(latents, truth.labels).top1, 4)
    classes = np.unique(truth.labels)
    some = np.unique(np.linspace(0, len(classes) - 1, min(MAPS, len(classes))).astype(int))
    rows = conformation_rows(latents, truth.labels)[some]
    searched = run.config.poses == "abinitio"
    decoder = VolumeDecoder(run.epoch().field_path, "cpu", "auto")
    maps = score_maps(decoder, latents[rows], rows, classes[some], truth.maps, searched)
    areas = {truth.names[number]: round(area, 4) for number, area in maps.by_class().items()}
    return scores | {"fsc_mean": round(maps.mean, 4), "fsc_best": maps.best, "fsc": areas}


def conformation_scores(latents: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    """How much of the true coordinates ``(n, c)`` or ``(n,)`` is in z ``(n, d)``.

    R² of the 15 nearest neighbours' mean over five folds, all coordinates together; and per
    coordinate the Spearman correlation with the best linear direction, fitted on the other folds.
    """
    from scipy.stats import spearmanr
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.neighbors import KNeighborsRegressor

    true, folds = true.reshape(len(true), -1), KFold(5, shuffle=True, random_state=0)
    near = cross_val_predict(KNeighborsRegressor(15), latents, true, cv=folds)
    linear = cross_val_predict(RidgeCV(np.logspace(-3, 3, 7)), latents, true, cv=folds)
    linear = linear.reshape(true.shape)  # one column comes back as none
    rhos = [abs(float(spearmanr(a, b)[0])) for a, b in zip(linear.T, true.T, strict=True)]
    return {
        "knn_r2": round(float(r2_score(true, near, multioutput="variance_weighted")), 4),
        "spearman": [round(rho, 4) for rho in rhos],
    }
