"""Second looks and splits: a right map is confirmed, a wrong one replaced, a mixture found out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from napari_cryodeco.imaging import so3
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.train import joint, retry
from napari_cryodeco.train.abinit import Looks
from napari_cryodeco.train.retry import agree, likeness, second_look
from napari_cryodeco.train.split import splits
from napari_cryodeco.train.stages import Silent
from napari_cryodeco.train.starts import Start, StartPlan

BOX, PIXEL, RADIUS, EACH = 28, 8.0, 9, 150


def tripod(lengths: tuple[float, ...]) -> torch.Tensor:
    """Arms of different length along three axes from one point, in pixels: no symmetry."""
    arms = [
        torch.linspace(0, length, 12)[:, None] * torch.eye(3)[axis]
        for axis, length in enumerate(lengths)
    ]
    points = torch.cat(arms)
    return points - points.mean(0)


def arc() -> torch.Tensor:
    """Three quarters of a ring, thicker at one end."""
    angle = torch.linspace(0, 1.5 * torch.pi, 36)
    points = 8 * torch.stack([angle.cos(), angle.sin(), 0.1 * angle**2], 1)
    return points - points.mean(0)


BODIES = (tripod((11, 7, 4)), arc())


def coefficients(points: torch.Tensor) -> torch.Tensor:
    """Hartley coefficients of points at the points of the 3-D ball, by the definition."""
    ball = Ball(RADIUS, 3)
    phase = 2 * torch.pi * ball.points.float() @ points.T / BOX
    return (phase.cos() + phase.sin()).sum(1) * torch.exp(-((ball.radii / BOX) ** 2) * 20)


@pytest.fixture(scope="module")
def looks() -> Looks:
    """Images of both bodies, the second after the first, noise 1."""
    generator = torch.Generator().manual_seed(7)
    ball, count = Ball(RADIUS, 2), EACH * len(BODIES)
    column = torch.ones(count, dtype=torch.float64)
    defocus = 8000 + 12000 * torch.rand(count, generator=generator).double()
    ctf = Ctf(defocus, defocus, 0 * column, 300 * column, 2.7 * column, 0.1 * column, 0 * column)
    k = ball.points.float()
    clean = []
    for i, rotation in enumerate(so3.random_rotations(count, generator)):
        where = (BODIES[i // EACH] @ rotation.T)[:, :2]
        phase = 2 * torch.pi * k @ where.T / BOX
        clean.append((phase.cos() + phase.sin()).sum(1))
    images = torch.stack(clean) * torch.exp(-((ball.radii / BOX) ** 2) * 20)
    images = images * ctf.at(ball.frequencies(BOX, PIXEL))
    images = images + torch.randn(images.shape, generator=generator)
    geometry = Geometry(BOX, PIXEL, RADIUS, float(BOX), BOX, PIXEL)
    return Looks(images, ctf, geometry, RADIUS, torch.device("cpu"))


def test_a_right_map_is_confirmed(looks: Looks) -> None:
    right = coefficients(BODIES[0])
    verdict = second_look(looks, torch.arange(EACH), right, 1, 2, lambda: None)
    assert verdict.confirmed
    assert verdict.volume is None or agree(verdict.volume, right, RADIUS)


def test_a_wrong_map_is_replaced_by_the_right_one(looks: Looks) -> None:
    wrong = coefficients(BODIES[1])
    verdict = second_look(looks, torch.arange(EACH), wrong, 1, 2, lambda: None)
    assert verdict.volume is not None
    assert agree(verdict.volume, coefficients(BODIES[0]), RADIUS)
    assert not agree(verdict.volume, wrong, RADIUS)


def test_too_few_particles_are_left_alone(looks: Looks) -> None:
    few = torch.arange(retry.FEWEST - 1)
    verdict = second_look(looks, few, coefficients(BODIES[1]), 1, 1, lambda: None)
    assert verdict.volume is None and not verdict.confirmed


def test_the_species_that_hides_two_is_split(looks: Looks) -> None:
    members = [torch.arange(20), torch.cat([torch.arange(20, EACH), torch.arange(EACH, 2 * EACH)])]
    (found,) = splits(looks, members, 3, 2, lambda: None)
    assert found.index == 1
    true = [coefficients(body) for body in BODIES]
    pairs = [[agree(volume, map_, RADIUS) for map_ in true] for volume in found.volumes]
    assert pairs in ([[True, False], [False, True]], [[False, True], [True, False]])


def test_a_stop_is_heard(looks: Looks) -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        second_look(looks, torch.arange(EACH), coefficients(BODIES[0]), 1, 2, stop)
    with pytest.raises(InterruptedError):
        splits(looks, [torch.arange(2 * EACH)], 1, 1, stop)


def test_features_bring_back_what_a_wrong_map_sent_away() -> None:
    random = np.random.default_rng(0)
    true = np.repeat([0, 1], 100)
    features = torch.from_numpy(random.normal(size=(200, 5)) + 4 * true[:, None]).float()
    own = torch.from_numpy(true.copy())
    own[:30] = 1  # sent away
    like = likeness(features, own)
    assert int((like[:100] == 0).sum()) >= 95
    assert int((like[100:] == 1).sum()) >= 95
    alone = torch.zeros(200, dtype=torch.long)
    assert torch.equal(likeness(features, alone), alone)


def test_more_species_take_more_steps_and_images() -> None:
    assert StartPlan.of(1, 16).steps == 250
    assert StartPlan.of(4, 16).steps == StartPlan.of(16, 16).steps == 1000
    assert StartPlan.of(16, 7).last == 7


def test_of_equally_likely_species_none_is_left_without_images(looks: Looks) -> None:
    evidence = looks.evidence(torch.arange(2 * EACH))
    plan = StartPlan(steps=2, batch=2 * EACH)
    start = Start(evidence, looks.power(), plan, torch.full((2 * EACH, 9), 1 / 9))
    start.step(0, torch.Generator().manual_seed(0))
    start.step(1, torch.Generator().manual_seed(1))
    powers = start.volumes.norm(dim=1)
    assert powers.min() > 0.2 * powers.max()


def test_an_emptied_species_gets_a_map_of_its_own_again(
    looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = joint.PLANS.index(None)
    monkeypatch.setattr(joint, "SAMPLE", EACH - 10)  # passes see a part of the particles
    right = coefficients(BODIES[0])
    noise = torch.randn(len(right), generator=torch.Generator().manual_seed(1))
    volumes = torch.stack([right, noise * right.std() * 5])  # nobody fits the second
    stage = joint.JointStage(looks, volumes, torch.randn(2 * EACH, 3), seed=2, threads=2)
    stage.load(None)
    stage.advance(0, Silent())
    seen = stage.tensors()["scores"].any(1)
    assert int(seen.sum()) == 2 * (EACH - 10)
    assert int(stage.posteriors[seen].argmax(1).sum()) < joint.FEWEST_LEFT
    stage.advance(look, Silent())
    saved = {name: value.clone() for name, value in stage.tensors().items()}
    resumed = joint.JointStage(looks, volumes, torch.randn(2 * EACH, 3), seed=2, threads=1)
    resumed.load(saved)
    for one in (stage, resumed):
        for unit in (look + 1, len(joint.PLANS) - 4):
            one.advance(unit, Silent())
    assert torch.equal(stage.posteriors, resumed.posteriors)
    labels = np.arange(2 * EACH) // EACH
    assert adjusted_rand_score(labels, stage.posteriors.argmax(1)) > 0.95


def test_runs_of_older_versions_are_told_apart(looks: Looks) -> None:
    stage = joint.JointStage(looks, torch.zeros(2, 10), torch.zeros(2 * EACH, 3))
    with pytest.raises(ValueError, match="earlier version"):
        stage.load({"volumes": torch.zeros(2, 10)})
