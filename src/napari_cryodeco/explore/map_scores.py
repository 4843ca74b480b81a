"""Maps of a run against true maps: FSC areas per image and per conformation, as CryoBench's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.explore.alignment import Progress, align_maps
from napari_cryodeco.explore.volumes import Volume, VolumeDecoder, VolumeRequest
from napari_cryodeco.imaging import fsc
from napari_cryodeco.imaging.resample import resample
from napari_cryodeco.runs.store import read_mrc


@dataclass(frozen=True, eq=False)
class MapScores:
    """FSC areas of some maps.

    Parameters
    ----------
    rows
        ``(m,)`` particles whose z was decoded.
    classes
        ``(m,)`` their true classes.
    areas
        ``(m,)`` areas under the FSC with the true map (:func:`napari_cryodeco.imaging.fsc.area`).
    best
        What two equal maps would have in this box.
    """

    rows: np.ndarray
    classes: np.ndarray
    areas: np.ndarray
    best: float

    @property
    def mean(self) -> float:
        """Over all maps."""
        return float(self.areas.mean())

    def by_class(self) -> dict[int, float]:
        """Mean of each class that has a map."""
        return {
            int(c): float(self.areas[self.classes == c].mean()) for c in np.unique(self.classes)
        }


def image_rows(n: int, count: int = 100) -> np.ndarray:
    """Every ``n // count``-th particle, `count` of them (all, of fewer)."""
    return np.arange(0, n, max(1, n // count))[:count]


def conformation_rows(latents: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each class in turn the particle, of all, nearest to the mean z of its members."""
    means = [latents[labels == c].mean(0) for c in np.unique(labels)]
    return np.array([((latents - mean) ** 2).sum(1).argmin() for mean in means])


def score_maps(
    decoder: VolumeDecoder,
    points: np.ndarray,
    rows: np.ndarray,
    classes: np.ndarray,
    maps: Sequence[Path],
    align: bool,
    progress: Progress | None = None,
) -> MapScores:
    """Decode `points` ``(m, d)`` and compare each map with that of its true class.

    Parameters
    ----------
    rows, classes
        ``(m,)`` which particles the points are of, and their true classes.
    maps
        True map of each class; sampled in the run's working box.
    align
        Lay each map over the true one first, either hand: after ab initio the frame is arbitrary.
    progress
        Called with (maps done, maps in all); raising in it cancels.
    """
    geometry = decoder.geometry

    @lru_cache(maxsize=16)
    def truth(number: int) -> Volume:
        data, voxel = read_mrc(maps[number])
        here = resample(torch.from_numpy(data), voxel, geometry.box, geometry.pixel_size)
        return Volume(here.numpy(), geometry.pixel_size)

    areas = []
    requests = [VolumeRequest(point) for point in points]
    for volume, number in zip(decoder.decode_many(requests), classes.tolist(), strict=True):
        if align:
            volume = align_maps(volume, truth(number)).volume
        pair = (torch.from_numpy(v.data) for v in (volume, truth(number)))
        areas.append(fsc.area(fsc.cryobench_curve(*pair)))
        if progress is not None:
            progress(len(areas), len(points))
    best = fsc.area(torch.ones(geometry.box // 2))
    return MapScores(rows, classes, np.array(areas), best)
