"""Clusters of the latents. Row i is particle i; everything is seeded.

Clusters are sought in z itself where it has at most 16 dimensions, else in its 16-dimensional UMAP:
in many dimensions all distances are alike. Whatever they are sought in, a centre is a mean of z.

They are numbered by the leaves of the tree of their centres, from its end with the smaller PC1:
clusters near in z have near numbers, so the numbers follow a motion, and a second run gives the
same ones.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_cryodeco.explore.density import DENSITY_LIMIT, assign_by_density
from napari_cryodeco.explore.partition import Clustering
from napari_cryodeco.explore.projection import (
    FIT_LIMIT,
    Progress,
    checked,
    principal_axes,
    umap,
)

Method = Literal["gmm", "kmeans"]
__all__ = [
    "MOST_DIMENSIONS",
    "ClusterCurve",
    "Clustering",
    "Method",
    "cluster",
    "cluster_by_density",
    "features_of",
    "fit",
    "partition_again",
    "space_of",
    "suggest",
]

MOST_DIMENSIONS = 16  # of z in which clusters are sought, and of the UMAP of a larger one


@dataclass(frozen=True)
class ClusterCurve:
    """How well each number of clusters fits, ``(m,)`` each: low BIC or high silhouette is good."""

    k: np.ndarray
    bic: np.ndarray
    silhouette: np.ndarray
    suggested: int

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "k": self.k.tolist(),
            "bic": self.bic.tolist(),
            "silhouette": self.silhouette.tolist(),
            "suggested": self.suggested,
        }


def cluster(
    latents: np.ndarray,
    k: int,
    method: Method = "gmm",
    seed: int = 0,
    epoch: int | None = None,
    space: np.ndarray | None = None,
) -> Clustering:
    """Sort latents ``(n, d)`` into `k` clusters.

    z is divided by one number (its r.m.s. spread), not per axis: an axis that hardly varies stays
    unimportant for k-means and cannot be blown up to noise. A mixture has full covariances, over
    the leading principal components that `n` and `k` can support (five particles a cluster for
    each). Fitted on at most 100 000 particles; all get a label.

    Parameters
    ----------
    space
        ``(n, c)`` where clusters are sought; None: :func:`space_of` the latents.

    Raises
    ------
    ValueError
        When there are fewer particles than clusters, or the method is unknown.
    """
    z = checked(latents)
    if k < 1 or k > len(z):
        raise ValueError(f"{k} clusters of {len(z)} particles: choose k between 1 and {len(z)}.")
    features = features_of(space_of(z, seed) if space is None else checked(space), k, method)
    labels, posteriors, fitted = fit(features, k, method, seed)
    return _numbered(z, features, labels, posteriors, fitted, method, seed, epoch)


def cluster_by_density(
    latents: np.ndarray,
    smallest: int | None = None,
    seed: int = 0,
    epoch: int | None = None,
    space: np.ndarray | None = None,
) -> Clustering:
    """Sort latents ``(n, d)`` into as many dense regions as there are (HDBSCAN).

    Particles between them are unassigned: label −1. Fitted on at most 20 000 particles, for its
    cost grows with the square of their number; the others join their nearest.

    Parameters
    ----------
    smallest
        Fewest particles of a cluster; None: 2 % of all, at least 5.
    space
        As in :func:`cluster`.

    Raises
    ------
    ValueError
        When there is no such region, or `smallest` is under 2 or more than there are particles.
    """
    z = checked(latents)
    fewest = max(5, round(0.02 * len(z))) if smallest is None else smallest
    if not 2 <= fewest <= len(z):
        raise ValueError(f"Smallest cluster {fewest}: choose between 2 and {len(z)} particles.")
    features = _scaled(space_of(z, seed) if space is None else checked(space))
    labels, strength = assign_by_density(features, fewest, seed)
    k = int(labels.max()) + 1
    posteriors = strength[:, None] * (labels[:, None] == np.arange(k))
    fitted = np.stack([features[labels == i].mean(0) for i in range(k)])
    return _numbered(z, features, labels, posteriors, fitted, "hdbscan", seed, epoch)


def partition_again(
    clusters: Clustering, space: np.ndarray, seed: int, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Sort all particles again as `clusters` was made, fitted on a random part of them.

    Parameters
    ----------
    space
        ``(n, c)`` where the clusters were sought.
    seed, share
        Of starts and of the part drawn; the share 0…1 of the particles that are fitted.

    Returns
    -------
    tuple
        Labels ``(n,)`` in any order, −1 unassigned, and posteriors ``(n, k)`` of them.
    """
    table, k = checked(space), len(clusters.centres)
    most = max(2, round(share * len(table)))
    if clusters.method == "hdbscan":
        fewest = max(2, round(0.5 * clusters.counts.min()))
        points = _scaled(table)
        labels, strength = assign_by_density(points, fewest, seed, min(most, DENSITY_LIMIT))
        return labels, strength[:, None] * (labels[:, None] == np.arange(labels.max() + 1))
    features = features_of(table, k, clusters.method)
    labels, posteriors, _ = fit(features, k, clusters.method, seed, min(most, FIT_LIMIT))
    return labels, posteriors


def space_of(latents: np.ndarray, seed: int = 0, progress: Progress | None = None) -> np.ndarray:
    """Where clusters of latents ``(n, d)`` are sought: z, or the UMAP of more than 16 dimensions.

    The UMAP takes a minute for 10 000 particles; :func:`landscape.kept_space` keeps it.
    """
    if latents.shape[1] <= MOST_DIMENSIONS:
        return latents
    return umap(latents, seed, progress, dimensions=MOST_DIMENSIONS).coordinates


