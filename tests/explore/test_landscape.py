"""PCA, UMAP and clusters: laws of the algebra, planted answers, and the way to disk and back."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from napari_cryodeco.explore import landscape, projection
from napari_cryodeco.explore.clustering import Method


def lumps(k: int, n: int, d: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`k` round clusters of unequal size far apart, shuffled: latents and labels."""
    generator = np.random.default_rng(seed)
    sizes = generator.multinomial(n - 20 * k, np.full(k, 1 / k)) + 20
    labels = generator.permutation(np.repeat(np.arange(k), sizes))
    centres = 8 * generator.standard_normal((k, d))
    return (centres[labels] + generator.standard_normal((n, d))).astype(np.float32), labels


def test_pca_agrees_with_sklearn_and_inverts() -> None:
    z = (
        np.random.default_rng(0).standard_normal((300, 5))
        @ np.random.default_rng(1).standard_normal((5, 5))
        + 3
    )
    found = landscape.pca(z)
    other = PCA().fit(z)
    np.testing.assert_allclose(found.explained, other.explained_variance_ratio_, atol=1e-6)
    np.testing.assert_allclose(np.abs(found.components @ other.components_.T), np.eye(5), atol=1e-4)
    np.testing.assert_allclose(found.mean + found.coordinates @ found.components, z, atol=1e-4)


def test_pca_does_not_depend_on_the_order_of_particles() -> None:
    z, _ = lumps(3, 200)
    order = np.random.default_rng(5).permutation(200)
    np.testing.assert_allclose(
        landscape.pca(z).coordinates[order], landscape.pca(z[order]).coordinates, atol=1e-3
    )


@pytest.mark.parametrize("method", ["gmm", "kmeans"])
@pytest.mark.parametrize("d", [1, 4, 40])
def test_clusters_find_planted_lumps(method: Method, d: int) -> None:
    generator = np.random.default_rng(2)
    labels = generator.permutation(np.repeat([0, 1, 2], [30, 100, 170]))
    z = 0.3 * generator.standard_normal((300, d))
    z[:, 0] += 6 * labels
    found = landscape.cluster(z, 3, method, seed=1)
    assert adjusted_rand_score(labels, found.labels) == 1
    assert sorted(found.counts) == [30, 100, 170]
    np.testing.assert_allclose(found.posteriors.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(found.posteriors.argmax(1), found.labels)
    for i in range(3):
        members = found.labels == i
        np.testing.assert_allclose(found.centres[i], z[members].mean(0), atol=1e-5)
        assert found.labels[found.rows[i]] == i
        distances = np.linalg.norm(z - found.centres[i], axis=1)
        assert distances[found.rows[i]] == distances[members].min()


@pytest.mark.parametrize("method", ["gmm", "kmeans"])
def test_clusters_repeat_and_are_numbered_along_the_first_component(method: Method) -> None:
    z, _ = lumps(5, 400)
    first, second = (landscape.cluster(z, 5, method, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.labels, second.labels)
    view = landscape.pca(z)
    scores = (first.centres - view.mean) @ view.components[0]
    assert (np.diff(scores) > 0).all()


@pytest.mark.parametrize("method", ["gmm", "kmeans"])
def test_copies_of_one_point_give_numbers_and_no_nan(method: Method) -> None:
    z = np.repeat([[0.0, 0.0], [1.0, 1.0]], 20, axis=0)
    found = landscape.cluster(z, 4, method)
    assert np.isfinite(found.centres).all() and np.isfinite(found.posteriors).all()
    assert found.centres.shape == (4, 2) and found.counts.sum() == 40
    same = landscape.cluster(np.ones((10, 3)), 3, method)
    np.testing.assert_allclose(same.centres, 1)


def test_bad_latents_are_named() -> None:
    with pytest.raises(ValueError, match="5 clusters of 3 particles"):
        landscape.cluster(np.eye(3), 5)
    broken = np.zeros((9, 2))
    broken[7, 1] = np.nan
    with pytest.raises(ValueError, match="row 7"):
        landscape.pca(broken)
    with pytest.raises(ValueError, match="Unknown"):
        landscape.cluster(np.eye(3), 2, "ward")


def test_particles_beyond_the_fit_limit_are_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_cryodeco.explore.clustering.FIT_LIMIT", 120)
    z, labels = lumps(3, 600, seed=4)
    assert adjusted_rand_score(labels, landscape.cluster(z, 3).labels) > 0.98


def test_suggestion_counts_separate_lumps() -> None:
    labels = np.repeat(
        np.arange(4), 150
    )  # at the corners of a tetrahedron: no two are nearer than others
    z = 12 * np.eye(4)[labels] + np.random.default_rng(7).standard_normal((600, 4))
    calls: list[tuple[int, int]] = []
    curve = landscape.suggest(z, range(1, 7), progress=lambda *call: calls.append(call))
    assert curve.suggested == 4
    assert curve.silhouette.argmax() == 3
    assert calls[-1] == (6, 6)


def test_umap_keeps_lumps_apart_and_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "FIT_LIMIT", 150)
    z, labels = lumps(3, 200, seed=8)
    calls: list[tuple[int, int]] = []
    first = landscape.umap(z, seed=5, progress=lambda *call: calls.append(call))
    second = landscape.umap(z, seed=5)
    np.testing.assert_array_equal(first.coordinates, second.coordinates)
    assert first.coordinates.shape == (200, 2) and np.isfinite(first.coordinates).all()
    assert adjusted_rand_score(labels, landscape.cluster(first.coordinates, 3).labels) > 0.95
    assert calls and all(done <= of for done, of in calls)


def test_views_come_back_from_disk(tmp_path) -> None:
    z, _ = lumps(3, 90)
    view = landscape.pca(z, epoch=12)
    groups = landscape.cluster(z, 3, "kmeans", seed=9, epoch=12)
    assert landscape.latest_clustering(tmp_path) is None
    for value in (view, groups):
        again = landscape.load(landscape.save(value, tmp_path))
        assert type(again) is type(value)
        for name, part in vars(value).items():
            np.testing.assert_array_equal(getattr(again, name), part)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0012-kmeans-3.safetensors",
        "0012-pca.safetensors",
    ]
    assert landscape.latest_clustering(tmp_path, 12).method == "kmeans"
    assert landscape.latest_clustering(tmp_path, 13) is None
    with pytest.raises(FileNotFoundError, match="cryodeco project"):
        landscape.load(tmp_path / "0013-pca.safetensors")
