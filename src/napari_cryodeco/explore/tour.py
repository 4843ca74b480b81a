"""A tour: the centre of each cluster in its turn, named, with its share of the particles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_cryodeco.explore.route import Anchor, Route

if TYPE_CHECKING:
    from napari_cryodeco.explore.clustering import Clustering

HALT = 12  # frames at each stop


def stops(clustering: Clustering) -> tuple[Anchor, ...]:
    """Centres of the clusters that have particles, in the order of their numbers."""
    n, counts, titles = len(clustering.labels), clustering.counts, clustering.titles
    return tuple(
        Anchor.at(f"{titles[row]}: {counts[row] / n:.1%} of {n:,}", clustering.centres[row])
        for row in np.flatnonzero(counts).tolist()
    )


def tour_of(clustering: Clustering) -> Route:
    """The route that halts at each of them, with nothing made up between."""
    anchors = stops(clustering)
    return Route("tour", HALT * len(anchors), closed=True, anchors=anchors)
