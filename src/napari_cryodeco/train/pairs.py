"""Two species whose maps share their particles begin anew, from these alone.

Where images tell little, a start of several species can end with two maps that are both of the same
two species: each explains the particles of the other nearly as well as its own. From their
particles alone two maps part more surely than among all species.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.stages import Reporter
from napari_cryodeco.train.starts import Start, StartPlan, held_out_scores

FEWEST = 100  # particles of two species that are worth a start
IN_VAIN = 2  # pairs that stay as they are, the likest first, before the others are left alone


def parted(
    looks: Looks,
    evidence: Evidence,
    held: Evidence,
    volumes: Tensor,
    generator: torch.Generator,
    report: Reporter,
) -> Tensor:
    """Exchange the two maps of pairs where others explain unseen images better: ``(K, p)``.

    Parameters
    ----------
    looks, evidence, held
        The images; those to begin from; those that none of the maps has seen.
    volumes
        ``(K, p)`` of all species.
    generator
        Of the random starts.
    report
        Where to tell.
    """
    plan = StartPlan.of(2, looks)
    judged = held_out_scores(held, volumes, plan.last, plan.extent)
    tried: set[tuple[int, int]] = set()
    vain = 0
    while vain < IN_VAIN:
        scores = held_out_scores(evidence, volumes, plan.last, plan.extent)
        pair = next((pair for pair in alike(scores) if pair not in tried), None)
        if pair is None:
            break
        tried.add(pair)
        own = scores.argmax(1)
        rows = torch.nonzero((own == pair[0]) | (own == pair[1]))[:, 0]
        if len(rows) < FEWEST:
            break
        start = Start(evidence[rows], looks.power, plan, torch.full((len(rows), 2), 0.5))
        for step in range(plan.steps):
            start.step(step, generator)
            report.step(step + 1, plan.steps, f"species {pair[0] + 1} and {pair[1] + 1} anew")
        found = volumes.clone()
        found[list(pair)] = start.volumes
        better = held_out_scores(held, found, plan.last, plan.extent)
        if float((better.amax(1) - judged.amax(1)).mean()) > 0:
            volumes, judged = found, better
        else:
            vain += 1
    return volumes


def alike(scores: Tensor) -> list[tuple[int, int]]:
    """Pairs of species, those first that explain each other's images best: of ``(n, K)``."""
    own, behind = scores.argmax(1), scores.amax(1, keepdim=True) - scores
    far = torch.stack([behind[own == index].mean(0) for index in range(scores.shape[1])])
    far = (far + far.T).nan_to_num(torch.inf)
    pairs = torch.combinations(torch.arange(scores.shape[1])).tolist()
    return sorted(((a, b) for a, b in pairs), key=lambda pair: float(far[pair]))
