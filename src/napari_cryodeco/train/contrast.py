"""Losses that draw images of one species together and push others away.

`features` ``(k·v, f)`` are those of an episode: v images of each of k species, species by species.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Prototypes(nn.Module):
    """Each image is to lie nearest the mean of the *others* of its species.

    The scale of the cosines is learnt. Source: generalised end-to-end loss of speaker verification
    (Wan et al. 2018), prototypical networks (Snell et al. 2017).

    Parameters
    ----------
    temperature
        What cosines are divided by, at the start.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(1 / temperature).log())

    def forward(self, features: Tensor, views: int) -> Tensor:
        """Mean cross-entropy; `views` is v."""
        unit = functional.normalize(features, dim=1)
        sums = unit.view(-1, views, unit.shape[1]).sum(1)
        centres = functional.normalize(sums, dim=1)
        others = functional.normalize(sums.repeat_interleave(views, 0) - unit, dim=1)
        species = torch.arange(len(centres), device=unit.device).repeat_interleave(views)
        own = (unit * others).sum(1, keepdim=True)
        cosines = (unit @ centres.T).scatter(1, species[:, None], own)
        return functional.cross_entropy(cosines * self.sharpness.exp(), species)


class SupervisedContrast(nn.Module):
    """Each image is to be like every other of its species (Khosla et al. 2020).

    Parameters
    ----------
    temperature
        What cosines are divided by.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self._temperature = temperature

    def forward(self, features: Tensor, views: int) -> Tensor:
        """Mean over images of the mean cross-entropy of their fellows; `views` is v."""
        unit = functional.normalize(features, dim=1)
        species = torch.arange(len(unit), device=unit.device) // views
        same = species[:, None] == species
        oneself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        logits = (unit @ unit.T / self._temperature).masked_fill(oneself, -1e9)
        likely = logits.log_softmax(1) * (same & ~oneself)
        return -likely.sum(1).mean() / (views - 1)


class Identity(nn.Module):
    """Each structure of the bank is a class with a direction of its own.

    Parameters
    ----------
    classes, dim
        Structures, and length of the features.
    temperature
        What cosines are divided by, at the start.
    """

    def __init__(self, classes: int, dim: int, temperature: float) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(classes, dim))
        self.sharpness = nn.Parameter(torch.tensor(1 / temperature).log())

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy with the classes `labels` ``(b,)``."""
        unit = functional.normalize(features, dim=1)
        cosines = unit @ functional.normalize(self.directions, dim=1).T
        return functional.cross_entropy(cosines * self.sharpness.exp(), labels)
