"""Where a molecule moves along a series of maps, and how far: in Å, and as spread in σ.

The middle map is followed through all others (`flow`). The Å of a place is the distance between the
two places farthest apart that its density takes. Density may also come and go without moving, and
any two maps have a flow between them: places that the flow does not explain, or where it tears the
density apart, are marked as unclear, and how much of the change movement explains is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from napari_cryodeco.explore.flow import sampled, track, window_radius
from napari_cryodeco.explore.render import suggest_level
from napari_cryodeco.explore.volumes import Volume, VolumeDecoder, VolumeRequest, common_sigma

MOST_BOX = 96  # voxels a side of the maps that are followed: time goes with the cube
FAR = 98  # percentile that stands for the largest motion: one voxel may be wrong
_SMOOTH = 0.5  # voxels: detail at the limit of the grid cannot be differentiated
_MARGIN = 10  # voxels kept around the density
_NOTHING = 0.25  # σ: what changes less has not changed
_EXPLAINED = 0.5  # share of the local change that movement must explain to be believed
_TORN = 0.3  # strain of a step; 0.1 where a domain turns by 8°, 1 between unlike molecules
_RIM = 4  # voxels outside the density that take the value of the nearest place
_REACH = 2  # voxels from followed density within which other density belongs to it

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Motion:
    """How the density of the middle one of a series of maps moves.

    Parameters
    ----------
    frames
        The maps, in their order.
    sigma, level
        Common σ of the maps, and the height in σ above which there is density.
    spread
        ``(b, b, b)`` float32: standard deviation over the maps, in σ.
    places
        ``(m, 3)`` int64: voxels zyx of the middle map above the level.
    ways
        ``(t, m, 3)`` float32: zyx in Å from there to where this density is in each map.
    unclear
        ``(m,)`` bool: there the maps change and movement does not explain it, or tears the density.
    explained
        Share of the change of the maps that movement explains, 0 to 1; None where nothing changes.
        At unclear places it explains nothing.
    unreached
        Å³ of density of any one map, at most, that nothing of the middle map moves to.
    """

    frames: tuple[Volume, ...]
    sigma: float
    level: float
    spread: np.ndarray
    places: np.ndarray
    ways: np.ndarray
    unclear: np.ndarray
    explained: float | None
    unreached: float

    @property
    def middle(self) -> Volume:
        """The map in which places are given."""
        return self.frames[len(self.frames) // 2]

    @property
    def mean(self) -> Volume:
        """The mean of all maps: what moves is blurred in it."""
        data = np.mean([volume.data for volume in self.frames], axis=0)
        return Volume(data.astype(np.float32), self.middle.voxel_size)

    @cached_property
    def travel(self) -> np.ndarray:
        """``(m,)`` Å between the two places farthest apart that each place goes to."""
        farthest = np.zeros(len(self.places), np.float32)
        for index in range(1, len(self.ways)):
            steps = self.ways[:index] - self.ways[index]
            farthest = np.maximum(farthest, np.sqrt((steps**2).sum(2)).max(0))
        return farthest

    @property
    def most(self) -> float:
        """Å that 98 % of the density, as far as it is clear, do not exceed."""
        return self._travelled(FAR)

    def _travelled(self, percent: float) -> float:
        clear = self.travel[~self.unclear]
        return float(np.percentile(clear, percent)) if len(clear) else 0.0

    @property
    def volume(self) -> float:
        """Å³ of density in the middle map."""
        return len(self.places) * self.middle.voxel_size**3

    def placed(self, values: np.ndarray) -> np.ndarray:
        """Values ``(m,)`` of the places as a map ``(b, b, b)`` float32.

        A rim of four voxels has the value of the nearest place, so that a surface between density
        and solvent has it too; beyond is 0.
        """
        whole = np.zeros(self.spread.shape, np.float32)
        outside = np.ones(whole.shape, bool)
        where = tuple(self.places.T)
        whole[where], outside[where] = values, False
        distance, nearest = distance_transform_edt(outside, return_indices=True)
        return np.where(distance <= _RIM, whole[tuple(nearest)], 0).astype(np.float32)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, for people; the last ones warn."""
        if self.explained is None:
            return ("Nothing changes between these maps.",)
        half = self._travelled(50)
        if self.unclear.all():
            return (
                "Everywhere the maps change, and it is not movement: density comes and goes. "
                "Look at the spread (σ) or at a difference instead.",
            )
        said = [
            f"Most movement: {self.most:.1f} Å; half of the density moves less than {half:.1f} Å.",
            f"Movement explains {self.explained:.0%} of the change.",
        ]
        if self.most < self.middle.voxel_size:
            said.append(
                f"That is less than a voxel ({self.middle.voxel_size:.1f} Å): read it as still."
            )
        if self.explained < _EXPLAINED:
            said.append(
                "Most of the change is not movement: density comes and goes, and the Å mean "
                "little. Look at the spread (σ) or at a difference instead."
            )
        share = self.unreached / self.volume if self.volume else 0.0
        if share > 0.1:
            said.append(
                f"Up to {self.unreached:,.0f} Å³ ({share:.0%}) of a map belong to nothing in the "
                "middle map and have no Å."
            )
        return tuple(said)


