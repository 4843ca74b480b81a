"""The last linear map of an encoder in closed form: what tells species apart, in units of noise.

Linear discriminants of the pooled channels. Two things spread the images of a species: noise (with
CTF and place), and what side of the particle is seen. Noise is to be made round. Seen sides only in
part: images are compared with their neighbours, and a direction that tells sides apart also tells
apart the like sides of two species.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

RIDGE = 0.3
"""Added to the noise's covariance, in units of its diagonal: real structures are not quite like
those that it was taken from."""
SIDES = 0.3
"""How much of the spread over sides counts as noise: 1 would be Fisher's discriminants. Both were
chosen on real *training* structures (docs/method.md)."""


@dataclass(frozen=True)
class Discriminants:
    """A linear map: `weight` ``(dim, f)``, `bias` ``(dim,)``, `strength` ``(dim,)``.

    The strength is the variance between species over what counts as noise, largest first.
    """

    weight: Tensor
    bias: Tensor
    strength: Tensor


class Scatter:
    """Running covariances between species, between sides of one species, and of the noise.

    Parameters
    ----------
    dim
        Length of the pooled features.
    """

    def __init__(self, dim: int) -> None:
        self._noise = torch.zeros(dim, dim, dtype=torch.float64)
        self._sides = torch.zeros(dim, dim, dtype=torch.float64)
        self._between = torch.zeros(dim, dim, dtype=torch.float64)
        self._mean = torch.zeros(dim, dtype=torch.float64)
        self._episodes = 0

    def add(self, pooled: Tensor, views: int, exposures: int) -> None:
        """Take in an episode ``(k·v, f)``, species by species of v images each.

        Every `exposures` images one after the other show one side.
        """
        sides = views // exposures
        values = pooled.detach().double().cpu().view(-1, sides, exposures, pooled.shape[1])
        seen = values.mean(2)
        centres = seen.mean(1)
        noise = _covariance((values - seen[:, :, None]).flatten(0, 2), len(values) * sides)
        side = _covariance((seen - centres[:, None]).flatten(0, 1), len(values))
        self._noise += noise
        self._sides += side - noise / exposures
        self._between += _covariance(centres - centres.mean(0), 1) - side / sides
        self._mean += centres.mean(0)
        self._episodes += 1

    def solve(self, dim: int, ridge: float = RIDGE) -> Discriminants:
        """The `dim` strongest directions."""
        within = (self._noise + SIDES * self._sides) / self._episodes
        within = within + ridge * torch.diag(within.diagonal() + 1e-9)
        factor = torch.linalg.cholesky(within)
        half = torch.linalg.solve_triangular(factor, self._between / self._episodes, upper=False)
        whitened = torch.linalg.solve_triangular(factor, half.T, upper=False)
        strength, axes = torch.linalg.eigh((whitened + whitened.T) / 2)
        strength, axes = strength.flip(0)[:dim], axes.flip(1)[:, :dim]
        weight = torch.linalg.solve_triangular(factor.T, axes, upper=True).T
        bias = -weight @ (self._mean / self._episodes)
        return Discriminants(weight.float(), bias.float(), strength.float())


def _covariance(rest: Tensor, means: int) -> Tensor:
    """Of what is left of rows ``(n, f)`` after so many means were taken off."""
    return rest.T @ rest / (len(rest) - means)
