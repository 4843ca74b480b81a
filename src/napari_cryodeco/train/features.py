"""Classical image features: which images may be of one species, before anything is known of poses.

Power spectra in half-shells do not change with shifts and in-plane rotation. What is left of the
CTF in them would rule every clustering (ARI 0.3 instead of 0.9 on three species), so the part that
the defocus predicts is taken out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.train.stages import Reporter

RADIUS = 12
COMPONENTS = 8
FIT = 20_000


def _half_shell_sums(values: Tensor, ball: Ball) -> Tensor:
    bins = (2 * ball.radii[: values.shape[1]] + 0.5).floor().long()
    sums = torch.zeros(len(values), int(bins.max()) + 1).index_add_(1, bins, values)
    return sums[:, torch.bincount(bins) > 0]


def power_features(images: Tensor, ctf: Tensor, ball: Ball) -> Tensor:
    """Compressed power of the particle in half-shells: ``(n, f)``.

    Parameters
    ----------
    images, ctf
        ``(n, p)`` working coefficients (noise 1) and CTF on a prefix of the 2-D `ball`.
    """
    weight = ctf**2
    seen = _half_shell_sums((images**2 - 1) * weight, ball)
    passed = _half_shell_sums(weight**2, ball)
    counts = _half_shell_sums(torch.ones_like(weight[:1]), ball)
    power = seen / (passed + 0.05 * counts)
    return torch.asinh(2 * power / power.mean(0).abs().clamp_min(1e-6))


def without_defocus(features: Tensor, ctf: Ctf, degree: int = 5) -> Tensor:
    """Take out of features ``(n, f)`` what a polynomial of the defocus predicts; standardise."""
    defocus = 0.5 * (ctf.defocus_u + ctf.defocus_v).double()
    spread = defocus.std() if len(defocus) > 1 else torch.tensor(0.0)
    if spread > 1.0:
        basis = torch.stack(
            [((defocus - defocus.mean()) / spread) ** i for i in range(degree + 1)], 1
        )
    else:
        basis = torch.ones(len(defocus), 1, dtype=torch.float64)
    fit = torch.linalg.lstsq(basis, features.double(), driver="gelsd").solution
    rest = features.double() - basis @ fit
    return (rest / rest.std(0).clamp_min(1e-9)).float()


@dataclass(frozen=True)
class Mixture:
    """Soft clusters.

    `posteriors` ``(n, K)`` and the `criterion` of every count tried, lowest best.
    """

    posteriors: Tensor
    criterion: Tensor


def mix(features: Tensor, classes: int | None, seed: int, most: int = 8) -> Mixture:
    """Gaussian mixture over the leading principal components of ``(n, f)`` features.

    Without a count, the one with the lowest integrated completed likelihood (BIC plus the entropy
    of the assignments) is taken: it asks for clusters that are apart, where BIC splits one broad
    species into many.
    """
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    points = PCA(min(COMPONENTS, *features.shape), random_state=seed).fit_transform(
        features.numpy()
    )
    rng = np.random.default_rng(seed)
    sample = points if len(points) <= FIT else points[rng.choice(len(points), FIT, replace=False)]
    counts = range(1, min(most, len(points) // 10 or 1) + 1) if classes is None else [classes]
    fits, criterion = [], []
    for count in counts:
        model = GaussianMixture(count, n_init=2, random_state=seed, reg_covar=1e-3).fit(sample)
        posterior = model.predict_proba(sample)
        entropy = -(posterior * np.log(posterior + 1e-12)).sum()
        fits.append(model)
        criterion.append(model.bic(sample) + 2 * entropy)
    best = fits[int(np.argmin(criterion))]
    return Mixture(torch.as_tensor(best.predict_proba(points)).float(), torch.tensor(criterion))


class FeatureStage:
    """Stage: features of all images and K soft clusters of them.

    Parameters
    ----------
    images
        ``(n, p)`` working coefficients.
    ctf, geometry
        Of the same particles.
    classes
        Number of species; None: estimated.
    seed
        Of the mixture.
    """

    name = "features"

    def __init__(
        self, images: Tensor, ctf: Ctf, geometry: Geometry, classes: int | None, seed: int
    ) -> None:
        self._images, self._ctf, self._geometry = images, ctf, geometry
        self._classes, self._seed = classes, seed
        self._state: dict[str, Tensor] = {}

    def units(self) -> int:
        """Count one unit."""
        return 1

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Take up what is known."""
        self._state = dict(tensors or {})

    def advance(self, unit: int, report: Reporter) -> None:
        """Compute the features and their mixture."""
        n = len(self._images)
        if self._classes is not None and n < 10 * self._classes:
            raise ValueError(
                f"{n} particles are too few for {self._classes} species: at least ten per species "
                "are needed; lower the number of species."
            )
        ball = Ball(min(RADIUS, self._geometry.radius), 2)
        frequencies = ball.frequencies(self._geometry.box, self._geometry.pixel_size)
        parts = []
        for start in range(0, n, 2048):
            rows = slice(start, start + 2048)
            images = self._images[rows, : len(ball)].float()
            parts.append((images, self._ctf[rows].at(frequencies)))
            report.step(min(start + 2048, n), n, "image features")
        features = power_features(
            torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]), ball
        )
        features = without_defocus(features, self._ctf)
        one = self._classes == 1
        mixture = (
            Mixture(torch.ones(n, 1), torch.zeros(1))
            if one
            else mix(features, self._classes, self._seed)
        )
        report.metric("species", mixture.posteriors.shape[1])
        self._state = {
            "features": features,
            "posteriors": mixture.posteriors,
            "criterion": mixture.criterion,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Features ``(n, f)``, posteriors ``(n, K)`` and the criterion."""
        return self._state

    @property
    def posteriors(self) -> Tensor:
        """``(n, K)`` soft clusters."""
        return self._state["posteriors"]