def _numbered(
    z: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    posteriors: np.ndarray,
    fitted: np.ndarray,
    method: str,
    seed: int,
    epoch: int | None,
) -> Clustering:
    """Add centres in z and bring the clusters into order."""
    centres, rows = _centres(z, features, labels, fitted)
    order = _tree_order(centres, z)
    rank = np.full(len(order) + 1, -1)  # the last: rank[-1] of the unassigned
    rank[order] = np.arange(len(order))
    return Clustering(
        labels=rank[labels],
        posteriors=posteriors[:, order].astype(np.float32),
        centres=centres[order].astype(np.float32),
        rows=rows[order],
        method=method,
        seed=seed,
        epoch=epoch,
    )


def _tree_order(centres: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Leaves of the average-linkage tree of the centres, neighbours as near as the tree allows.

    A tree can be read from either end: from the one with the smaller PC1 score.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage  # half a second to import

    axes = principal_axes(z)
    scores = (centres - axes.mean) @ axes.directions[0]
    if len(centres) < 3:
        return np.argsort(scores, kind="stable")
    order = leaves_list(linkage(centres, "average", optimal_ordering=True))
    return order if scores[order[0]] <= scores[order[-1]] else order[::-1]


def _scaled(table: np.ndarray) -> np.ndarray:
    """Principal scores over the r.m.s. spread."""
    scores = principal_axes(table).scores
    scale = np.sqrt((scores**2).sum(1).mean())
    return scores / (scale if scale > 0 else 1.0)


def features_of(table: np.ndarray, k: int, method: str) -> np.ndarray:
    """Scaled scores; of a mixture, those its covariances can bear."""
    scores = _scaled(table)
    if method == "kmeans":
        return scores
    return scores[:, : max(1, len(table) // (5 * k))]


def fit(
    features: np.ndarray, k: int, method: str, seed: int, most: int = FIT_LIMIT
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels ``(n,)``, posteriors ``(n, k)`` and the fitted centres ``(k, c)`` in feature space.

    Fitted on at most so many rows.
    """
    model = _model(features, k, method, seed)
    sample = features
    if len(features) > most:
        sample = features[np.random.default_rng(seed).choice(len(features), most, replace=False)]
    with warnings.catch_warnings():
        # Copies of one point, or a slow last digit, are no failure: the partition is still the best
        # found.
        warnings.filterwarnings("ignore", module="sklearn")
        model.fit(sample)
    labels = model.predict(features).astype(np.int64)
    if method == "gmm":
        return labels, model.predict_proba(features), model.means_
    return labels, np.eye(k)[labels], model.cluster_centers_


def _model(features: np.ndarray, k: int, method: str, seed: int) -> Any:
    from sklearn.cluster import KMeans  # sklearn takes seconds to import
    from sklearn.mixture import GaussianMixture

    if method == "gmm":
        # The floor under a variance: a thousandth of the mean variance of an axis keeps a cluster
        # from becoming a line.
        floor = 1e-3 * float(features.var(0).mean()) + 1e-9
        return GaussianMixture(k, n_init=3, reg_covar=floor, random_state=seed, max_iter=200)
    if method == "kmeans":
        return KMeans(k, n_init=10, random_state=seed)
    raise ValueError(f"Unknown clustering {method!r}; use 'gmm' or 'kmeans'.")


def _centres(
    z: np.ndarray, features: np.ndarray, labels: np.ndarray, fitted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean z ``(k, d)`` of the members and nearest particle ``(k,)`` of each cluster."""
    centres = np.empty((len(fitted), z.shape[1]))
    rows = np.empty(len(fitted), dtype=np.int64)
    for i, centre in enumerate(fitted):
        members = np.flatnonzero(labels == i)
        if len(members):
            centres[i] = z[members].mean(0)
            rows[i] = members[((z[members] - centres[i]) ** 2).sum(1).argmin()]
        else:
            rows[i] = ((features - centre) ** 2).sum(1).argmin()
            centres[i] = z[rows[i]]
    return centres, rows


def suggest(
    latents: np.ndarray,
    ks: range = range(1, 11),
    seed: int = 0,
    progress: Progress | None = None,
    space: np.ndarray | None = None,
) -> ClusterCurve:
    """Score numbers of clusters by the BIC of a full mixture and the silhouette of its labels.

    Fitted on at most 20 000 particles, the silhouette on 2 000. The suggestion is the k of the
    lowest BIC. It counts Gaussian lumps, so it comes out high where a cluster is a curved motion:
    look at the curve. Raising in `progress` (numbers done, in all) cancels; `space` as in
    :func:`cluster`.
    """
    from sklearn.metrics import silhouette_score

    z = checked(latents)
    table = space_of(z, seed) if space is None else checked(space)
    generator = np.random.default_rng(seed)
    table = table[generator.permutation(len(table))[:20_000]]
    tried = [k for k in ks if 1 <= k <= max(1, len(table) // 5)]
    if not tried:
        raise ValueError(
            f"{len(table)} particles are too few for {ks.start} clusters; 5 a cluster are needed."
        )
    features = features_of(table, max(tried), "gmm")
    bic, silhouette = [], []
    for step, k in enumerate(tried):
        model = _model(features, k, "gmm", seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="sklearn")
            labels = model.fit_predict(features)
        bic.append(model.bic(features))
        part = slice(0, 2000)
        distinct = len(np.unique(labels[part]))
        separable = 1 < distinct < len(labels[part])
        silhouette.append(silhouette_score(features[part], labels[part]) if separable else 0.0)
        if progress is not None:
            progress(step + 1, len(tried))
    best = tried[int(np.argmin(bic))]
    return ClusterCurve(np.array(tried), np.array(bic), np.array(silhouette), best)
