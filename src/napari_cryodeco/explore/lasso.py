"""Which points lie inside a drawn outline: exact, and fast for a million points.

The even-odd rule: a point is inside if a ray from it to the right crosses the outline an odd
number of times. Points far from the outline take the answer of their cell on a coarse raster; only
those near it are tested one by one.
"""

from __future__ import annotations

import numpy as np

_CELLS = 512
_FEW = 2000


def inside(x: np.ndarray, y: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Test points against a closed polygon, which may cross itself.

    Parameters
    ----------
    x, y
        ``(n,)`` coordinates; a point that is not finite is outside.
    polygon
        ``(m, 2)`` vertices (x, y); the last is joined to the first.

    Returns
    -------
    ndarray
        ``(n,)`` bool, true where an odd number of edges is crossed. Of two polygons that share an
        edge, a point on it is in exactly one.

    Raises
    ------
    ValueError
        If the shapes do not fit or a vertex is not finite.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    polygon = np.asarray(polygon, dtype=np.float64)
    if polygon.ndim != 2 or polygon.shape[1:] != (2,) or x.shape != y.shape or x.ndim != 1:
        raise ValueError(
            f"A lasso takes points (n,), (n,) and a polygon (m, 2), not {x.shape}, {y.shape}, "
            f"{polygon.shape}."
        )
    if not np.isfinite(polygon).all():
        raise ValueError("A vertex of the lasso is not finite: draw it again.")
    result = np.zeros(len(x), dtype=bool)
    if len(polygon) < 3:
        return result
    low, high = polygon.min(0), polygon.max(0)
    # comparisons with NaN are false, so such points drop out here
    near = np.flatnonzero((x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1]))
    px, py = x[near], y[near]
    result[near] = (
        _crossings_odd(px, py, polygon) if len(near) <= _FEW else _with_raster(px, py, polygon)
    )
    return result


def _crossings_odd(x: np.ndarray, y: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Even-odd test; an edge is compared only with the points between its ends in y."""
    order = np.argsort(y, kind="stable")
    sorted_x, sorted_y = x[order], y[order]
    odd = np.zeros(len(x), dtype=bool)
    lower, upper = _upward(polygon)
    first = np.searchsorted(sorted_y, lower[:, 1], side="left").tolist()
    last = np.searchsorted(sorted_y, upper[:, 1], side="left").tolist()
    edges = zip(lower.tolist(), upper.tolist(), first, last, strict=True)
    for (x0, y0), (x1, y1), start, stop in edges:
        if stop > start:  # level edges have none: half-open in y
            crossing = x0 + (sorted_y[start:stop] - y0) * (x1 - x0) / (y1 - y0)
            odd[start:stop] ^= sorted_x[start:stop] < crossing
    result = np.empty_like(odd)
    result[order] = odd
    return result


def _upward(polygon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the edges, the lower first, so that rounding does not depend on the direction."""
    starts, ends = polygon, np.roll(polygon, -1, axis=0)
    upward = (starts[:, 1] <= ends[:, 1])[:, None]
    return np.where(upward, starts, ends), np.where(upward, ends, starts)


def _with_raster(x: np.ndarray, y: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    low, span = polygon.min(0), np.ptp(polygon, axis=0)
    if not (span > 0).all() or not np.isfinite(_CELLS / span).all():
        return _crossings_odd(x, y, polygon)
    scaled = (polygon - low) * (_CELLS / span)  # in cells
    cell = _cell(y, low[1], span[1]) * _CELLS + _cell(x, low[0], span[0])
    result: np.ndarray = _cells_inside(scaled).ravel()[cell]
    doubtful = np.flatnonzero(_cells_on_outline(scaled).ravel()[cell])
    result[doubtful] = _crossings_odd(x[doubtful], y[doubtful], polygon)
    return result


def _cell(values: np.ndarray, low: float, span: float) -> np.ndarray:
    cells: np.ndarray = ((values - low) * (_CELLS / span)).astype(np.int32)
    np.minimum(cells, _CELLS - 1, out=cells)
    return cells


def _cells_on_outline(scaled: np.ndarray) -> np.ndarray:
    """Cells that the outline passes, and all within two cells of them.

    Half a cell between samples leaves a passed cell at most one away from a sampled one; the
    second is for rounding.
    """
    ends = np.roll(scaled, -1, axis=0)
    steps = np.maximum(np.ceil(2 * np.abs(ends - scaled).max(1)), 1).astype(np.int64)
    edge = np.repeat(np.arange(len(scaled)), steps)
    part = (np.arange(len(edge)) - np.repeat(np.cumsum(steps) - steps, steps)) / steps[edge]
    points = scaled[edge] + part[:, None] * (ends - scaled)[edge]
    column, row = points.astype(np.int64).clip(0, _CELLS - 1).T
    touched = np.zeros((_CELLS + 4, _CELLS + 4), dtype=bool)
    for down in range(5):
        for right in range(5):
            touched[row + down, column + right] = True
    return touched[2:-2, 2:-2]


def _cells_inside(scaled: np.ndarray) -> np.ndarray:
    """Even-odd answer at every cell centre, by counting the crossings left of it along its row."""
    lower, upper = _upward(scaled)
    first = np.ceil(lower[:, 1] - 0.5).astype(np.int64)  # centres of rows are at row + 0.5
    count = np.ceil(upper[:, 1] - 0.5).astype(np.int64) - first
    edge = np.repeat(np.arange(len(scaled)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    (x0, y0), (x1, y1) = lower[edge].T, upper[edge].T
    crossing = x0 + (row + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
    column = np.ceil(crossing - 0.5).astype(np.int64).clip(0, _CELLS)
    flips = np.bincount(row * (_CELLS + 1) + column, minlength=_CELLS * (_CELLS + 1))
    odd: np.ndarray = flips.reshape(_CELLS, _CELLS + 1).cumsum(1)[:, :_CELLS] % 2 == 1
    return odd
