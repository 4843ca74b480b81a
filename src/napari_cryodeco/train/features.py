"""Classical image features: which images may be of one species, before anything is known of poses.

Power spectra in half-shells do not change with shifts and in-plane rotation. What is left of the
CTF in them would rule every clustering (ARI 0.3 instead of 0.9 on three species), so the part that
the defocus predicts is taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.data.stored_images import Images
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.train import distributed, shards
from napari_cryodeco.train.stages import Reporter
from napari_cryodeco.train.starts import StartPlan

RADIUS = 12
COMPONENTS, PRIOR_COMPONENTS = 8, 16
FIT = 20_000
# Without a count: the smallest one that lacks no more than SLACK of what the best count gains over
# one cluster, out of one for EACH so many images, up to MOST. For 4 species it is 9, for 16 24.
SLACK, EACH, MOST = 0.1, 100, 32
PURER = 2  # times as many clusters as species, where an image is not tried with all species
_TOGETHER = 2048  # images read at once
_COLUMNS = 16  # features fitted at once: in float64 and all together they would be gigabytes


def clusters_of(species: int | None, count: int) -> int | None:
    """How many clusters of `count` images begin so many species; None: to be found.

    An image is tried with the few species that its features like best. Where these are not all, as
    many clusters as species hold several species each, and a species that begins in no cluster of
    its own finds no map (sixteen species: 61 % of an image's cluster are of its species, 75 % of
    one of thirty-two). Clusters that are one species are joined when their maps are known.
    """
    if species is None or species <= StartPlan.tried:
        return species
    return max(species, min(PURER * species, count // EACH))


def most_clusters(count: int, faintness: float = 1.0) -> int:
    """Clusters of `count` images that are tried where nobody knows how many species there are.

    Where an image tells several times less than a clear one, a map needs as many times more.
    """
    least = max(StartPlan.tried, round(2 * StartPlan.tried / faintness))
    return min(max(least, int(count / (EACH * faintness))), MOST)


def _half_shell_sums(values: Tensor, ball: Ball) -> Tensor:
    bins = (2 * ball.radii[: values.shape[1]] + 0.5).floor().long()
    sums = torch.zeros(len(values), int(bins.max()) + 1).index_add_(1, bins, values)
    return sums[:, torch.bincount(bins) > 0]


def power_features(images: Tensor, ctf: Tensor, ball: Ball) -> Tensor:
    """Power of the particle in half-shells: ``(n, f)``; an image's do not depend on the others.

    Parameters
    ----------
    images, ctf
        ``(n, p)`` working coefficients (noise 1) and CTF on a prefix of the 2-D `ball`.
    """
    weight = ctf**2
    seen = _half_shell_sums((images**2 - 1) * weight, ball)
    passed = _half_shell_sums(weight**2, ball)
    counts = _half_shell_sums(torch.ones_like(weight[:1]), ball)
    return seen / (passed + 0.05 * counts)


def _compressed(power: Tensor) -> Tensor:
    """Power ``(n, f)`` on a scale where a few strong images do not outweigh all others."""
    return torch.asinh(2 * power / power.mean(0).abs().clamp_min(1e-6))


def without_defocus(features: Tensor, ctf: Ctf) -> Tensor:
    """Take out of features ``(n, f)`` what a polynomial of the defocus predicts; standardise."""
    rest = free_of_defocus(features, ctf)
    return rest.div_(rest.std(0).clamp_min(1e-9))


def free_of_defocus(features: Tensor, ctf: Ctf) -> Tensor:
    """Take out what a polynomial of the defocus predicts and keep the scale of each column."""
    basis = _defocus_basis(ctf)
    rest = torch.empty(features.shape)
    for columns in torch.arange(features.shape[1]).split(_COLUMNS):
        some = features[:, columns].double()
        fit = torch.linalg.lstsq(basis, some, driver="gelsd").solution
        rest[:, columns] = (some - basis @ fit).float()
    return rest


def _defocus_basis(ctf: Ctf, degree: int = 5) -> Tensor:
    defocus = 0.5 * (ctf.defocus_u + ctf.defocus_v).double()
    spread = defocus.std() if len(defocus) > 1 else torch.tensor(0.0)
    degree = min(degree, len(defocus) // 10) if spread > 1.0 else 0
    place = (defocus - defocus.mean()) / spread.clamp_min(1.0)
    return torch.stack([place**power for power in range(degree + 1)], 1)


@dataclass(frozen=True)
class Mixture:
    """Soft clusters.

    `posteriors` ``(n, K)`` and the `criterion` of every count tried, lowest best.
    """

    posteriors: Tensor
    criterion: Tensor


def mix(
    features: Tensor,
    classes: int | None,
    seed: int,
    most: int = 8,
    components: int = COMPONENTS,
    shared: bool = False,
    slack: float = 0.0,
) -> Mixture:
    """Gaussian mixture over the leading principal components of ``(n, f)`` features.

    `shared`: all members have one covariance, as fits features in which all species spread alike.
    Without a count, the one with the lowest integrated completed likelihood (BIC plus the entropy
    of the assignments) is taken: it asks for clusters that are apart, where BIC splits one broad
    species into many. With `slack` it is the smallest count that is above the lowest by no more
    than that share of what the lowest gains over a single cluster.
    """
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    points = PCA(min(components, *features.shape), random_state=seed).fit_transform(
        features.numpy()
    )
    rng = np.random.default_rng(seed)
    sample = points if len(points) <= FIT else points[rng.choice(len(points), FIT, replace=False)]
    counts = range(1, min(most, len(points) // 10 or 1) + 1) if classes is None else [classes]
    fits, criterion = [], []
    for count in counts:
        model = GaussianMixture(
            count,
            covariance_type="tied" if shared else "full",
            n_init=2,
            random_state=seed,
            reg_covar=1e-3,
        ).fit(sample)
        posterior = model.predict_proba(sample)
        entropy = -(posterior * np.log(posterior + 1e-12)).sum()
        fits.append(model)
        criterion.append(model.bic(sample) + 2 * entropy)
    enough = min(criterion) + slack * (criterion[0] - min(criterion))
    best = fits[next(n for n, value in enumerate(criterion) if value <= enough)]
    return Mixture(torch.as_tensor(best.predict_proba(points)).float(), torch.tensor(criterion))


def classical_features(images: Images, ctf: Ctf, geometry: Geometry, report: Reporter) -> Tensor:
    """Features ``(n, f)`` of working coefficients ``(n, p)``, free of the defocus."""
    n = len(images)
    ball = Ball(min(RADIUS, geometry.radius), 2)
    frequencies = ball.frequencies(geometry.box, geometry.pixel_size)
    power = []
    for start in range(0, n, _TOGETHER):
        rows = slice(start, start + _TOGETHER)
        seen = images[rows, : len(ball)].float()
        power.append(power_features(seen, ctf[rows].at(frequencies), ball))
        report.step(min(start + _TOGETHER, n), n, "image features")
    return without_defocus(_compressed(torch.cat(power)), ctf)


def prior_features(
    embed: Callable[[Tensor], Tensor], ctf: Ctf, report: Reporter, batch: int = 32
) -> Tensor:
    """Features ``(n, f)`` of a pretrained encoder: directions from what their defocus predicts.

    `embed` takes row numbers ``(b,)``, `batch` at a time, and gives features ``(b, f)``; `ctf` is
    that of all n particles. Several processes share the particles; the first has the features.
    """
    n, done = len(ctf), 0
    parts = []
    for rows in shards.portions(n, batch):
        parts.append(embed(rows).float().cpu())
        done += len(rows)
        report.step(min(done * distributed.size(), n), n, "features of the prior")
    found = distributed.gather_rows(torch.cat(parts))
    if distributed.rank():
        return found
    features = free_of_defocus(found, ctf)
    torch.nn.functional.normalize(features, dim=1, out=features)
    return features.div_(features.std())


class FeatureStage:
    """Stage: features of all images and soft clusters of them.

    Parameters
    ----------
    compute
        Gives the features ``(n, f)``: :func:`classical_features` or :func:`prior_features`.
    count
        Number of particles.
    classes
        Number of species; None: estimated. Of many there are more clusters than species.
    seed
        Of the mixture.
    source
        What the features are, for the message.
    components, shared
        Principal components that are clustered; whether clusters share one covariance.
    faintness
        Gives how many times less an image tells than a clear one; asked where the number of species
        is estimated.
    """

    name = "features"

    def __init__(
        self,
        compute: Callable[[Reporter], Tensor],
        count: int,
        classes: int | None,
        seed: int,
        source: str = "image features",
        components: int = COMPONENTS,
        shared: bool = False,
        faintness: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self._compute, self._count, self._source = compute, count, source
        self._shared, self._faintness = shared, faintness
        self._classes, self._seed, self._components = classes, seed, components
        self._state: dict[str, Tensor] = {}

    def units(self) -> int:
        """Count one unit."""
        return 1

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Take up what is known.

        Raises
        ------
        ValueError
            If there are fewer than ten particles for each species.
        """
        if self._classes is not None and self._count < 10 * self._classes:
            raise ValueError(
                f"{self._count} particles are too few for {self._classes} species: at least ten "
                "per species are needed; lower the number of species."
            )
        self._state = dict(tensors or {})

    def advance(self, unit: int, report: Reporter) -> None:
        """Compute the features and their mixture; the first of several processes has both."""
        features = self._compute(report)
        if distributed.rank():
            report.check_stop()  # where the first process tells its last step
            return
        if self._classes == 1:
            mixture = Mixture(torch.ones(self._count, 1), torch.zeros(1))
        else:
            mixture = mix(
                features,
                clusters_of(self._classes, self._count),
                self._seed,
                most=8 if self._classes else most_clusters(self._count, self._faintness()),
                components=self._components,
                shared=self._shared,
                slack=SLACK,
            )
        found, tried = mixture.posteriors.shape[1], len(mixture.criterion)
        how = f", by the likelihood criterion (ICL) of 1 to {tried}" if tried > 1 else ""
        report.step(self._count, self._count, f"{found} clusters from {self._source}{how}")
        report.metric("clusters", found)
        self._state = {
            "features": features,
            "posteriors": mixture.posteriors,
            "criterion": mixture.criterion,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Features ``(n, f)``, posteriors ``(n, K)`` and the criterion."""
        return self._state

    @property
    def features(self) -> Tensor:
        """``(n, f)``."""
        return self._state["features"]

    @property
    def criterion(self) -> tuple[float, ...]:
        """The criterion of each number of species that was tried; none where it was given."""
        tried = self._state["criterion"].tolist()
        return tuple(tried) if len(tried) > 1 else ()

    @property
    def posteriors(self) -> Tensor:
        """``(n, K)`` soft clusters."""
        return self._state["posteriors"]