def motion_along(
    decoder: VolumeDecoder,
    points: np.ndarray,
    low_pass: float | None = None,
    b_factor: float = 0.0,
    level: float | None = None,
    progress: Progress | None = None,
) -> Motion:
    """Decode the maps of latent points ``(t, d)`` in their order and follow their density.

    They share a frame and a scale. The box has at most :data:`MOST_BOX` voxels a side.
    Raising in `progress` cancels.
    """
    steps = 2 * len(points) - 1
    tell = progress or (lambda done, of: None)
    box = min(decoder.geometry.box, MOST_BOX)
    requests = [VolumeRequest(z, None, box, low_pass, b_factor) for z in points]
    volumes: list[Volume] = []
    for volume in decoder.decode_many(requests):
        volumes.append(volume)
        tell(len(volumes), steps)
    return motion_of(volumes, level, lambda done, _: tell(len(volumes) + done, steps))


def motion_of(
    volumes: Sequence[Volume], level: float | None = None, progress: Progress | None = None
) -> Motion:
    """Follow the density of the middle one of a series of maps through the others.

    Parameters
    ----------
    volumes
        In the order of the motion, of one grid and one frame.
    level
        In their common σ above their mean; None: between solvent and molecule.
    progress
        Told ``(done, of)`` before each step from map to map; raising cancels.

    Raises
    ------
    ValueError
        For fewer than two maps, maps of different grids, or a level that nothing reaches.
    """
    sigma = _checked(volumes)
    level = suggest_level(volumes, sigma) if level is None else level
    maps = [volume.in_sigma(sigma) for volume in volumes]
    middle, voxel = len(maps) // 2, volumes[0].voxel_size
    places = np.argwhere(maps[middle] >= level)
    if not len(places):
        raise ValueError(f"Nothing of the middle map is above {level:.2f} σ: choose a lower level.")
    corner, window = _around([one >= level for one in maps])
    fields = [gaussian_filter(one, _SMOOTH)[window] for one in maps]
    radius = window_radius(voxel)

    def tell(done: int) -> None:
        if progress is not None:
            progress(done, len(maps) - 1)

    ways, strain = track(fields, places - corner, middle, radius, tell)
    tell(len(maps) - 1)
    change, left = _changes(fields, places - corner, ways, middle)
    unclear = _unclear(change, left, strain, places, maps[0].shape, radius, len(maps))
    total = float(change.sum())
    rest = float(np.where(unclear, change, left).sum())
    explained = max(0.0, 1 - rest / total) if total > 1e-9 * len(places) else None
    unreached = _unreached([one >= level for one in maps], places, ways) * voxel**3
    spread = np.std(maps, axis=0).astype(np.float32)
    return Motion(
        tuple(volumes),
        sigma,
        level,
        spread,
        places,
        ways * np.float32(voxel),
        unclear,
        explained,
        unreached,
    )


def _checked(volumes: Sequence[Volume]) -> float:
    """The common σ of maps that may be compared."""
    if len(volumes) < 2:
        raise ValueError("A motion needs at least two maps.")
    if len({(volume.data.shape, round(volume.voxel_size, 4)) for volume in volumes}) > 1:
        raise ValueError("The maps of a motion must have one box and one voxel size.")
    sigma = common_sigma(volumes)
    if not sigma > 0:
        raise ValueError("These maps are empty: there is nothing to follow.")
    return sigma


def _around(masks: Sequence[np.ndarray]) -> tuple[np.ndarray, tuple[slice, ...]]:
    """The first voxel zyx, and the window, of all that any mask has, with a margin."""
    filled = np.argwhere(np.any(masks, axis=0))
    low = np.maximum(filled.min(0) - _MARGIN, 0)
    high = filled.max(0) + _MARGIN + 1
    return low, tuple(slice(begin, end) for begin, end in zip(low, high, strict=True))


def _changes(
    fields: Sequence[np.ndarray], places: np.ndarray, ways: np.ndarray, middle: int
) -> tuple[np.ndarray, np.ndarray]:
    """Squared differences ``(m,)`` of the other maps from the middle one, summed over them.

    Once where the places are, and once where they have moved to: what is left is not movement.
    """
    here = fields[middle][tuple(places.T)]
    change, left = np.zeros(len(places)), np.zeros(len(places))
    for index, one in enumerate(fields):
        if index != middle:
            change += (one[tuple(places.T)] - here) ** 2
            left += (sampled(one[None], places + ways[index])[:, 0] - here) ** 2
    return change, left


def _unclear(
    change: np.ndarray,
    left: np.ndarray,
    strain: np.ndarray,
    places: np.ndarray,
    shape: tuple[int, ...],
    radius: int,
    maps: int,
) -> np.ndarray:
    """Places ``(m,)`` that change, in a window about them, and do not just move."""

    def nearby(values: np.ndarray) -> np.ndarray:
        whole = np.zeros(shape)
        whole[tuple(places.T)] = values
        summed: np.ndarray = gaussian_filter(whole, radius / 2)[tuple(places.T)]
        return summed

    count, changed = nearby(np.ones(len(places))), nearby(change)
    noticed = changed > _NOTHING**2 * (maps - 1) * count
    unexplained = nearby(left) > (1 - _EXPLAINED) * changed
    torn = nearby(strain) > _TORN * count
    return noticed & (unexplained | torn)


def _unreached(masks: Sequence[np.ndarray], places: np.ndarray, ways: np.ndarray) -> int:
    """Voxels of density that no followed place comes near to, in the map that has most of them."""
    most, last = 0, np.array(masks[0].shape) - 1
    for mask, way in zip(masks, ways, strict=True):
        reached = np.zeros(mask.shape, bool)
        reached[tuple(np.clip(np.rint(places + way), 0, last).astype(int).T)] = True
        near = binary_dilation(reached, iterations=_REACH)
        most = max(most, int(np.count_nonzero(mask & ~near)))
    return most
