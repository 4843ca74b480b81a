"""Planted scenes of the training tests: a molecule with an arm in two places, and mixtures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.so3 import random_rotations
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.observations import Observations

BOX, RADIUS, COUNT = 20, 7, 240


@dataclass(frozen=True)
class Scene:
    """Images of both states at known poses; `states` ``(n,)`` is the truth."""

    seen: Observations
    states: Tensor

    @staticmethod
    def molecule(state: int) -> Tensor:
        """True coefficients of a state on ``Ball(7, 3)``."""
        return molecule(state, Ball(RADIUS, 3).points.float())


def blobs(where: Tensor, points: Tensor, width: float = 1.2) -> Tensor:
    """Hartley coefficients of Gaussian balls at `where` ``(m, 3)`` px: exact at any `points`."""
    phase = 2 * torch.pi / BOX * points @ where.T
    damping = torch.exp(-2 * (torch.pi * width / BOX) ** 2 * (points**2).sum(-1, keepdim=True))
    return ((phase.cos() + phase.sin()) * damping).sum(-1)


BODY = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.5, -1.0], [-1.0, 3.0, 1.0], [0.0, -2.0, 3.0]])
ARMS = tuple(torch.tensor([at]) for at in ([4.0, 0.0, 3.0], [-3.0, -3.0, 1.0], [0.0, 4.0, -2.0]))


def molecule(state: int, points: Tensor) -> Tensor:
    """A body with an arm in one of three places."""
    return blobs(torch.cat([BODY, ARMS[state]]), points)


def make_scene(noise: float, seed: int = 0, states_in_all: int = 2) -> Scene:
    generator = torch.Generator().manual_seed(seed)
    disc = Ball(BOX // 2 - 1, 2)
    rotations = random_rotations(COUNT, generator)
    states = torch.arange(COUNT) % states_in_all
    where = disc.points.float() @ rotations[:, :2]
    clean = torch.stack([molecule(int(s), w) for s, w in zip(states, where, strict=True)])
    shifts = torch.randn(COUNT, 2, generator=generator)
    values = {"angle": 0.3, "voltage": 300.0, "cs": 2.7, "amplitude": 0.1, "phase": 0.0}
    column = {name: torch.full((COUNT,), value) for name, value in values.items()}
    defocus = 5e3 + 1e4 * torch.rand(COUNT, generator=generator)
    ctf = Ctf(defocus_u=defocus, defocus_v=defocus + 200, **column)
    geometry = Geometry(BOX, 6.0, BOX // 2 - 1, 1.0, BOX, 6.0)
    gain = ctf.at(disc.frequencies(BOX, 6.0))
    images = disc.shift(clean * gain, -shifts / geometry.length)  # poses centre the image again
    images = images / noise + torch.randn(images.shape, generator=generator)
    seen = Observations(images.half(), ctf, Poses(rotations, shifts), geometry, RADIUS)
    return Scene(seen, states)


@pytest.fixture(scope="session")
def scene() -> Scene:
    """240 images of 20 px, noise a third of the usual."""
    return make_scene(noise=0.3)


@pytest.fixture(scope="session")
def noisy_scene() -> Scene:
    """Another 240 images, twice as noisy."""
    return make_scene(noise=0.6, seed=2)


@pytest.fixture
def plant() -> Callable[[float, int, int], Scene]:
    """Other scenes: of noise, seed and number of states."""
    return make_scene


@dataclass(frozen=True)
class Mixture:
    """Images of bodies, noise 1; `labels`, `maps` ``(K, p)`` and `poses` are true."""

    looks: Looks
    labels: Tensor
    maps: Tensor
    poses: Poses


def mixture(
    bodies: tuple[Tensor, ...], labels: Tensor, width: float, extent: float, gain: float, seed: int
) -> Mixture:
    """Images of points ``(m, 3)``, px, blurred by `width` px and moved up to `extent` box sides."""
    box, pixel_size, radius, count = 28, 8.0, 9, len(labels)
    generator = torch.Generator().manual_seed(seed)
    ball, column = Ball(radius, 2), torch.ones(count, dtype=torch.float64)
    defocus = 8000 + 12000 * torch.rand(count, generator=generator).double()
    ctf = Ctf(defocus, defocus, 0 * column, 300 * column, 2.7 * column, 0.1 * column, 0 * column)
    rotations = random_rotations(count, generator)
    clean = torch.stack(
        [
            _points(bodies[label] @ rotation.T, ball, box, width)
            for label, rotation in zip(labels.tolist(), rotations, strict=True)
        ]
    )
    shifts = (torch.rand(count, 2, generator=generator) - 0.5) * 2 * extent
    images = ball.shift(clean * ctf.at(ball.frequencies(box, pixel_size)), shifts) * gain
    images = images + torch.randn(images.shape, generator=generator)
    geometry = Geometry(box, pixel_size, radius, float(box), box, pixel_size)
    maps = torch.stack([_points(body, Ball(radius, 3), box, width) * gain for body in bodies])
    looks = Looks(images, ctf, geometry, radius, torch.device("cpu"))
    return Mixture(looks, labels, maps, Poses(rotations, -shifts * geometry.length))


def _points(where: Tensor, ball: Ball, box: int, width: float) -> Tensor:
    """Hartley coefficients of blurred points by the definition; of images, of x and y."""
    phase = 2 * torch.pi / box * ball.points.float() @ where[:, : ball.ndim].T
    blur = torch.exp(-2 * (torch.pi * width * ball.radii / box) ** 2)
    return (phase.cos() + phase.sin()).sum(1) * blur


@pytest.fixture(scope="session")
def plant_bodies() -> Callable[..., Mixture]:
    """Other mixtures: see :func:`mixture`."""
    return mixture


@pytest.fixture(scope="session")
def rod_and_ball() -> Mixture:
    """120 images of a long bent rod and a small ball, by turns, off their centre."""
    t = torch.linspace(-1, 1, 30)
    rod = torch.stack([6 * t, 2.5 * t**2, torch.zeros_like(t)], 1)
    ball = torch.randn(30, 3, generator=torch.Generator().manual_seed(3)) * 1.2
    bodies = (rod - rod.mean(0), ball - ball.mean(0))
    return mixture(bodies, torch.arange(120) % 2, 1.0, 0.02, 1.5, seed=1)


@pytest.fixture(scope="session")
def tripod_and_arc() -> Mixture:
    """See :func:`make_tripod_and_arc`."""
    return make_tripod_and_arc()


def make_tripod_and_arc() -> Mixture:
    """150 images of three arms of different length, then 150 of three quarters of a ring."""
    arms = [torch.linspace(0, length, 12) for length in (11, 7, 4)]
    tripod = torch.cat([arm[:, None] * torch.eye(3)[axis] for axis, arm in enumerate(arms)])
    angle = torch.linspace(0, 1.5 * torch.pi, 36)
    arc = 8 * torch.stack([angle.cos(), angle.sin(), 0.1 * angle**2], 1)
    bodies = (tripod - tripod.mean(0), arc - arc.mean(0))
    return mixture(bodies, torch.arange(300) // 150, 1.0, 0.0, 1.0, seed=7)
