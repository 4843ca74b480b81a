"""Nearest neighbours of every particle in z, and a selection grown and shrunk along them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

COUNT = 10  # neighbours of a particle
CANDIDATES = 8_000  # particles that each is compared with
_AT_ONCE = 500_000  # distances held: no more than a core has cache for
_GROUPS = 16

Progress = Callable[[int, int], None]


def nearest(
    latents: np.ndarray, count: int = COUNT, progress: Progress | None = None, seed: int = 0
) -> np.ndarray:
    """Find the nearest particles of each particle, itself left out.

    Particles are sorted into cells about some of them, and each is compared with those of the
    nearest cells, at least 8 000: exact up to that many particles. Of a million, 93 in 100 are the
    true neighbours where z has 4 dimensions; of pure noise in 16 dimensions 43 in 100, the others
    being near as well. That takes 20 and 24 CPU-seconds, once. At 100,000 in 16 dimensions a search
    tree took some 58 CPU-seconds and pynndescent 49 (its compilation included), whose compiled code
    holds Python's lock meanwhile; this took 5.

    Parameters
    ----------
    latents
        ``(n, d)``, at least two rows, finite.
    count
        Neighbours of each; n − 1 where there are no more.
    progress
        Called as ``progress(done, of)`` in particles; raising in it cancels.

    Returns
    -------
    ndarray
        ``(n, count)`` int32 rows, nearest first.
    """
    z = np.ascontiguousarray(latents - latents.mean(0), np.float32)
    n = len(z)
    count = min(count, n - 1)
    order, starts = _cells(z, seed)
    stops = np.append(starts[1:], n)
    centres = np.add.reduceat(z[order], starts) / (stops - starts)[:, None]
    table = np.empty((n, count), np.int32)
    for cell, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        near = _nearest_cells(centres, cell, stops - starts)
        rows = np.concatenate([order[starts[i] : stops[i]] for i in near])
        step = max(1, _AT_ONCE // len(rows))
        others, own = _terms(z[rows])
        for begin in range(0, stop - start, step):  # the cell's own are the first candidates
            lines = np.arange(begin, min(begin + step, stop - start))
            closeness = own[lines] @ others
            closeness[np.arange(len(lines)), lines] = -np.inf
            table[rows[lines]] = rows[_most(closeness, count)]
        if progress is not None:
            progress(int(stop), n)
    return table


def grown(mask: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The selection ``(n,)`` bool and all neighbours of its particles.

    Two particles are neighbours if either is in the other's row of `table` ``(n, k)``.
    """
    result = mask | mask[table].any(1)
    result[table[mask]] = True
    return result


def shrunk(mask: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The particles of the selection ``(n,)`` bool all neighbours of which are selected too."""
    return ~grown(~mask, table)


def _cells(z: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``(n,)`` in the order of their cells, and where each cell starts; about √n of each."""
    n = len(z)
    number = max(1, int(np.sqrt(n)))
    centres = z[np.random.default_rng(seed).choice(n, number, replace=False)]
    squares = np.einsum("kd,kd->k", centres, centres)
    step = max(1, _AT_ONCE // number)
    cell = np.concatenate(
        [np.argmin(squares - 2 * z[i : i + step] @ centres.T, axis=1) for i in range(0, n, step)]
    )
    order = np.argsort(cell, kind="stable")
    begins = np.flatnonzero(np.diff(cell[order], prepend=-1))
    most = 4 * number  # particles of equal z share one cell, however many they are
    ends = np.append(begins[1:], n)
    starts = [np.arange(a, b, most) for a, b in zip(begins, ends, strict=True)]
    return order, np.concatenate(starts)


def _nearest_cells(centres: np.ndarray, cell: int, sizes: np.ndarray) -> np.ndarray:
    """The cell itself, then the nearest others, until they hold enough candidates."""
    distance = ((centres - centres[cell]) ** 2).sum(1)
    distance[cell] = -1
    near = np.argsort(distance, kind="stable")
    return near[: 1 + int(np.searchsorted(np.cumsum(sizes[near]), CANDIDATES))]


def _terms(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrices ``(d + 1, m')`` and ``(m, d + 1)`` whose product is 2 a·b − b² for each two of m.

    That is larger the nearer b is to a. Columns are added that are infinitely far, to fill groups.
    """
    m, d = z.shape
    others = np.zeros((d + 1, -(-m // _GROUPS) * _GROUPS), np.float32)
    others[:d, :m] = z.T
    others[d] = -np.inf
    others[d, :m] = -np.einsum("nd,nd->n", z, z)
    return others, np.concatenate([2 * z, np.ones((m, 1), np.float32)], 1)


def _most(values: np.ndarray, count: int) -> np.ndarray:
    """Columns of the `count` largest values of each line, the largest first.

    They lie in the `count` groups of columns with the largest maxima: a sort of all is spared.
    """
    lines, columns = values.shape
    wide = columns // _GROUPS
    if wide <= 4 * count:
        return _sorted_most(values, count)
    maxima = values.reshape(lines, _GROUPS, wide).max(1)
    groups = np.argpartition(maxima, wide - count, axis=1)[:, wide - count :]
    places = (groups[:, None] + wide * np.arange(_GROUPS)[:, None]).reshape(lines, -1)
    best = _sorted_most(np.take_along_axis(values, places, 1), count)
    return np.take_along_axis(places, best, 1)


def _sorted_most(values: np.ndarray, count: int) -> np.ndarray:
    some = np.argpartition(values, -count, axis=1)[:, -count:]
    order = np.argsort(-np.take_along_axis(values, some, 1), axis=1, kind="stable")
    return np.take_along_axis(some, order, 1)
