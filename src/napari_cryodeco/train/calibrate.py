"""The last linear map of an encoder in closed form: what tells species apart, in units of noise.

Linear discriminants of the pooled channels: directions in which species of one episode differ,
scaled so that images of one species spread by 1 in each. Unseen species then are round clouds, as
mixtures of Gaussians want them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_RIDGE = 3e-3


@dataclass(frozen=True)
class Discriminants:
    """A linear map: `weight` ``(dim, f)``, `bias` ``(dim,)``, `strength` ``(dim,)``.

    The strength is the variance between species over that within, largest first.
    """

    weight: Tensor
    bias: Tensor
    strength: Tensor


class Scatter:
    """Running within- and between-species covariances.

    Parameters
    ----------
    dim
        Length of the pooled features.
    """

    def __init__(self, dim: int) -> None:
        self._within = torch.zeros(dim, dim, dtype=torch.float64)
        self._between = torch.zeros(dim, dim, dtype=torch.float64)
        self._mean = torch.zeros(dim, dtype=torch.float64)
        self._images, self._species, self._episodes, self._views = 0, 0, 0, 0

    def add(self, pooled: Tensor, views: int) -> None:
        """Take in an episode ``(k·v, f)``, species by species, of v images each."""
        values = pooled.detach().double().cpu().view(-1, views, pooled.shape[1])
        centres = values.mean(1)
        inner = (values - centres[:, None]).flatten(0, 1)
        outer = centres - centres.mean(0)
        self._within += inner.T @ inner
        self._between += outer.T @ outer
        self._mean += centres.sum(0)
        self._images += len(inner)
        self._species += len(centres)
        self._episodes += 1
        self._views = views

    def solve(self, dim: int) -> Discriminants:
        """The `dim` strongest directions."""
        within = self._within / (self._images - self._species)
        between = self._between / (self._species - self._episodes) - within / self._views
        within = within + _RIDGE * torch.diag(within.diagonal() + 1e-9)
        factor = torch.linalg.cholesky(within)
        half = torch.linalg.solve_triangular(factor, between, upper=False)
        whitened = torch.linalg.solve_triangular(factor, half.T, upper=False)
        strength, axes = torch.linalg.eigh((whitened + whitened.T) / 2)
        strength, axes = strength.flip(0)[:dim], axes.flip(1)[:, :dim]
        weight = torch.linalg.solve_triangular(factor.T, axes, upper=True).T
        bias = -weight @ (self._mean / self._species)
        return Discriminants(weight.float(), bias.float(), strength.float())
