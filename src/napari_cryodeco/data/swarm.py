"""Operations on clouds of points: fill, join, repeat by symmetry, bend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Uniform rotation ``(3, 3)``."""
    return Rotation.random(random_state=rng).as_matrix()


def compact(axes: np.ndarray, spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Points ``(n, 3)`` on a jittered grid of `spacing` Å in an ellipsoid of half-axes ``(3,)``."""
    ticks = [np.arange(-half, half + spacing, spacing) for half in axes]
    grid = np.stack(np.meshgrid(*ticks, indexing="ij"), -1).reshape(-1, 3)
    grid = grid + rng.uniform(-0.4, 0.4, grid.shape) * spacing
    return grid[((grid / axes) ** 2).sum(1) <= 1]


def contact(bodies: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Join bodies ``(n, 3)``: each is moved along a random line until it touches what is there."""
    whole = bodies[0]
    for body in bodies[1:]:
        whole = np.concatenate([whole, touching(whole, body, rng)])
    return whole - whole.mean(0)


def touching(
    whole: np.ndarray, body: np.ndarray, rng: np.random.Generator, gap: float = 5.0
) -> np.ndarray:
    """Move `body` towards a random point of `whole` until they are `gap` Å apart."""
    target = whole[rng.integers(len(whole))]
    way = random_rotation(rng)[0]
    tree = cKDTree(whole[:: max(1, len(whole) // 1500)])
    probe = body[:: max(1, len(body) // 300)]
    near, far = 0.0, float(np.ptp(whole, axis=0).max() + np.ptp(body, axis=0).max())
    for _ in range(9):
        middle = (near + far) / 2
        distance = tree.query(probe + target + way * middle)[0].min()
        near, far = (middle, far) if distance < gap else (near, middle)
    return body + target + way * far


def replicate(
    points: np.ndarray, fold: int, dihedral: bool, rng: np.random.Generator
) -> np.ndarray:
    """Copies of `points` under Cn or Dn, pushed out from the axis until neighbours touch."""
    turned = points @ random_rotation(rng)
    about = Rotation.from_euler("z", 2 * np.pi / fold).as_matrix()
    tree = cKDTree(turned[:: max(1, len(turned) // 800)])
    near, far = 0.0, 2.0 * float(np.abs(turned).max()) / np.sin(np.pi / fold)
    probe = turned[:: max(1, len(turned) // 300)]
    for _ in range(9):
        middle = (near + far) / 2
        out = np.array([middle, 0.0, 0.0])
        moved = (probe + out) @ about.T - out
        near, far = (middle, far) if tree.query(moved)[0].min() < 4.0 else (near, middle)
    unit = turned + np.array([far, 0.0, 0.0])
    turns = Rotation.from_euler("z", 2 * np.pi / fold * np.arange(fold)[:, None]).as_matrix()
    ring = np.concatenate([unit @ turn.T for turn in turns.reshape(-1, 3, 3)])
    if dihedral:
        height = float(ring[:, 2].max()) - rng.uniform(0, 8)
        upper = ring - [0, 0, ring[:, 2].min() if rng.random() < 0.5 else height * -0.9]
        flip = Rotation.from_euler("zx", [rng.uniform(0, 2 * np.pi / fold), np.pi]).as_matrix()
        ring = np.concatenate([upper, upper @ flip.T])
    return ring


def smooth_field(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Displacements ``(n, 3)`` of about unit size: a few long waves through points within ±1."""
    waves = rng.normal(0, 1.3, (3, 6))
    phases = rng.uniform(0, 2 * np.pi, 6)
    return np.sin(points @ waves + phases) @ rng.normal(0, 6**-0.5, (6, 3))
