"""A tour of the clusters: each centre in its turn, named, with nothing between."""

from __future__ import annotations

import numpy as np
import pytest

from napari_cryodeco.explore.clustering import cluster
from napari_cryodeco.explore.paths import trace
from napari_cryodeco.explore.route import Anchor, Route
from napari_cryodeco.explore.tour import HALT, stops, tour_of


@pytest.fixture
def latents() -> np.ndarray:
    """60, 30 and 10 particles in three places."""
    random = np.random.default_rng(0)
    sizes = np.repeat([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]], (60, 30, 10), axis=0)
    return (sizes + random.normal(0, 0.2, sizes.shape)).astype(np.float32)


def test_it_halts_at_every_centre_and_nowhere_else(latents) -> None:
    clustering = cluster(latents, 3, "kmeans")
    walk = trace(tour_of(clustering), latents)
    assert len(walk) == 3 * HALT and walk.closed
    for number, centre in enumerate(clustering.centres):
        frames = walk.points[number * HALT : (number + 1) * HALT]
        np.testing.assert_allclose(frames, np.tile(centre, (HALT, 1)), rtol=1e-6)
        share = (clustering.labels == number).mean()
        own = set(walk.captions[number * HALT : (number + 1) * HALT])
        assert own == {f"cluster {number + 1}: {share:.1%} of 100"}
    shares = sorted(float(anchor.name.split()[2][:-1]) for anchor in stops(clustering))
    assert shares == [10.0, 30.0, 60.0]


def test_a_cluster_without_particles_is_left_out(latents) -> None:
    made = cluster(latents, 3, "kmeans")
    empty = type(made)(
        np.where(made.labels == 1, 0, made.labels),
        *(getattr(made, name) for name in ("posteriors", "centres", "rows")),
    )
    assert [anchor.name.split(":")[0] for anchor in stops(empty)] == ["cluster 1", "cluster 3"]


@pytest.mark.parametrize(("frames", "counts"), [(7, (3, 2, 2)), (3, (1, 1, 1))])
def test_frames_are_shared_out(latents, frames, counts) -> None:
    anchors = tuple(Anchor.at(f"p{row}", latents[row]) for row in (0, 70, 95))
    walk = trace(Route("tour", frames, anchors=anchors), latents)
    assert tuple(walk.captions.count(anchor.name) for anchor in anchors) == counts
    assert not walk.closed


def test_too_few_frames_are_one_sentence(latents) -> None:
    anchors = tuple(Anchor.at(f"p{row}", latents[row]) for row in (0, 70, 95))
    with pytest.raises(ValueError, match="2 frames for 3 points: choose at least one each"):
        trace(Route("tour", 2, anchors=anchors), latents)
