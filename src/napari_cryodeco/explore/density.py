"""HDBSCAN of a sample, and which of its clusters every other particle belongs to."""

from __future__ import annotations

import numpy as np

DENSITY_LIMIT = 20_000  # rows that are fitted: the cost grows with the square
_NEIGHBOURS = 10  # density about a particle is that of so many; more calls more particles noise


def assign_by_density(
    points: np.ndarray, smallest: int, seed: int = 0, most: int = DENSITY_LIMIT
) -> tuple[np.ndarray, np.ndarray]:
    """Labels ``(n,)`` int64 (−1: in no cluster) and strengths of membership ``(n,)`` 0…1.

    Of more than `most` points a random part is fitted, with clusters smaller in proportion. Each
    other point takes label and strength of the fitted one that is nearest by mutual reachability
    (the largest of their distance and the distances to the tenth neighbour of either), unless that
    is farther than any member of the cluster reaches: then it is in none.

    Source: Campello, Moulavi, Sander 2013 (sklearn); McInnes & Healy 2017 for the others' labels.

    Raises
    ------
    ValueError
        When no region holds `smallest` points.
    """
    from sklearn.cluster import HDBSCAN  # sklearn takes seconds to import

    n = len(points)
    rows = np.arange(n)
    if n > most:
        rows = np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
    fewest = max(2, round(smallest * len(rows) / n))
    model = HDBSCAN(min_cluster_size=fewest, min_samples=min(_NEIGHBOURS, fewest), copy=True)
    fitted = model.fit(points[rows])
    if fitted.labels_.max() < 0:
        raise ValueError(
            f"No dense region of {smallest} particles stands out from the rest: allow smaller"
            " clusters, or use a mixture (gmm)."
        )
    labels, strength = np.full(n, -1, dtype=np.int64), np.zeros(n)
    labels[rows], strength[rows] = fitted.labels_, fitted.probabilities_
    others = np.setdiff1d(np.arange(n), rows, assume_unique=True)
    if len(others):
        labels[others], strength[others] = _join(
            points[rows], fitted.labels_, fitted.probabilities_, points[others]
        )
    return labels, strength


def _join(
    fitted: np.ndarray, labels: np.ndarray, strength: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.neighbors import NearestNeighbors

    count = min(_NEIGHBOURS, len(fitted) - 1)
    search = NearestNeighbors(n_neighbors=count).fit(fitted)
    core = search.kneighbors(return_distance=True)[0][:, -1]  # without the point itself
    reach = np.array([core[labels == i].max() for i in range(int(labels.max()) + 1)])
    distance, near = search.kneighbors(points)
    mutual = np.maximum(np.maximum(distance, distance[:, -1:]), core[near])
    # Of equal ones (a point's own core distance often decides) the nearest comes first.
    chosen = mutual.argmin(1)
    rows = np.arange(len(points))
    joined, far = labels[near[rows, chosen]], mutual[rows, chosen]
    outside = (joined < 0) | (far > reach[joined])
    return np.where(outside, -1, joined), np.where(outside, 0.0, strength[near[rows, chosen]])
