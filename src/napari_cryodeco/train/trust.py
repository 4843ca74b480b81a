"""What speaks for each species of an ab initio run, from the state of its joint stage."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from napari_cryodeco.imaging.sampling import fourier_coverage
from napari_cryodeco.runs.species import SpeciesRecord
from napari_cryodeco.train.explained import explained_by
from napari_cryodeco.train.looks import Looks

MOST = 4000  # particles of a species whose signal is measured


def records(looks: Looks, state: Mapping[str, Tensor]) -> list[SpeciesRecord]:
    """Records of all species.

    Parameters
    ----------
    looks
        All images.
    state
        Of the joint stage: of each species ``confirmed``, ``agreement`` and ``resolution``
        ``(K,)``; per particle and species ``rotations``, ``shifts`` and ``scores`` ``(n, K, …)``.
    """
    own = state["scores"].argmax(1)
    return [
        _record(looks, state, index, torch.nonzero(own == index)[:, 0])
        for index in range(len(state["volumes"]))
    ]


def _record(
    looks: Looks, state: Mapping[str, Tensor], index: int, members: Tensor
) -> SpeciesRecord:
    count = len(members)
    views = state["rotations"][members, index]
    return SpeciesRecord(
        images=count,
        again=bool(state["confirmed"][index]),
        agreement=float(state["agreement"][index]),
        sides=fourier_coverage(views, torch.ones(count)) if count else 0.0,
        resolution=float(state["resolution"][index]),
        explained=explained_by(looks, state, index, members, MOST),
    )
