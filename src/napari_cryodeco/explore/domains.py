"""The parts of a molecule that move: connected regions, how large they are, and how they turn."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.ndimage import label
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from napari_cryodeco.explore.flow import sampled
from napari_cryodeco.explore.motion import FAR, Motion

SMALLEST = 4000.0  # Å³, some 3 kDa of protein: about what one window of the flow sees


@dataclass(frozen=True)
class Domain:
    """A connected part of the middle map that moves.

    Parameters
    ----------
    volume
        Å³.
    mean, most
        Å that its density moves: on average, and 98 % of it at most.
    centre, low, high
        ``(x, y, z)`` in Å from voxel 0 of the map, as ChimeraX shows the file: centre of mass and
        the corners of the box around it.
    shift, turn
        From the first map to the last, of the rigid body that fits the density of the domain best:
        Å by which its centre is moved, degrees by which it is turned.
    fit
        The least correlation, of all maps, of the density of the domain with what is where the
        rigid body is; low where it bends, or where still density is counted to it.
    """

    volume: float
    mean: float
    most: float
    centre: tuple[float, float, float]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    shift: float
    turn: float
    fit: float

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def suggest_least(motion: Motion) -> float:
    """Å above which density counts as moving: half of the most, and a voxel at least."""
    return max(motion.middle.voxel_size, motion.most / 2)


def moving_domains(motion: Motion, least: float | None = None) -> tuple[Domain, ...]:
    """Connected regions that move more than `least` Å, the largest first.

    Regions under :data:`SMALLEST` are left out, and so is what is unclear.
    """
    least = suggest_least(motion) if least is None else least
    moving = (motion.travel > least) & ~motion.unclear
    mask = np.zeros(motion.spread.shape, bool)
    mask[tuple(motion.places[moving].T)] = True
    numbers, count = label(mask, np.ones((3, 3, 3)))
    of_place = np.where(moving, numbers[tuple(motion.places.T)], 0)
    voxel = motion.middle.voxel_size**3
    sizes = np.bincount(of_place, minlength=count + 1)
    kept = [n for n in range(1, count + 1) if sizes[n] * voxel >= SMALLEST]
    kept.sort(key=lambda n: -sizes[n])
    return tuple(_domain(motion, np.flatnonzero(of_place == n)) for n in kept)


def _domain(motion: Motion, rows: np.ndarray) -> Domain:
    voxel, travel = motion.middle.voxel_size, motion.travel[rows]
    at = motion.places[rows] * voxel
    shift, turn, fit = _rigid(motion, motion.places[rows])
    return Domain(
        volume=len(rows) * voxel**3,
        mean=float(travel.mean()),
        most=float(np.percentile(travel, FAR)),
        centre=_xyz(at.mean(0)),
        low=_xyz(at.min(0)),
        high=_xyz(at.max(0)),
        shift=shift * voxel,
        turn=turn,
        fit=fit,
    )


def _rigid(motion: Motion, places: np.ndarray) -> tuple[float, float, float]:
    """Shift in voxels, turn in degrees, and fit of the density at places ``(m, 3)`` zyx.

    The body of the middle map is laid into each map in turn, beginning where it was in the one
    before. (The windows of the flow are too small to see a turn of what has little detail.)
    """
    maps = [volume.in_sigma(motion.sigma) for volume in motion.frames]
    middle = len(maps) // 2
    body, centre = maps[middle][tuple(places.T)], places.mean(0)
    ends, fit = [], 1.0
    for order in (range(middle - 1, -1, -1), range(middle + 1, len(maps))):
        where = np.zeros(6)  # rotation vector, radians, and shift in voxels, both zyx
        for index in order:
            given = (maps[index], places - centre, centre, body)
            where = least_squares(_misfit, where, args=given, loss="cauchy").x
            there = body + _misfit(where, *given)
            fit = min(fit, float(np.corrcoef(body, there)[0, 1]))
        ends.append(where)
    first, last = ends
    turn = Rotation.from_rotvec(last[:3]) * Rotation.from_rotvec(first[:3]).inv()
    shift = float(np.linalg.norm(last[3:] - first[3:]))
    return shift, float(np.degrees(turn.magnitude())), fit


def _misfit(
    where: np.ndarray, values: np.ndarray, arms: np.ndarray, centre: np.ndarray, body: np.ndarray
) -> np.ndarray:
    """Density ``(m,)`` where the body is laid, minus the body's own."""
    laid = Rotation.from_rotvec(where[:3]).apply(arms) + centre + where[3:]
    return sampled(values[None], laid)[:, 0] - body


def _xyz(zyx: np.ndarray) -> tuple[float, float, float]:
    z, y, x = (float(value) for value in zyx)
    return x, y, z
