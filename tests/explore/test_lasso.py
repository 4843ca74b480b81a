"""The lasso selects exactly what a point-by-point test selects, whatever is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import points_in_poly

from napari_cryodeco.explore.lasso import inside


def by_definition(x: np.ndarray, y: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Count the edges that cross the ray to the right of each point, edge by edge."""
    odd = np.zeros(len(x), dtype=bool)
    for ends in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        (x0, y0), (x1, y1) = sorted(ends, key=lambda end: end[1])
        between = (y >= y0) & (y < y1)
        where = np.flatnonzero(between)
        odd[where] ^= x[where] < x0 + (y[where] - y0) * (x1 - x0) / (y1 - y0)
    return odd


def cloud(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(seed).normal(size=(2, count)))


def blob(vertices: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, vertices))
    radius = rng.uniform(0.3, 1.5, vertices)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def scribble(vertices: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(vertices, 2))


@pytest.mark.parametrize("count", [300, 30_000])
@pytest.mark.parametrize("draw", [blob, scribble])
@pytest.mark.parametrize("vertices", [3, 4, 17, 120, 600])
def test_it_agrees_with_the_definition(count: int, draw, vertices: int) -> None:
    x, y = cloud(count)
    for seed in range(3):
        polygon = draw(vertices, seed)
        assert np.array_equal(inside(x, y, polygon), by_definition(x, y, polygon))


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_scikit_image(seed: int) -> None:
    x, y = cloud(20_000, seed)
    polygon = scribble(40, seed)
    theirs = points_in_poly(np.stack([x, y], 1), polygon)
    assert np.array_equal(inside(x, y, polygon), theirs)


def test_points_on_a_lattice_and_edges_between_them() -> None:
    """Vertices and edges that pass exactly through points: the hardest case of rounding."""
    x, y = (axis.ravel().astype(float) for axis in np.meshgrid(np.arange(200), np.arange(200)))
    for seed in range(10):
        polygon = np.random.default_rng(seed).integers(-5, 205, (12, 2)).astype(float)
        assert np.array_equal(inside(x, y, polygon), by_definition(x, y, polygon))


def test_two_halves_of_a_square_share_no_point_and_miss_none() -> None:
    x, y = (axis.ravel() / 100 for axis in np.meshgrid(np.arange(100), np.arange(100)))
    lower = np.array([[0, 0], [1, 0], [1, 1]])
    upper = np.array([[0, 0], [1, 1], [0, 1]])
    whole = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    halves = [inside(x, y, triangle) for triangle in (lower, upper)]
    assert not (halves[0] & halves[1]).any()
    assert np.array_equal(halves[0] | halves[1], inside(x, y, whole))


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e9])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_any_scale_and_place(scale: float, offset: float) -> None:
    x, y = (scale * (axis + offset) for axis in cloud(30_000))
    polygon = scale * (scribble(30, 1) + offset)
    assert np.array_equal(inside(x, y, polygon), by_definition(x, y, polygon))


def test_direction_start_and_repeated_vertices_do_not_matter() -> None:
    x, y = cloud(30_000)
    polygon = scribble(25, 2)
    expected = inside(x, y, polygon)
    assert expected.any()
    for same in (polygon[::-1], np.roll(polygon, 7, axis=0), np.repeat(polygon, 2, axis=0)):
        assert np.array_equal(inside(x, y, same), expected)


def test_thin_and_degenerate_outlines() -> None:
    x, y = cloud(30_000)
    sliver = np.array([[-3, 0], [3, 1e-9], [3, 2e-9]])
    assert np.array_equal(inside(x, y, sliver), by_definition(x, y, sliver))
    assert not inside(x, y, np.array([[-3, 0.5], [3, 0.5], [0, 0.5]])).any()
    assert not inside(x, y, np.array([[0.0, 0.0], [1.0, 1.0]])).any()
    assert not inside(x, y, np.zeros((0, 2))).any()


def test_points_that_are_not_finite_are_outside() -> None:
    x, y = cloud(5000)
    x[::7], y[::11] = np.nan, np.inf
    square = np.array([[-9, -9], [9, -9], [9, 9], [-9, 9]])
    assert np.array_equal(inside(x, y, square), np.isfinite(x) & np.isfinite(y))


def test_single_precision_points_count_as_what_they_are() -> None:
    x, y = (axis.astype(np.float32) for axis in cloud(30_000))
    polygon = scribble(30, 4)
    wide = by_definition(x.astype(float), y.astype(float), polygon)
    assert np.array_equal(inside(x, y, polygon), wide)


def test_wrong_shapes_are_told() -> None:
    x, y = cloud(5)
    with pytest.raises(ValueError, match=r"A lasso takes points"):
        inside(x, y[:3], scribble(4, 0))
    with pytest.raises(ValueError, match="not finite: draw it again"):
        inside(x, y, np.full((3, 2), np.nan))
