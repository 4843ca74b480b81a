"""How well features tell species apart, and label-free ways to make them tell more.

k-NN: share of right labels by 15 nearest neighbours, five stratified folds; `nearest`: by the one
nearest other image. ARI: a Gaussian mixture with full covariances and the true number of species,
best of five starts by likelihood. Both on the leading principal components.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch import Tensor

from napari_cryodeco.explore.scores import rand_index
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.train.features import free_of_defocus, without_defocus

COMPONENTS, NEIGHBOURS, STARTS = 16, 15, 5
Processing = Callable[[Tensor, Ctf], Tensor]


@dataclass(frozen=True)
class Score:
    """Shares of right labels and the adjusted Rand index."""

    knn: float
    nearest: float
    ari: float


def points(features: Tensor, components: int = COMPONENTS) -> np.ndarray:
    """Leading principal components ``(n, components)``, of unit total spread per component."""
    count = min(components, *features.shape)
    found = PCA(count, random_state=0).fit_transform(features.double().numpy())
    return found / found.std()


def knn(where: np.ndarray, labels: np.ndarray, seed: int = 0) -> float:
    """15-NN, five folds."""
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return float(cross_val_score(KNeighborsClassifier(NEIGHBOURS), where, labels, cv=folds).mean())


def nearest(where: np.ndarray, labels: np.ndarray) -> float:
    """1-NN, leaving the image itself out."""
    neighbours = NearestNeighbors(n_neighbors=1).fit(where).kneighbors(return_distance=False)
    return float((labels[neighbours[:, 0]] == labels).mean())


def per_species(where: np.ndarray, labels: np.ndarray, seed: int = 0) -> list[float]:
    """Share of right 15-NN labels of each species."""
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    found = cross_val_predict(KNeighborsClassifier(NEIGHBOURS), where, labels, cv=folds)
    count = int(labels.max()) + 1
    return [round(float((found[labels == k] == k).mean()), 4) for k in range(count)]


def ari(where: np.ndarray, labels: np.ndarray, seed: int = 0) -> float:
    """ARI of a Gaussian mixture with as many members as there are species."""
    model = GaussianMixture(
        int(labels.max()) + 1, n_init=STARTS, random_state=seed, reg_covar=1e-3, max_iter=200
    )
    return rand_index(labels, model.fit_predict(where))


def score(features: Tensor, labels: np.ndarray, seed: int = 0, count: int = COMPONENTS) -> Score:
    """All scores of features ``(n, f)``."""
    where = points(features, count)
    return Score(knn(where, labels, seed), nearest(where, labels), ari(where, labels, seed))


def as_is(features: Tensor, ctf: Ctf) -> Tensor:
    """Centred."""
    return features - features.mean(0)


def unit(features: Tensor, ctf: Ctf) -> Tensor:
    """Of length one, centred."""
    features = torch.nn.functional.normalize(features, dim=1)
    return features - features.mean(0)


def standard(features: Tensor, ctf: Ctf) -> Tensor:
    """Every column of mean 0 and spread 1."""
    return (features - features.mean(0)) / features.std(0).clamp_min(1e-9)


def defocus_standard(features: Tensor, ctf: Ctf) -> Tensor:
    """What the defocus predicts taken out; columns standardised."""
    return without_defocus(features, ctf)


def unit_defocus_free(features: Tensor, ctf: Ctf) -> Tensor:
    """Of length one, then what the defocus predicts taken out."""
    return free_of_defocus(torch.nn.functional.normalize(features, dim=1), ctf)


PROCESSINGS: dict[str, Processing] = {
    "as is": as_is,
    "unit": unit,
    "standard": standard,
    "defocus-free": free_of_defocus,
    "defocus-free, standard": defocus_standard,
    "unit, defocus-free": unit_defocus_free,
}


@dataclass(frozen=True)
class Whitening:
    """Makes the spread within a species round, as learned on labelled *training* species.

    `matrix` ``(f, f)`` maps features so that their covariance within a species is the identity:
    directions in which one species spreads (orientation, defocus, noise) shrink.
    """

    matrix: Tensor

    @classmethod
    def fit(cls, features: Tensor, labels: np.ndarray, ridge: float = 0.1) -> Whitening:
        """Learn from features ``(n, f)`` of known species.

        `ridge` blends in a round covariance of the same trace.
        """
        wanted = torch.from_numpy(labels)
        rest = features.double().clone()
        for label in range(int(labels.max()) + 1):
            rest[wanted == label] -= rest[wanted == label].mean(0)
        within = rest.T @ rest / len(rest)
        size = within.trace() / len(within) * torch.eye(len(within), dtype=within.dtype)
        values, vectors = torch.linalg.eigh((1 - ridge) * within + ridge * size)
        return cls((vectors * values.rsqrt()) @ vectors.T)

    def __call__(self, features: Tensor) -> Tensor:
        """Whitened features ``(n, f)``, centred."""
        return ((features - features.mean(0)).double() @ self.matrix).float()
