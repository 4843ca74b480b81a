"""Viewing directions as an equal-area map of the sphere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

WIDTH, HEIGHT = 4 * np.sqrt(2.0), 2 * np.sqrt(2.0)  # of the map of the whole sphere of radius 1


def project(azimuth: Floats, tilt: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Places x, y ``(n,)`` on Hammer's map of directions with these angles in degrees.

    The map is an ellipse `WIDTH` by `HEIGHT` about 0, 0 and keeps areas: equal densities on the
    sphere are equal densities on it. Tilt 0 is at the top, 180 at the bottom, azimuth 0 in the
    middle, ±180 at the rim. NaN stays NaN.

    Source: E. Hammer, Petermanns Mitteilungen 38 (1892), 85–87.
    """
    half = np.radians((np.asarray(azimuth, np.float32) + 180.0) % 360.0 - 180.0) / 2
    down = np.radians(np.asarray(tilt, np.float32))
    flat = np.sin(down)  # cosine of the latitude
    divisor = np.sqrt(1 + flat * np.cos(half)) / np.float32(np.sqrt(2.0))
    x, y = 2 * flat * np.sin(half) / divisor, np.cos(down) / divisor
    return x.astype(np.float32), y.astype(np.float32)


def directions(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Azimuth and tilt in degrees of places on the map; NaN beyond its rim."""
    inside = (x / (WIDTH / 2)) ** 2 + (y / (HEIGHT / 2)) ** 2 <= 1
    w = np.sqrt(np.where(inside, 1 - (x / 4) ** 2 - (y / 2) ** 2, np.nan))
    azimuth = np.degrees(2 * np.arctan2(w * x, 2 * (2 * w**2 - 1)))
    return azimuth, np.degrees(np.arccos(np.clip(w * y, -1, 1)))


def graticule() -> list[Floats]:
    """Lines ``(m, 2)`` of the map every 30° of tilt and 60° of azimuth; the last is its rim."""
    along = np.linspace(-179.999, 179.999, 121)
    down = np.linspace(0.0, 180.0, 61)
    lines = [np.column_stack(project(along, np.full(121, t))) for t in (30, 60, 90, 120, 150)]
    lines += [np.column_stack(project(np.full(61, a), down)) for a in (-120, -60, 0, 60, 120)]
    left, right = (np.column_stack(project(np.full(61, a), down)) for a in (-179.999, 179.999))
    return [*lines, np.concatenate([left, right[::-1]])]
