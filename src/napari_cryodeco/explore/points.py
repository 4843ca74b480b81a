"""From a place in a 2-D view, or a set of particles, to one latent point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def nearest_rows(x: Floats, y: Floats, at: tuple[float, float], count: int) -> NDArray[np.int64]:
    """Rows of the particles nearest to a place, nearest first.

    Parameters
    ----------
    x, y
        Coordinates of all particles in the view ``(n,)``; distances are taken in units of each
        axis' spread, so an axis of large numbers does not decide alone. Not-finite places are
        never near.
    at
        The place ``(x, y)``.
    count
        How many rows; fewer come back where fewer have finite coordinates.
    """
    known = np.isfinite(x) & np.isfinite(y)
    count = min(count, int(np.count_nonzero(known)))
    if not count:
        raise ValueError("No particle has finite coordinates in this view: choose other axes.")
    every = bool(known.all())  # a million are asked at every move of the mouse: copy none
    distance = _squares(x, x if every else x[known], at[0])
    distance += _squares(y, y if every else y[known], at[1])
    if not every:
        distance[~known] = np.inf
    furthest = np.partition(distance, count - 1)[count - 1]
    rows = np.flatnonzero(distance <= furthest)
    return rows[np.argsort(distance[rows], kind="stable")[:count]].astype(np.int64)


def _squares(values: Floats, known: Floats, to: float) -> Floats:
    """Squared distances ``(n,)`` along an axis, in units of the spread of what is known of it."""
    away = values - values.dtype.type(to)
    away *= 1 / (float(np.std(known)) or 1.0)
    return np.square(away, out=away)


def densest(x: Floats, y: Floats, cells: int = 64) -> int:
    """Row of a particle where most particles are, by their number in cells of the view, smoothed.

    Parameters
    ----------
    x, y
        Coordinates of all particles in the view ``(n,)``; some of them finite.
    cells
        Along either axis.
    """
    from scipy.ndimage import gaussian_filter  # scipy takes long to import

    known = np.isfinite(x) & np.isfinite(y)
    counts, across, up = np.histogram2d(x[known], y[known], cells)
    crowd = gaussian_filter(counts, cells / 32, mode="constant")
    column, row = np.unravel_index(int(crowd.argmax()), crowd.shape)
    at = across[column : column + 2].mean(), up[row : row + 2].mean()
    return int(nearest_rows(x, y, (float(at[0]), float(at[1])), 1)[0])


def local_mean(
    latents: Floats, x: Floats, y: Floats, at: tuple[float, float], neighbours: int
) -> tuple[Floats, int]:
    """Mean latent point of the particles nearest to a place, and the nearest one's row.

    A single particle's z is noisy and a place in a UMAP view has no z of its own; the mean of the
    neighbours is stable, follows the data, and moves smoothly with the place.

    Parameters
    ----------
    latents
        ``(n, d)``.
    x, y, at
        As in `nearest_rows`.
    neighbours
        How many particles to average over, at least 1.

    Returns
    -------
    tuple
        z ``(d,)`` float32 and the row of the nearest particle.
    """
    rows = nearest_rows(x, y, at, neighbours)
    return latents[rows].mean(axis=0).astype(np.float32), int(rows[0])


def medoid(latents: Floats, rows: NDArray[np.integer]) -> int:
    """Row of the member with the least sum of squared distances to the other members.

    For squared Euclidean distances that is exactly the member nearest to the mean.
    """
    if len(rows) == 0:
        raise ValueError("The selection is empty: draw a lasso around some particles first.")
    members = latents[rows]
    offsets = members - members.mean(axis=0)
    return int(rows[int(np.argmin(np.einsum("nd,nd->n", offsets, offsets)))])
