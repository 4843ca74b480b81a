"""How much of its particles' signal a map explains: a mixture, motion and wrong poses leave a rest.

A map of particles that are alike at right poses explains all of it, at any noise. Where two species
share a map, a part moves or poses are wrong, the map is a mean that each particle differs from.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from napari_cryodeco.imaging import fsc
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.fourier import Accumulator, Cube
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.spectrum import shell_sums
from napari_cryodeco.model.evidence import Evidence, Source
from napari_cryodeco.train.looks import Looks, Stream
from napari_cryodeco.train.matching import insert

FIRST, LAST = 5, 12  # shells that tell: under them all maps are alike, beyond them poses are not
FEWEST = 30  # particles whose half-maps tell
_FAINTEST = 0.1  # FSC under which a shell of the half-maps is mostly noise
_TOGETHER = 512  # images read at once


def explained_share(
    source: Source, rotations: Tensor, shifts: Tensor, power: Tensor
) -> float | None:
    """Share of the signal of some particles that is in their mean map, about 0…1; None: too few.

    Parameters
    ----------
    source
        The particles ``(m,)``.
    rotations, shifts
        Their poses: ``(m, 3, 3)``, and ``(m, 2)`` in box sides.
    power
        Signal power per shell, ``(radius + 1,)``.

    Notes
    -----
    Each particle is compared with the map of the other half of them, so that its own noise explains
    nothing. Of a shell with the weighted images d = CTF·x and what the map predicts of them,
    p = CTF²·slice, the share is ⟨d, p⟩² / (⟨p, p⟩ · ⟨d² − CTF²⟩ · FSC): the noise of the half-map
    in ⟨p, p⟩ is what the FSC of the halves takes out. Shells weigh by their signal. What reaches
    beyond 0.8 of the box is not in the map of any species and counts as not explained.
    """
    last = min(LAST, len(power) - 1)
    if len(source) < FEWEST or last < FIRST:
        return None
    ball3 = Ball(last, 3, rotations.device)
    maps = [_half(source, rotations, shifts, power, which, last) for which in range(2)]
    alike = fsc.of_coefficients(maps[0], maps[1], ball3)[FIRST - 1 :].clamp_min(_FAINTEST)
    sums = torch.zeros(3, last + 1, device=rotations.device)
    for which, cube in enumerate(Cube(volume[None], ball3, last) for volume in maps):
        for rows in torch.arange(1 - which, len(source), 2).split(_TOGETHER):
            seen = source[rows].prefix(last)
            sums += _compared(seen, cube, rotations[rows], shifts[rows], last)
    met, predicted, signal = sums[:, FIRST:].clamp_min(1e-9)
    share = met.square() / (predicted * signal * alike)
    return float((share * signal).sum() / signal.sum())


def explained_by(
    looks: Looks, state: Mapping[str, Tensor], index: int, members: Tensor, most: int
) -> float | None:
    """What the map of a species explains of (some of, at `most`) its `members`, rows ``(m,)``.

    `state` is that of the joint stage.
    """
    some = members[:: max(1, -(-len(members) // most))]
    rotations, shifts = (
        state[name][some, index].to(looks.device) for name in ("rotations", "shifts")
    )
    return explained_share(Stream(looks, some), rotations, shifts, looks.power)


def _half(
    source: Source, rotations: Tensor, shifts: Tensor, power: Tensor, half: int, radius: int
) -> Tensor:
    sums = Accumulator.empty(radius, rotations.device)
    insert(sums, source, torch.arange(half, len(source), 2), Poses(rotations, shifts))
    return sums.solve(power[: radius + 1])


def _compared(seen: Evidence, cube: Cube, rotations: Tensor, shifts: Tensor, last: int) -> Tensor:
    """Sums over images, per shell: ⟨d, p⟩, ⟨p, p⟩ and ⟨d² − CTF²⟩ as ``(3, last + 1)``."""
    moved = seen.shifted(shifts[:, None])[:, 0]
    predicted = seen.ctf2 * cube.slice(0, rotations, seen.ball, last)
    values = (moved * predicted, predicted**2, moved**2 - seen.ctf2)
    return torch.stack([shell_sums(value.sum(0), seen.ball, last) for value in values])
