"""Particles as round dots in grey: where they are many the picture is darker. No fonts, no axes."""

from __future__ import annotations

import numpy as np

_DOTS = ((2_000, 4), (20_000, 2), (200_000, 1))  # up to so many particles: radius in pixels
_DOTS_SIDE = 1440  # pixels of a picture in which dots have this radius

Range = tuple[float, float]


def span(values: np.ndarray) -> Range:
    """Where nearly all values lie, with a margin; the few others are drawn at the edge."""
    low, high = np.percentile(values, (0.05, 99.95)).tolist()
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def places(x: np.ndarray, y: np.ndarray, ranges: tuple[Range, Range], side: int) -> np.ndarray:
    """Row and column ``(2, n)`` in a picture of `side` pixels; y grows upwards."""
    found = []
    for values, (low, high) in ((y, ranges[1]), (x, ranges[0])):
        share = (values - low) / (high - low)
        found.append(np.clip((share * side).astype(np.int64), 0, side - 1))
    found[0] = side - 1 - found[0]
    return np.stack(found)


def dots(at: np.ndarray, side: int, count: int, bold: float = 1.0) -> np.ndarray:
    """How many dots cover each pixel ``(side, side)``; `at` as of `places`.

    Dots are the larger the fewer the `count` of all particles is, and `bold` times as large.
    """
    counts = np.bincount(at[0] * side + at[1], minlength=side * side).reshape(side, side)
    radius = next((r for most, r in _DOTS if count <= most), 0)
    radius = round(bold * radius * side / _DOTS_SIDE)
    padded = np.pad(counts, radius)
    found = np.zeros_like(counts)
    reach = range(-radius, radius + 1)
    for i in reach:
        for j in reach:
            if i * i + j * j <= radius * radius + 1:
                found += padded[radius + i :, radius + j :][:side, :side]
    return found


def shades(covered: np.ndarray) -> np.ndarray:
    """From 0, no particle, to 1, the most of all; logarithmic."""
    return np.log1p(covered) / np.log1p(max(1, covered.max()))
