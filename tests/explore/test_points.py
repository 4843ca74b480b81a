"""Where one points first: a place that particles speak for."""

from __future__ import annotations

import numpy as np

from napari_cryodeco.explore.points import densest


def test_the_densest_place_is_in_the_largest_cluster_and_not_between():
    draw = np.random.default_rng(0)
    centres = np.array([[-3.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    cluster = draw.choice(3, 2000, p=[0.2, 0.5, 0.3])
    x, y = (centres[cluster] + 0.3 * draw.normal(size=(2000, 2))).T
    x[:5] = np.nan  # a UMAP may leave some out
    row = densest(x, y)
    assert cluster[row] == 1
    assert np.hypot(x[row] - 3, y[row]) < 0.3


def test_one_place_for_all_is_that_place():
    assert densest(np.zeros(4), np.ones(4)) in range(4)
    assert densest(np.array([2.0]), np.array([5.0])) == 0
