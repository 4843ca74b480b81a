"""Clusters of the latents. Row i is particle i; everything is seeded.

Clusters are numbered along the first principal component of z: neighbours in z are neighbours in
number, so the numbers follow a motion, and a second run gives the same ones.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_cryodeco.explore.projection import FIT_LIMIT, Progress, checked, principal_axes

Method = Literal["gmm", "kmeans"]
_GMM_DIMENSIONS = 32  # a full covariance of more has too many numbers for the clusters people have


@dataclass(frozen=True)
class Clustering:
    """A partition of all particles into k groups, numbered from 0 along PC1.

    Parameters
    ----------
    labels
        ``(n,)`` int64.
    posteriors
        ``(n, k)`` float32; of k-means: 1 for the particle's own cluster.
    centres
        ``(k, d)`` float32: mean z of the members. A cluster that is nobody's first choice keeps the
        centre of its own fit, so that nothing is ever NaN.
    rows
        ``(k,)`` int64: the particle nearest to each centre (a member, if there is one).
    method, seed, epoch
        How it was made.
    """

    labels: np.ndarray
    posteriors: np.ndarray
    centres: np.ndarray
    rows: np.ndarray
    method: str = "gmm"
    seed: int = 0
    epoch: int | None = None

    @property
    def counts(self) -> np.ndarray:
        """``(k,)`` particles in each cluster."""
        return np.bincount(self.labels, minlength=len(self.centres))


@dataclass(frozen=True)
class ClusterCurve:
    """How well each number of clusters fits, ``(m,)`` each: low BIC or high silhouette is good."""

    k: np.ndarray
    bic: np.ndarray
    silhouette: np.ndarray
    suggested: int


def cluster(
    latents: np.ndarray, k: int, method: Method = "gmm", seed: int = 0, epoch: int | None = None
) -> Clustering:
    """Sort latents ``(n, d)`` into `k` clusters.

    z is divided by one number (its r.m.s. spread), not per axis: an axis that hardly varies stays
    unimportant for k-means and cannot be blown up to noise. A mixture has full covariances, over
    the leading principal components that `n` and `k` can support (five particles a cluster for
    each, at most 32).

    Raises
    ------
    ValueError
        When there are fewer particles than clusters, or the method is unknown.
    """
    z = checked(latents)
    if k < 1 or k > len(z):
        raise ValueError(f"{k} clusters of {len(z)} particles: choose k between 1 and {len(z)}.")
    features = _features(z, k, method)
    labels, posteriors, fitted = _fit(features, k, method, seed)
    centres, rows = _centres(z, features, labels, fitted)
    axes = principal_axes(z)
    order = np.argsort((centres - axes.mean) @ axes.directions[0], kind="stable")
    rank = np.empty(k, dtype=np.int64)
    rank[order] = np.arange(k)
    return Clustering(
        labels=rank[labels],
        posteriors=posteriors[:, order].astype(np.float32),
        centres=centres[order].astype(np.float32),
        rows=rows[order],
        method=method,
        seed=seed,
        epoch=epoch,
    )


def _features(z: np.ndarray, k: int, method: str) -> np.ndarray:
    """Principal scores over the r.m.s. spread; of a mixture, those its covariances can bear."""
    scores = principal_axes(z).scores
    scale = np.sqrt((scores**2).sum(1).mean())
    scores = scores / (scale if scale > 0 else 1.0)
    if method == "kmeans":
        return scores
    return scores[:, : int(np.clip(len(z) // (5 * k), 1, _GMM_DIMENSIONS))]


def _fit(
    features: np.ndarray, k: int, method: str, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels ``(n,)``, posteriors ``(n, k)`` and the fitted centres ``(k, c)`` in feature space."""
    model = _model(features, k, method, seed)
    sample = features
    if len(features) > FIT_LIMIT:
        sample = features[
            np.random.default_rng(seed).choice(len(features), FIT_LIMIT, replace=False)
        ]
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
) -> ClusterCurve:
    """Score numbers of clusters by the BIC of a full mixture and the silhouette of its labels.

    Fitted on at most 20 000 particles, the silhouette on 2 000. The suggestion is the k of the
    lowest BIC. It counts Gaussian lumps, so it comes out high where a cluster is a curved motion:
    look at the curve.
    """
    from sklearn.metrics import silhouette_score

    z = checked(latents)
    generator = np.random.default_rng(seed)
    z = z[generator.permutation(len(z))[:20_000]]
    tried = [k for k in ks if 1 <= k <= max(1, len(z) // 5)]
    if not tried:
        raise ValueError(
            f"{len(z)} particles are too few for {ks.start} clusters; 5 a cluster are needed."
        )
    features = _features(z, max(tried), "gmm")
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
