"""Ab initio on images of two very different bodies: clusters, volumes and classes from nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.spectrum import signal_power
from napari_cryodeco.stage_config import AbinitioConfig
from napari_cryodeco.train.abinit import AbinitStage, side_by_side
from napari_cryodeco.train.features import (
    FeatureStage,
    classical_features,
    prior_features,
    without_defocus,
)
from napari_cryodeco.train.joint import JointStage
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.stages import Reporter, Silent
from napari_cryodeco.train.starts import StartPlan

COUNT = 120


@pytest.fixture
def mixture(rod_and_ball):
    return rod_and_ball.looks, rod_and_ball.labels.numpy()


def feature_stage(looks: Looks, classes: int | None) -> FeatureStage:
    def compute(report: Reporter) -> torch.Tensor:
        return classical_features(looks.images, looks.ctf, looks.geometry, report)

    stage = FeatureStage(compute, COUNT, classes, seed=0)
    stage.load(None)
    stage.advance(0, Silent())
    return stage


def test_features_separate_a_rod_from_a_ball(mixture):
    looks, labels = mixture
    posteriors = feature_stage(looks, 2).posteriors
    assert adjusted_rand_score(labels, posteriors.argmax(1)) > 0.8


def test_the_number_of_species_is_found_and_one_is_one(mixture):
    looks, _ = mixture
    assert feature_stage(looks, None).posteriors.shape[1] == 2
    assert feature_stage(looks, 1).posteriors.shape == (COUNT, 1)


def test_too_many_species_for_the_particles_is_a_sentence(mixture):
    looks, _ = mixture
    with pytest.raises(ValueError, match="too few for 60 species"):
        feature_stage(looks, 60)


def test_features_of_a_prior_are_clustered_too(mixture):
    looks, _ = mixture
    random = torch.Generator().manual_seed(0)
    ctf = looks.ctf[torch.arange(4 * COUNT) % COUNT]
    labels = torch.randint(0, 2, (len(ctf),), generator=random)
    centres = torch.randn(2, 24, generator=random) * 3

    def embed(rows: torch.Tensor) -> torch.Tensor:
        return centres[labels[rows]] + torch.randn(len(rows), 24, generator=random)

    stage = FeatureStage(
        lambda report: prior_features(embed, ctf, report), len(ctf), 2, seed=0, shared=True
    )
    stage.load(None)
    stage.advance(0, Silent())
    assert adjusted_rand_score(labels, stage.posteriors.argmax(1)) > 0.99


def test_what_the_defocus_predicts_is_taken_out(mixture):
    looks, _ = mixture
    defocus = looks.ctf.defocus_u
    wave = torch.stack([(defocus / 1e4) ** 2, torch.randn(COUNT).double()], 1)
    rest = without_defocus(wave.float(), looks.ctf)
    correlation = np.corrcoef(rest[:, 1].numpy(), ((defocus / 1e4) ** 2).numpy())[0, 1]
    assert abs(correlation) < 0.05


def test_signal_power_is_that_of_the_clean_slices():
    radius, ball = 9, Ball(9, 2)
    ctf = torch.full((400, len(ball)), 0.7)
    clean = torch.randn(400, len(ball)) * 3
    noisy = clean * ctf + torch.randn(400, len(ball))
    power = signal_power(noisy, ctf, ball, radius)[1:]
    assert torch.allclose(power, torch.full_like(power, 9.0), rtol=0.2)


def test_classes_from_nothing_and_the_same_after_a_restart(mixture, monkeypatch):
    looks, labels = mixture
    short = StartPlan(steps=100, batch=32, last=6)
    monkeypatch.setattr(StartPlan, "of", lambda species, looks: short)
    posteriors = feature_stage(looks, 2).posteriors
    config = AbinitioConfig(classes=2, restarts=2)
    whole = AbinitStage(looks, posteriors, config, seed=4, threads=2)
    whole.load(None)
    saved: dict[str, torch.Tensor] = {}
    for unit in range(whole.units()):
        whole.advance(unit, Silent())
        if unit == 5:
            saved = {name: value.clone() for name, value in whole.tensors().items()}
    resumed = AbinitStage(looks, posteriors, config, seed=4, threads=2)
    resumed.load(saved)
    for unit in range(6, resumed.units()):
        resumed.advance(unit, Silent())
    assert torch.equal(resumed.volumes, whole.volumes)
    joint = JointStage(looks, whole.volumes, torch.randn(COUNT, 4), 2)
    joint.load(None)
    joint.advance(0, Silent())
    assignment = joint.assignment()
    assert adjusted_rand_score(labels, assignment.posteriors.argmax(1)) > 0.9
    assert torch.allclose(assignment.posteriors.sum(1), torch.ones(COUNT), atol=1e-5)
    assert assignment.poses.shifts.abs().max() < 0.2 * looks.geometry.length


def test_a_start_of_an_older_version_is_told_apart(mixture):
    looks, labels = mixture
    posteriors = torch.nn.functional.one_hot(torch.from_numpy(labels)).float()
    stage = AbinitStage(looks, posteriors, AbinitioConfig(classes=2), seed=0, threads=1)
    with pytest.raises(ValueError, match="earlier version"):
        stage.load({"numerator.0": torch.zeros(2, 5), "denominator.0": torch.zeros(2, 5)})
    stage.load({"volumes": torch.zeros(2, 5), "scores": torch.zeros(3)})  # finished: as it is
    stage.load({"numerator.1": torch.zeros(2, 5), "handicaps.1": torch.zeros(2)})  # the first ended


def test_work_side_by_side_keeps_its_order_and_the_threads():
    before = torch.get_num_threads()
    assert side_by_side(lambda i: i * i, range(5), 2) == [0, 1, 4, 9, 16]
    assert torch.get_num_threads() == before
