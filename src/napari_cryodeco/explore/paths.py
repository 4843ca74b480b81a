"""Computes routes through z: along a component, from point to point, or along the particles.

A straight line between two states of a bent motion leaves the particles, and what is decoded there
is made up. The shortest way over the graph of nearest neighbours stays among them (Isomap's idea;
Tenenbaum et al. 2000, Science 290:2319).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from napari_cryodeco.explore.neighbours import COUNT, nearest
from napari_cryodeco.explore.projection import checked
from napari_cryodeco.explore.route import Route
from napari_cryodeco.explore.trajectory import Trajectory, halting, pc_traverse, through

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MOST_PARTICLES = 50_000  # in the graph; that many stand for all, evenly drawn
NEAR = 50  # particles of the view whose mean lifts a place of it
PLACES = 64  # of a drawn curve that are lifted
NAMES = {
    "line": "straight",
    "graph": "along particles",
    "dense": "along dense regions",
    "tour": "one after another",
}

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Graph:
    """Nearest neighbours in z as a graph, with what a step along each edge costs.

    Parameters
    ----------
    z
        ``(m, d)`` particles of the graph.
    table
        ``(m, k)`` neighbours of each.
    lengths, costs
        ``(m, m)`` symmetric: lengths of the edges in z, and lengths over the density there.
    """

    z: np.ndarray
    table: np.ndarray
    lengths: csr_array
    costs: csr_array

    @classmethod
    def of(cls, latents: np.ndarray, progress: Progress | None = None, seed: int = 0) -> Graph:
        """The graph of latents ``(n, d)``; of more than 50,000, of so many drawn from them."""
        from scipy.sparse import csr_array

        z = np.asarray(latents, np.float32)
        if len(z) > MOST_PARTICLES:
            drawn = np.random.default_rng(seed).choice(len(z), MOST_PARTICLES, replace=False)
            z = z[np.sort(drawn)]
        m = len(z)
        table = nearest(z, COUNT, progress)
        rows = np.repeat(np.arange(m), table.shape[1])
        lengths = np.linalg.norm(z[rows] - z[table.ravel()], axis=1)
        spread = lengths.reshape(table.shape)[:, -1]  # the density is this to the power −d
        crowding = np.median(spread) / np.maximum(spread, spread[spread > 0].min(initial=1.0))
        lengths = np.maximum(lengths, 1e-6 * lengths.max())  # zero would be no edge
        costs = lengths * (1 / crowding[rows] + 1 / crowding[table.ravel()]) / 2
        made = []
        for weights in (lengths, costs):
            one_way = csr_array((weights, (rows, table.ravel())), shape=(m, m))
            made.append(one_way.maximum(one_way.T).tocsr())
        return cls(z, table, made[0], made[1])

    def way(self, start: np.ndarray, end: np.ndarray, dense: bool = False) -> np.ndarray:
        """Points ``(m, d)`` from `start` to `end` ``(d,)`` over the particles between them.

        Each particle on the way gives the mean of itself and its neighbours: a single one's z is
        noisy. The two ends are as given.

        Raises
        ------
        ValueError
            When no chain of neighbours joins them.
        """
        from scipy.sparse.csgraph import dijkstra

        first, last = (int(np.argmin(((self.z - point) ** 2).sum(1))) for point in (start, end))
        graph = self.costs if dense else self.lengths
        _, before = dijkstra(graph, indices=first, return_predecessors=True)
        if last != first and before[last] < 0:
            raise ValueError(
                "no chain of neighbouring particles joins them: they lie on separate islands. "
                "Choose straight lines (frames between the islands will be red), or other points."
            )
        rows = [last]
        while rows[-1] != first:
            rows.append(int(before[rows[-1]]))
        rows.reverse()
        means = [self.z[[row, *self.table[row]]].mean(0) for row in rows[1:-1]]
        return np.stack([start, *means, end])


def trace(
    route: Route, latents: np.ndarray, graph: Callable[[], Graph] | None = None
) -> Trajectory:
    """Compute a route.

    Parameters
    ----------
    route
        What is asked for.
    latents
        ``(n, d)``.
    graph
        Gives the graph of these latents, where one is kept; made anew without.

    Raises
    ------
    ValueError
        One sentence, when there is no such path.
    """
    if route.kind == "pc":
        ends = route.component, route.low, route.high
        return pc_traverse(latents, *ends, route.frames, route.spacing)
    latents = checked(latents)
    wrong = route.dimensions() - {latents.shape[1]}
    if wrong:
        raise ValueError(
            f"The path has points of {min(wrong)} numbers, but z has {latents.shape[1]}: it is of "
            "another run."
        )
    if route.kind == "curve":
        corners = np.array(route.curve, np.float32).reshape(-1, latents.shape[1])
        return through(corners, route.frames, "drawn curve", route.closed)
    anchors = np.array([anchor.z for anchor in route.anchors], np.float32)
    if len(anchors) < (1 if route.kind == "tour" else 2):
        raise ValueError("A path needs at least two points; add another one.")
    loop = ", closed" if route.closed else ""
    name = f"{len(route.anchors)} points, {NAMES[route.kind]}{loop}"
    if route.kind == "tour":
        names = [anchor.name for anchor in route.anchors]
        return halting(anchors, names, route.frames, name, route.closed)
    if route.kind != "line":
        anchors = _over(Graph.of(latents) if graph is None else graph(), route, anchors)
    return through(anchors, route.frames, name, route.closed)


def _over(graph: Graph, route: Route, anchors: np.ndarray) -> np.ndarray:
    """Corners of the ways from each anchor to the next, and back again if the route is closed."""
    stops = [*range(len(anchors)), *([0] if route.closed else [])]
    pieces = [anchors[:1]]
    for a, b in pairwise(stops):
        try:
            way = graph.way(anchors[a], anchors[b], route.kind == "dense")
        except ValueError as error:
            names = f"{route.anchors[a].name} and {route.anchors[b].name}"
            raise ValueError(f"{names}: {error}") from error
        pieces.append(way[1:])
    corners = np.concatenate(pieces)
    return corners[:-1] if route.closed else corners


def lift(
    places: np.ndarray, coordinates: np.ndarray, latents: np.ndarray, near: int = NEAR
) -> np.ndarray:
    """Points z ``(m, d)`` of a curve through places ``(k, 2)`` of a view.

    The curve is walked in equal steps. At each the mean of the nearest particles of the view gives
    z, the dimensions that the view does not show included. Distances are in units of each axis'
    spread, as those of the cursor are.

    Parameters
    ----------
    places
        As drawn, in units of the axes.
    coordinates
        ``(n, 2)`` places of the particles; not finite: in no view.
    latents
        ``(n, d)``.
    near
        How many particles; 5 % of all where these are fewer.

    Raises
    ------
    ValueError
        When the curve has no length, or no particle is in view.
    """
    from scipy.spatial import cKDTree

    known = np.flatnonzero(np.isfinite(coordinates).all(1))
    if not len(known):
        raise ValueError("No particle has finite coordinates in this view: choose other axes.")
    spread = coordinates[known].std(0)
    spread[spread == 0] = 1.0
    steps = through(places / spread, PLACES).points
    count = int(np.clip(len(known) // 20, 1, near))
    _, found = cKDTree(coordinates[known] / spread).query(steps, count)
    means: np.ndarray = latents[known[found.reshape(PLACES, count)]].mean(1)
    return means.astype(np.float32)
