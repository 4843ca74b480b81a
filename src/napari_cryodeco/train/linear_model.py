"""A mean map, component maps, and where each particle lies: what the linear start finds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

SAME = 0.8  # rank correlation from which a first coordinate is taken to be the motion
_TENSORS = ("mean", "components", "coordinates", "precision", "reliability", "gain")


@dataclass(frozen=True)
class LinearModel:
    """A mean map, component maps and the coordinates of every particle.

    Parameters
    ----------
    mean
        ``(m,)`` working coefficients on ``Ball(radius, 3)``.
    components
        ``(d, m)`` maps, strongest first; those that held-out images do not confirm are zero.
    coordinates
        ``(n, d)`` posterior means, scaled so that distances in z are proportional to distances
        between maps.
    precision
        ``(n, d)`` inverse posterior variance of each coordinate.
    reliability
        ``(d,)`` share of a coordinate's variance that is signal, measured on held-out images.
    radius
        Fourier radius of the fit.
    gain
        ``(d, 2)`` log-likelihood per held-out image by which each component, beyond those before
        it, improves the prediction of one half of the points from the other, and its standard
        error; no rows in a model of an older run.
    """

    mean: Tensor
    components: Tensor
    coordinates: Tensor
    precision: Tensor
    reliability: Tensor
    radius: int
    gain: Tensor = field(default_factory=lambda: torch.zeros(0, 2))

    def volumes(self, z: Tensor) -> Tensor:
        """Working coefficients ``(b, m)`` of the maps at `z` ``(b, d)``."""
        return self.mean + z @ self.components

    def shares(self) -> Tensor:
        """Share ``(d,)`` of each component in the variance between the maps of all particles."""
        centred = self.coordinates - self.coordinates.mean(0)
        variance = centred.pow(2).mean(0) * self.components.pow(2).sum(1)
        return variance / variance.sum().clamp_min(1e-12)

    def take(self, chosen: Tensor) -> LinearModel:
        """Return the model of some components only, in the order of the numbers `chosen`."""
        return replace(
            self,
            components=self.components[chosen],
            coordinates=self.coordinates[:, chosen],
            precision=self.precision[:, chosen],
            reliability=self.reliability[chosen],
            gain=self.gain[chosen],
        )

    def ordered(self, along: Tensor) -> LinearModel:
        """Let the first coordinate order the particles as `along` ``(n,)`` does.

        Its values stay the same, given to others. A model whose first coordinate says something
        else, with a rank correlation under :data:`SAME`, stays as it is.
        """
        first, ranks = self.coordinates[:, 0], along.argsort().argsort()
        agreement = torch.corrcoef(torch.stack([first.argsort().argsort(), ranks]).float())[0, 1]
        if not abs(float(agreement)) > SAME:
            return self
        values = first.sort(descending=bool(agreement < 0)).values
        coordinates = self.coordinates.clone()
        coordinates[:, 0] = values[ranks.to(values.device)]
        return replace(self, coordinates=coordinates)

    def tensors(self) -> dict[str, Tensor]:
        """Everything as tensors, for a stage file."""
        kept = {name: getattr(self, name) for name in _TENSORS}
        return kept | {"radius": torch.tensor(self.radius)}

    def to(self, device: torch.device | str) -> LinearModel:
        """Return the same model on another device."""
        moved = {name: getattr(self, name).to(device) for name in _TENSORS}
        return replace(self, **moved)

    @classmethod
    def of_tensors(cls, tensors: dict[str, Tensor]) -> LinearModel:
        """Rebuild a model from :meth:`tensors`."""
        kept = {name: tensors[name] for name in _TENSORS if name in tensors}
        return cls(**kept, radius=int(tensors["radius"]))
