"""A planted scene of the training tests: an analytic molecule with an arm in one of two places."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.so3 import random_rotations
from napari_cryodeco.train.subspace import Observations

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
ARMS = (torch.tensor([[4.0, 0.0, 3.0]]), torch.tensor([[-3.0, -3.0, 1.0]]))


def molecule(state: int, points: Tensor) -> Tensor:
    """A body with an arm in one of two places."""
    return blobs(torch.cat([BODY, ARMS[state]]), points)


def make_scene(noise: float, seed: int = 0) -> Scene:
    generator = torch.Generator().manual_seed(seed)
    disc = Ball(BOX // 2 - 1, 2)
    rotations = random_rotations(COUNT, generator)
    states = torch.arange(COUNT) % 2
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
