"""The network and the loss of MoCo v3 (Chen, Xie & He 2021), for any encoder.

Source: algorithm.md §5, the BUILD row.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from napari_cryodeco.train import distributed


class Encoder(Protocol):
    """An encoder with features to contrast."""

    def features(self, views: Tensor) -> Tensor:
        """Features ``(b, dim)`` of views ``(b, 1, s, s)``."""


def _perceptron(*sizes: int) -> nn.Sequential:
    """Linear layers, batch norm and ReLU between them; the last batch norm has no weights."""
    layers: list[nn.Module] = []
    for entering, leaving in pairwise(sizes[:-1]):
        layers += [
            nn.Linear(entering, leaving, bias=False),
            nn.BatchNorm1d(leaving),
            nn.ReLU(inplace=True),
        ]
    last = nn.Linear(sizes[-2], sizes[-1], bias=False)
    return nn.Sequential(*layers, last, nn.BatchNorm1d(sizes[-1], affine=False))


class MocoNetwork(nn.Module):
    """Encoder and projector, their slow twins, and the predictor.

    Parameters
    ----------
    encoder
        With `features`; what is not to be trained has ``requires_grad`` False.
    dim
        Length of its features.
    hidden, out
        Widths of projector (three layers) and predictor (two), and of what is contrasted.
    """

    def __init__(self, encoder: nn.Module, dim: int, hidden: int = 4096, out: int = 256) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = _perceptron(dim, hidden, hidden, out)
        self.predictor = _perceptron(out, hidden, out)
        self.key_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.key_projector = copy.deepcopy(self.projector).requires_grad_(False)

    def queries(self, views: Tensor) -> Tensor:
        """``(b, out)`` of views ``(b, 1, s, s)``."""
        features = cast(Encoder, self.encoder).features(views)
        return self.predictor(self.projector(features))

    @torch.no_grad()
    def keys(self, views: Tensor) -> Tensor:
        """``(b, out)`` of views ``(b, 1, s, s)``, by the slow twins."""
        features = cast(Encoder, self.key_encoder).features(views)
        return self.key_projector(features)

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Let the slow twins keep `momentum` (0…1) of themselves."""
        twins = ((self.encoder, self.key_encoder), (self.projector, self.key_projector))
        for fast, slow in twins:
            for new, old in zip(fast.parameters(), slow.parameters(), strict=True):
                old.lerp_(new, 1 - momentum)


def contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Find the key of each query among the keys of all processes: 2τ times the cross entropy.

    Parameters
    ----------
    queries, keys
        ``(b, f)``; row i of both is one image.
    temperature
        τ, which divides the cosines.
    """
    queries = nn.functional.normalize(queries.float(), dim=1)
    everyone = distributed.gather(nn.functional.normalize(keys.float(), dim=1))
    own = torch.arange(len(queries), device=queries.device) + distributed.rank() * len(queries)
    cosines = queries @ everyone.T
    return 2 * temperature * nn.functional.cross_entropy(cosines / temperature, own)
