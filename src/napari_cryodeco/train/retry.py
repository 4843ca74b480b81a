"""A second look at each species: its particles may rather have another map.

A species can lock into a wrong map and yet keep its particles. New random starts from those
particles are judged beside the map that they have, on particles that neither has used.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_cryodeco.train.abinit import HELD_OUT, SAMPLE, Looks, sharpen, side_by_side
from napari_cryodeco.train.matching import rebuild
from napari_cryodeco.train.single import StartPlan, held_out_score, random_start
from napari_cryodeco.train.stages import Reporter, generator

STARTS = 2
FEWEST = 60  # particles that a species needs for a start


def second_look(
    looks: Looks,
    rows: Tensor,
    rotations: Tensor,
    shifts: Tensor,
    seed: int,
    threads: int,
    report: Reporter,
) -> Tensor | None:
    """A better volume ``(p,)`` for some particles, or None where theirs is the best.

    Parameters
    ----------
    looks
        All images.
    rows
        ``(m,)`` particles of the species.
    rotations, shifts
        ``(m, 3, 3)`` and ``(m, 2)`` in box sides: their poses in the present map.
    seed, threads
        Of the random starts; threads that run them side by side.
    report
        For progress.
    """
    if len(rows) < FEWEST:
        return None
    order = torch.randperm(len(rows), generator=generator(seed, "retry", 0))[:SAMPLE]
    evidence, power = looks.evidence(rows[order]), looks.power()
    held = max(8, int(HELD_OUT * len(order)))
    plan = StartPlan(last=min(9, looks.radius))
    device = evidence.data.device

    def judged(volume: Tensor) -> float:
        return held_out_score(evidence[:held], volume, plan.last, plan.extent)

    def one(start: int) -> tuple[Tensor, float]:
        def tick(step: int) -> None:
            report.check_stop()

        drawn = generator(seed, "retry-start", start)
        volume = random_start(evidence[held:], power, plan, drawn, None, tick)
        return volume, judged(volume)

    seen = order[held:]
    present = rebuild(
        evidence[held:],
        rotations[seen].to(device),
        shifts[seen].to(device),
        torch.ones(len(seen), device=device),
        power,
        plan.last,
    )
    found = max(side_by_side(one, STARTS, threads), key=lambda start: start[1])
    if found[1] <= judged(present.volume):
        return None
    return sharpen(evidence, found[0], power, looks, report.check_stop)[0]
