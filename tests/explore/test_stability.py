"""Clusters made again: real ones come back, those cut out of one cloud do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from napari_cryodeco.explore import landscape, stability
from napari_cryodeco.explore.stability import DOUBTFUL


def blobs(seed: int = 0) -> np.ndarray:
    """Three clouds of 200 particles in four dimensions, ten sigma apart."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(10 * np.eye(4)[:3], 200, axis=0)
    return (centres + rng.normal(size=(600, 4))).astype(np.float32)


@pytest.mark.parametrize("method", ["gmm", "kmeans"])
def test_clouds_come_back_whatever_their_numbers_are(method) -> None:
    z = blobs()
    found = stability.stability(landscape.cluster(z, 3, method), z, trials=3)
    np.testing.assert_allclose(found.jaccard, 1, atol=0.02)
    np.testing.assert_allclose(found.agreement, 1, atol=0.02)
    assert found.confidence.min() > 0.9


def test_dense_regions_come_back_and_noise_has_no_confidence() -> None:
    z = np.concatenate([blobs(), np.random.default_rng(1).uniform(-40, 40, (40, 4))])
    clusters = landscape.cluster_by_density(z.astype(np.float32), 60)
    assert clusters.unassigned > 20
    found = stability.stability(clusters, z, trials=3)
    assert found.jaccard.min() > 0.9
    assert (found.confidence[clusters.labels < 0] == 0).all()


def test_parts_of_one_round_cloud_do_not_come_back() -> None:
    z = np.random.default_rng(3).normal(size=(600, 2)).astype(np.float32)
    found = stability.stability(landscape.cluster(z, 6, "kmeans"), z, trials=4)
    real = stability.stability(landscape.cluster(blobs(), 3, "kmeans"), blobs(), trials=4)
    assert found.jaccard.min() < DOUBTFUL + 0.15
    assert found.agreement.mean() < real.agreement.mean() - 0.2
    assert any("stable" not in line or "not" in line for line in found.sentences())


def test_confidence_is_low_where_two_clouds_overlap() -> None:
    """Of two Gaussians d apart the posterior at the middle is one half, by Bayes."""
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(size=(800, 1)), rng.normal(size=(800, 1)) + 4])
    clusters = landscape.cluster(z.astype(np.float32), 2)
    found = stability.stability(clusters, z, trials=4)
    true = norm.pdf(z[:, 0], 4) / (norm.pdf(z[:, 0]) + norm.pdf(z[:, 0], 4))
    own = np.where(clusters.labels == 1, true, 1 - true)
    assert np.abs(found.confidence - own).mean() < 0.03
    assert np.corrcoef(found.confidence, own)[0, 1] > 0.95


def test_a_kept_result_belongs_to_its_partition_only(tmp_path) -> None:
    z = blobs()
    clusters = landscape.cluster(z, 3, epoch=7)
    found = stability.stability(clusters, z, trials=2)
    landscape.save(clusters, tmp_path)
    stability.save(found, tmp_path, 7)
    again = stability.latest(tmp_path, clusters)
    np.testing.assert_array_equal(again.confidence, found.confidence)
    assert landscape.latest_clustering(tmp_path, 7) is not None  # is no clustering itself
    assert stability.latest(tmp_path, landscape.cluster(z, 2, epoch=7)) is None
    with pytest.raises(ValueError, match="1 trials say nothing"):
        stability.stability(clusters, z, trials=1)
