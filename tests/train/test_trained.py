"""What a short training with known poses must achieve on the tiny set."""

from __future__ import annotations

from typing import Any

import mrcfile
import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from napari_cryodeco.explore.landscape import cluster
from napari_cryodeco.imaging import fsc
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.runs.progress import RunFollower
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_mrc


def test_species_are_told_apart(trained_run: Run, training_set: Any) -> None:
    found = cluster(trained_run.epoch().latents(), 2)
    assert adjusted_rand_score(training_set.labels, found.labels) > 0.9


def test_decoded_maps_are_those_of_the_species(trained_run: Run, training_set: Any) -> None:
    epoch, geometry = trained_run.epoch(), trained_run.geometry
    latents = epoch.latents()
    ball = Ball(geometry.radius, 3)
    for label, path in enumerate(training_set.maps):
        mean = torch.from_numpy(latents[training_set.labels == label].mean(0))
        h = epoch.decoder().decode_ball(mean[None], ball)
        found = ball.to_map(h, geometry.box, geometry.scale)[0]
        true = torch.from_numpy(read_mrc(path)[0])
        assert fsc.mean(found, true) > 0.5
        # in the units of the images, too: the same scale within a factor
        assert 0.5 < float((found * true).sum() / (true * true).sum()) < 1.5


def test_the_consensus_has_its_voxel_size(trained_run: Run, training_set: Any) -> None:
    with mrcfile.open(trained_run.epoch().consensus_path) as mrc:
        assert float(mrc.voxel_size.x) == training_set.pixel_size
        assert np.isfinite(mrc.data).all()


def test_numbers_were_told_along_the_way(trained_run: Run) -> None:
    update = RunFollower(trained_run.path).poll()
    assert update.status.state == "done"
    assert update.epochs == (1, 2)
    names = {metric.name for metric in update.metrics if metric.stage == "refine"}
    assert {"loss", "resolution"} <= names
