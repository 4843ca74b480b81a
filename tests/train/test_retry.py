"""Second looks and splits: a right map is confirmed, a wrong one replaced, a mixture found out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_cryodeco.imaging import so3
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.train import retry, split
from napari_cryodeco.train.abinit import Looks
from napari_cryodeco.train.retry import agree, candidates, second_look
from napari_cryodeco.train.starts import StartPlan

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
    found = split.split(looks, members, 3, 2, lambda: None)
    assert found is not None and found.index == 1
    true = [coefficients(body) for body in BODIES]
    pairs = [[agree(volume, map_, RADIUS) for map_ in true] for volume in found.volumes]
    assert pairs in ([[True, False], [False, True]], [[False, True], [True, False]])


def test_a_stop_is_heard(looks: Looks) -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        second_look(looks, torch.arange(EACH), coefficients(BODIES[0]), 1, 2, stop)
    with pytest.raises(InterruptedError):
        split.split(looks, [torch.arange(2 * EACH)], 1, 1, stop)


def test_features_bring_back_what_a_wrong_map_sent_away() -> None:
    random = np.random.default_rng(0)
    true = np.repeat([0, 1], 100)
    features = torch.from_numpy(random.normal(size=(200, 5)) + 4 * true[:, None]).float()
    own = torch.from_numpy(true.copy())
    own[:30] = 1  # sent away
    rows = candidates(features, own, 0)
    assert set(range(30, 100)) <= set(rows.tolist())
    assert len(set(range(30)) & set(rows.tolist())) >= 27
    assert len(rows) < 105
    assert candidates(features, torch.zeros(200, dtype=torch.long), 0).tolist() == list(range(200))


def test_an_image_is_tried_with_the_species_that_its_features_like() -> None:
    assert StartPlan.of(1, 16).steps == 250
    assert StartPlan.of(4, 16).steps == StartPlan.of(16, 16).steps == 1000
    assert StartPlan.of(16, 7).last == 7
