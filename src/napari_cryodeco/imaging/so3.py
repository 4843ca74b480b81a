"""Rotations: grids, random draws, RELION's Euler angles, vectors (algorithm.md §1.7, §4.3)."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def euler_to_matrix(angles: Tensor) -> Tensor:
    """Matrices ``(..., 3, 3)``, ``r_image = R @ r_volume``, of RELION (rot, tilt, psi) in rad."""
    (ca, cb, cg), (sa, sb, sg) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = (
        torch.stack([cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb], -1),
        torch.stack([-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb], -1),
        torch.stack([sb * ca, sb * sa, cb], -1),
    )
    return torch.stack(rows, -2)


def matrix_to_euler(rotations: Tensor) -> Tensor:
    """RELION (rot, tilt, psi) in rad ``(..., 3)`` of matrices; rot is 0 at the poles."""
    r = rotations.double()
    tilt = r[..., 2, 2].clamp(-1, 1).acos()
    rot = torch.atan2(r[..., 2, 1], r[..., 2, 0])
    psi = torch.atan2(r[..., 1, 2], -r[..., 0, 2])
    pole = r[..., 2, :2].norm(dim=-1) < 1e-6
    upper = torch.atan2(r[..., 0, 1], r[..., 0, 0])
    lower = torch.atan2(r[..., 1, 0], -r[..., 0, 0])
    psi = torch.where(pole, torch.where(r[..., 2, 2] > 0, upper, lower), psi)
    rot = torch.where(pole, torch.zeros_like(rot), rot)
    return torch.stack([rot, tilt, psi], -1).to(rotations.dtype)


def rotvec_to_matrix(rotvec: Tensor) -> Tensor:
    """``exp([w]×)`` of rotation vectors ``(..., 3)`` in radians (Rodrigues).

    The identity at zero, differentiable there.

    Written out rather than taken from roma: importing that imports triton, which kills a process
    whose OpenGL is Mesa's software renderer, as the window's may be (two LLVMs in one process).
    """
    x, y, z = rotvec.unbind(-1)
    none = torch.zeros_like(x)
    cross = torch.stack([none, -z, y, z, none, -x, -y, x, none], -1).unflatten(-1, (3, 3))
    angle = rotvec.norm(dim=-1)[..., None, None]
    first = torch.sinc(angle / torch.pi)
    second = 0.5 * torch.sinc(angle / (2 * torch.pi)) ** 2
    return torch.eye(3).to(rotvec) + first * cross + second * (cross @ cross)


def angle_between(first: Tensor, second: Tensor) -> Tensor:
    """Angle in radians between rotations ``(..., 3, 3)``, accurate at small angles."""
    chord = (first - second).flatten(-2).norm(dim=-1)  # Frobenius norm = 2·sqrt(2)·sin(angle / 2)
    return 2 * (chord / (2 * 2**0.5)).clamp(max=1).asin()


def spiral(heights: Tensor) -> Tensor:
    """Unit vectors ``(m, 3)`` at `heights` ``(m,)``, each the golden angle on from the one before.

    Evenly spread heights give evenly spread directions (a Fibonacci sphere).
    """
    turn = torch.arange(len(heights), device=heights.device) + 0.5
    angle, across = turn * math.pi * (3 - math.sqrt(5)), (1 - heights**2).sqrt()
    return torch.stack([across * angle.cos(), across * angle.sin(), heights], 1)


def random_rotations(count: int, generator: torch.Generator) -> Tensor:
    """``(count, 3, 3)`` uniform on SO(3), on the generator's device."""
    quaternions = torch.randn(count, 4, generator=generator, device=generator.device)
    x, y, z, w = (quaternions / quaternions.norm(dim=1, keepdim=True)).unbind(1)
    rows = (
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], -1),
        torch.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], -1),
        torch.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], -1),
    )
    return torch.stack(rows, -2)


@lru_cache(maxsize=8)
def ring_grid(nside: int) -> Tensor:
    """``12·nside²`` HEALPix directions times ``6·nside`` in-plane angles: ``(72·nside³, 3, 3)``.

    nside 2: 576 rotations (30° apart), 3: 1944 (20°), 4: 4608 (15°), 8: 36 864 (7.5°).
    """
    try:  # brings astropy and matplotlib, a second of imports that only a search needs
        import healpy
    except ImportError:  # Windows: astropy-healpix has the same layer
        from astropy_healpix import healpy

    theta, phi = healpy.pix2ang(nside, np.arange(12 * nside**2))
    turns = 6 * nside
    psi = (torch.arange(turns, dtype=torch.float64) + 0.5) * (2 * torch.pi / turns)
    angles = torch.empty(len(theta), turns, 3, dtype=torch.float64)
    angles[..., 0] = torch.as_tensor(phi)[:, None]
    angles[..., 1] = torch.as_tensor(theta)[:, None]
    angles[..., 2] = psi
    return euler_to_matrix(angles.reshape(-1, 3)).float()


def grid(level: int) -> Tensor:
    """:func:`ring_grid` at ``nside = 2^level``, the levels of the hierarchical search."""
    return ring_grid(2**level)


def grid_spacing(nside: int) -> float:
    """Spacing in radians of :func:`ring_grid`."""
    return 2 * torch.pi / (6 * nside)


def octree_children(rotations: Tensor, half_step: float) -> Tensor:
    """Neighbours ``exp([δ]×) R``, ``δ ∈ {±half_step}³`` rad: ``(..., 3, 3) → (..., 8, 3, 3)``."""
    corners = torch.tensor(list(itertools.product((-half_step, half_step), repeat=3)))
    steps = rotvec_to_matrix(corners.to(rotations))
    return steps @ rotations.unsqueeze(-3)
