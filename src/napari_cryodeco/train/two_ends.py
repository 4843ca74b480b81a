"""Two maps of the particles of one species, begun at the two ends of what varies."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.train.looks import Looks, Stream
from napari_cryodeco.train.matching import SearchPlan, rebuild
from napari_cryodeco.train.state_chain import Matches, Tick, part_of, search_everywhere

END = 1 / 3  # share of the particles at either end from which the two maps begin
PURE = 0.2  # share of the particles that either map explains best before the other
PLANS = (SearchPlan(9, 12, keep=4), SearchPlan(10, 14, keep=4), *[SearchPlan(11, 16, keep=4)] * 4)
PURE_PASSES = 2  # the last ones


def taken_apart(looks: Looks, rows: Tensor, poses: Poses, along: Tensor, tick: Tick) -> Matches:
    """Sharpen two maps and find the particles in either.

    They share the particles by likelihood; at last each is made of the few that it explains best
    before the other, for those in between have a wrong pose in one of the two.

    Parameters
    ----------
    looks, rows
        All images; which of them take part.
    poses
        Theirs in the one map that they have, shifts in box sides.
    along
        ``(m,)`` where each lies along what varies.
    tick
        Called after each batch.
    """
    both = torch.stack([poses.rotations] * 2, 1), torch.stack([poses.shifts] * 2, 1)
    found, weights = Matches(*both, torch.stack([-along, along], 1)), ends(along, END)
    for number, plan in enumerate(PLANS):
        maps = rebuilt(looks, rows, found, weights)
        found = search_everywhere(looks, rows, maps, plan, part_of(tick, number, len(PLANS)))
        pure = number >= len(PLANS) - PURE_PASSES - 1  # the next pass is one of those
        apart = found.scores[:, 1] - found.scores[:, 0]
        weights = ends(apart, PURE) if pure else found.scores.softmax(1)
    return found


def ends(along: Tensor, share: float) -> Tensor:
    """Weights ``(n, 2)``: 1 for a share of the particles at the lower and at the upper end."""
    count, order = max(1, int(share * len(along))), along.argsort()
    weights = torch.zeros(len(along), 2)
    weights[order[:count], 0] = 1.0
    weights[order[-count:], 1] = 1.0
    return weights


def rebuilt(looks: Looks, rows: Tensor, found: Matches, weights: Tensor) -> Tensor:
    """Maps ``(K, p)`` of particles at their poses in each of K, by weights ``(m, K)``."""
    seen, maps = Stream(looks, rows), []
    for index in range(weights.shape[1]):
        poses, share = found.of(index).to(looks.device), weights[:, index].to(looks.device)
        made = rebuild(seen, poses.rotations, poses.shifts, share, looks.power, looks.radius)
        maps.append(made.volume)
    return torch.stack(maps)
