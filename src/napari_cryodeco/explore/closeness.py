"""How crowded it is about each particle in z."""

from __future__ import annotations

import numpy as np
import torch

NEIGHBOUR = 10
_OTHERS = 5_000  # a random part of the particles that distances are taken to
_TABLE = 2**25


@torch.no_grad()
def closeness(latents: np.ndarray, seed: int = 0) -> np.ndarray:
    """Local density ``(n,)`` float32: median distance to the tenth neighbour over each one's own.

    1 for the particle of median crowding, 2 where neighbours are at half the distance. It is no
    density to a power: in many dimensions that would be a number with all its digits before or
    after the point. Neighbours are sought among at most 5,000 random particles, itself left out.

    Parameters
    ----------
    latents
        ``(n, d)``.
    """
    n = len(latents)
    z = torch.from_numpy(np.array(latents, dtype=np.float32))
    z -= z.mean(0)  # products of large numbers would lose small distances
    rows = torch.arange(n)
    if n > _OTHERS:
        drawn = np.random.default_rng(seed).choice(n, _OTHERS, replace=False)
        rows = torch.from_numpy(np.sort(drawn))
    rank = min(NEIGHBOUR, len(rows) - 1)
    if rank < 1:
        return np.ones(n, dtype=np.float32)
    own = torch.zeros(n, dtype=torch.long)
    own[rows] = 1  # its distance of zero to itself comes first
    distance = torch.empty(n)
    for block in torch.arange(n).split(max(1, _TABLE // len(rows))):
        nearest = torch.cdist(z[block], z[rows]).topk(rank + 1, largest=False).values
        distance[block] = nearest.gather(1, (rank - 1 + own[block])[:, None])[:, 0]
    smallest = distance[distance > 0].min() if bool((distance > 0).any()) else 1.0
    return (distance.median() / distance.clamp(min=smallest)).numpy().astype(np.float32)
