"""Where density goes from one map to the next: local optical flow in three dimensions.

Each place is displaced so that the map in a window about it fits the other map best (iterative
Lucas-Kanade, coarse to fine; Le Besnerais & Champagnat 2005, ICIP), as scikit-image has it. A
window sees gradients in all directions, so the whole displacement is found and not its part along
the normal of the surface only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.ndimage import map_coordinates

WINDOW = 10.0  # Å from the middle of a window to its rim
_FEWEST = 3  # voxels likewise: less has too few gradients to be solved
_WARPS = 5  # times that the second map is brought nearer at each scale; more changes little


def window_radius(voxel_size: float) -> int:
    """Radius of the window in voxels."""
    return max(_FEWEST, round(WINDOW / voxel_size))


def displacement(first: np.ndarray, second: np.ndarray, radius: int) -> np.ndarray:
    """Displacement in voxels ``(3, z, y, x)``: what is at x in `first` is at x + d in `second`.

    Parameters
    ----------
    first, second
        Maps ``(z, y, x)`` in σ units on one grid.
    radius
        Of the window, voxels.
    """
    from skimage.registration import optical_flow_ilk  # half a second to import

    flow: np.ndarray = optical_flow_ilk(
        first, second, radius=radius, num_warp=_WARPS, gaussian=True
    )
    return flow


def track(
    fields: Sequence[np.ndarray],
    places: np.ndarray,
    start: int,
    radius: int,
    progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Follow places of one map through all the others, from neighbour to neighbour.

    Steps are small where the whole way is not, and small steps are found well.

    Parameters
    ----------
    fields
        ``t`` maps ``(z, y, x)`` in σ units.
    places
        ``(m, 3)`` zyx in voxels of map `start`.
    start
        The map in which the places are given.
    radius
        Of the window, voxels.
    progress
        Told how many of the ``t − 1`` steps are done.

    Returns
    -------
    tuple
        ``(t, m, 3)`` float32, zyx in voxels: how far each place is in each map from where it was;
        ``(m,)`` float32: the strain of a step there, on average.
    """
    moved = np.zeros((len(fields), *places.shape), np.float32)
    strain = np.zeros(len(places), np.float32)
    for done, (here, there) in enumerate(_steps(len(fields), start)):
        if progress is not None:
            progress(done)
        flow, at = displacement(fields[here], fields[there], radius), places + moved[here]
        moved[there] = moved[here] + sampled(flow, at)
        strain += _strain(flow, at) / (len(fields) - 1)
    return moved, strain


def _strain(flow: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Size ``(m,)`` of the Green-Lagrange strain of a flow: 0 where it moves and turns rigidly.

    Any two maps have a flow that turns one into the other. That of a motion carries density along;
    one between unlike maps pulls it from everywhere.
    """
    slopes = np.concatenate([np.stack(np.gradient(one)) for one in flow])
    gradient = sampled(slopes, places).reshape(-1, 3, 3) + np.eye(3)  # row: component, column: axis
    green = (gradient.transpose(0, 2, 1) @ gradient - np.eye(3)) / 2
    return np.sqrt((green**2).sum((1, 2)))


def sampled(channels: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Trilinear values ``(m, c)`` of ``(c, z, y, x)`` at places ``(m, 3)`` zyx in voxels."""
    columns = [map_coordinates(one, places.T, order=1, mode="nearest") for one in channels]
    return np.stack(columns, axis=1)


def _steps(count: int, start: int) -> Iterator[tuple[int, int]]:
    """Pairs of neighbours, outwards from `start` to both ends."""
    yield from ((index, index + 1) for index in range(start, count - 1))
    yield from ((index, index - 1) for index in range(start, 0, -1))
