"""One round of expectation maximisation of a mean map and component maps on a lattice.

The expectation step gives every image the Gaussian posterior of its coordinates in closed form; the
maximisation step fits the maps by a few conjugate-gradient steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_GRADIENT_STEPS = 2


def shells_of(side: int, device: torch.device) -> Tensor:
    """Shell ``(side³,)`` of each point of a lattice whose origin is its middle."""
    axis = (torch.arange(side, device=device) - side // 2).float()
    squared = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    return (squared.sqrt() + 0.5).floor().long().reshape(-1)


@dataclass(frozen=True)
class Posterior:
    """Coordinates of the images: `mean` ``(n, d)`` and `covariance` ``(n, d, d)``."""

    mean: Tensor
    covariance: Tensor

    def take(self, chosen: Tensor) -> Posterior:
        """Forget all other coordinates."""
        return Posterior(self.mean[:, chosen], self.covariance[:, chosen][:, :, chosen])

    def beside(self, new: Tensor) -> Posterior:
        """Add coordinates ``(n, m)`` that are known exactly."""
        size = self.mean.shape[1]
        covariance = new.new_zeros(len(new), *(2 * [size + new.shape[1]]))
        covariance[:, :size, :size] = self.covariance
        return Posterior(torch.cat([self.mean, new], 1), covariance)

    def moments(self) -> Tensor:
        """``E[a aᵀ]`` with a leading 1 for the mean map: ``(n, d + 1, d + 1)``."""
        full = torch.nn.functional.pad(self.mean, (1, 0), value=1.0)
        outer = full[:, :, None] * full[:, None, :]
        outer[:, 1:, 1:] += self.covariance
        return outer


def expect(slices: Tensor, data: Tensor) -> Posterior:
    """Coordinates from CTF-ed slices ``(n, p, d + 1)`` of mean and components; the noise is 1."""
    components = slices[..., 1:]
    information = components.mT @ components
    information.diagonal(dim1=-2, dim2=-1).add_(1.0)
    covariance = torch.linalg.inv(information)
    weighted = components.mT @ (data - slices[..., 0])[..., None]
    return Posterior((covariance @ weighted)[..., 0], covariance)


def maximise(
    maps: Tensor, data: Tensor, posterior: Posterior, pair: tuple[Tensor, Tensor], ridge: Tensor
) -> Tensor:
    """A few conjugate-gradient steps on the expected error plus ``ridge · maps²``."""
    slicing, inserting = pair
    n, p = data.shape
    moments = posterior.moments()
    weight = inserting @ (slicing @ torch.ones_like(maps[:, :1]))

    def curvature(w: Tensor) -> Tensor:
        seen = (slicing @ w).reshape(n, p, -1) @ moments
        return inserting @ seen.reshape(n * p, -1) + ridge * w

    scale = 1 / (weight * moments.mean(0).diagonal() + ridge)
    first = data[..., None] * moments[:, None, 0]
    residual = inserting @ first.reshape(n * p, -1) - curvature(maps)
    direction = scale * residual
    strength = (residual * direction).sum()
    for _ in range(_GRADIENT_STEPS):
        bent = curvature(direction)
        length = strength / (direction * bent).sum()
        maps, residual = maps + length * direction, residual - length * bent
        renewed = (residual * scale * residual).sum()
        direction = scale * residual + renewed / strength * direction
        strength = renewed
    return maps


def whiten(maps: Tensor, posterior: Posterior) -> tuple[Tensor, Posterior]:
    """Make the coordinates mean 0 and ``E[a aᵀ] = 1`` without changing the explained volumes."""
    shift = posterior.mean.mean(0)
    maps = torch.cat([maps[:, :1] + maps[:, 1:] @ shift[:, None], maps[:, 1:]], 1)
    centred = posterior.mean - shift
    second = centred.mT @ centred / len(centred) + posterior.covariance.mean(0)
    lower = torch.linalg.cholesky(second)
    inverse = torch.linalg.inv(lower)
    _, _, turn = torch.linalg.svd(maps[:, 1:] @ lower, full_matrices=False)
    change = turn @ inverse  # new a = change · old a
    maps = torch.cat([maps[:, :1], maps[:, 1:] @ lower @ turn.mT], 1)
    return maps, Posterior(centred @ change.mT, change @ posterior.covariance @ change.mT)


def ridge_of(maps: Tensor, weight: Tensor, ridge: Tensor, shells: Tensor) -> Tensor:
    """Expected inverse power of each map per shell.

    The posterior variance counts in: from the estimate alone a shell that is still empty would
    stay so for ever.
    """
    seen = (weight[:, 0] > 0).float()
    count = int(shells.max()) + 1
    power = (maps**2 + 1 / (weight + ridge)) * seen[:, None]
    total = torch.zeros(count, maps.shape[1], device=maps.device).index_add_(0, shells, power)
    members = torch.zeros(count, device=maps.device).index_add_(0, shells, seen)
    mean = total / members.clamp_min(1)[:, None]
    return (1 / mean.clamp_min(1e-6))[shells]
