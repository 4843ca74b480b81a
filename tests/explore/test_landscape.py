"""PCA, UMAP and clusters: laws of the algebra, planted answers, and the way to disk and back."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from napari_cryodeco.explore import density, landscape, projection
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
@pytest.mark.parametrize("d", [1, 4, 16])
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
def test_clusters_repeat(method: Method) -> None:
    z, _ = lumps(5, 400)
    first, second = (landscape.cluster(z, 5, method, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.labels, second.labels)


def test_clusters_are_numbered_along_a_bent_motion() -> None:
    """On three quarters of a circle PC1 would mix the two ends; the tree follows the arc."""
    generator = np.random.default_rng(1)
    angles = np.repeat(np.linspace(0, 1.5 * np.pi, 7), 40)
    z = 10 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1)
    z += 0.3 * generator.standard_normal(z.shape)
    found = landscape.cluster(z, 7, "kmeans")
    place = np.mod(np.arctan2(found.centres[:, 1], found.centres[:, 0]) + 0.1, 2 * np.pi)
    steps = np.diff(place)
    assert (steps > 0).all() or (steps < 0).all()
    assert not (np.diff(found.centres @ landscape.pca(z).components[0]) > 0).all()
    view = landscape.pca(z)
    scores = (found.centres - view.mean) @ view.components[0]
    assert scores[0] <= scores[-1]


def test_the_numbers_are_leaves_of_the_tree_of_centres() -> None:
    from scipy.cluster.hierarchy import cophenet, linkage

    z, _ = lumps(6, 600)
    centres = landscape.cluster(z, 6).centres
    tree = linkage(centres, "average")
    heights = cophenet(tree)
    # Leaf order: every merge joins a run of consecutive numbers.
    members = {i: {i} for i in range(6)}
    for step, (a, b) in enumerate(tree[:, :2].astype(int)):
        members[6 + step] = members[a] | members[b]
        joined = sorted(members[6 + step])
        assert joined == list(range(joined[0], joined[-1] + 1))
    assert len(heights) == 15


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


def test_dense_regions_are_found_and_what_lies_between_is_unassigned() -> None:
    generator = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], 150)
    dense = np.array([[0, 0], [12, 0], [0, 12]])[labels] + 0.5 * generator.standard_normal((450, 2))
    strays = np.array([[25.0, 25.0], [20, -10], [-15, 3], [8, -14]])
    z = np.concatenate([dense, strays])
    found = landscape.cluster_by_density(z, 40, epoch=3)
    np.testing.assert_array_equal(found.labels[450:], -1)
    assert adjusted_rand_score(labels, found.labels[:450]) > 0.95
    assert len(found.labels) == len(z) and len(found.centres) == 3
    assert found.unassigned == (found.labels < 0).sum() >= 4
    assert found.counts.sum() + found.unassigned == len(z)
    inside = found.labels >= 0
    np.testing.assert_array_equal(found.posteriors.argmax(1)[inside], found.labels[inside])
    assert (found.posteriors[~inside] == 0).all()
    assert (found.posteriors >= 0).all() and (found.posteriors.sum(1) <= 1).all()
    for i in range(3):
        members = found.labels == i
        np.testing.assert_allclose(found.centres[i], z[members].mean(0), atol=1e-4)
    assert found.members([0]).tolist() == np.flatnonzero(~inside).tolist()
    assert len(found.members([1, 2, 3])) == inside.sum()
    with pytest.raises(ValueError, match="no cluster 4"):
        found.members([4])


def test_density_gives_what_sklearn_gives_and_joins_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sklearn.cluster import HDBSCAN

    generator = np.random.default_rng(4)
    labels = np.repeat([0, 1], 300)
    z = np.array([[0, 0], [10, 0]])[labels] + generator.standard_normal((600, 2))
    z = np.concatenate([z, [[5.0, 30.0]]])
    whole, strength = density.assign_by_density(z, 50)
    oracle = HDBSCAN(min_cluster_size=50, min_samples=10, copy=True).fit(z)
    np.testing.assert_array_equal(whole, oracle.labels_)
    np.testing.assert_array_equal(strength, oracle.probabilities_)
    monkeypatch.setattr(density, "DENSITY_LIMIT", 200)
    part, _ = density.assign_by_density(z, 50)
    assert part[-1] == -1
    both = (part >= 0) & (whole >= 0)
    assert both.sum() > 500
    assert adjusted_rand_score(whole[both], part[both]) == 1


def test_no_dense_region_is_one_sentence() -> None:
    z = np.random.default_rng(0).uniform(size=(60, 5))
    with pytest.raises(ValueError, match="No dense region of 25 particles"):
        landscape.cluster_by_density(z, 25)
    with pytest.raises(ValueError, match="between 2 and 60"):
        landscape.cluster_by_density(z, 1)


def test_a_large_z_is_clustered_in_its_umap_which_is_kept(tmp_path) -> None:
    z, labels = lumps(3, 150, d=20, seed=6)
    space = landscape.kept_space(tmp_path, z, epoch=7, seed=2)
    assert space.shape == (150, 16) and np.isfinite(space).all()
    assert [path.name for path in tmp_path.iterdir()] == ["0007-umap16.safetensors"]
    found = landscape.cluster(z, 3, "kmeans", seed=2, space=space)
    assert adjusted_rand_score(labels, found.labels) == 1
    for i in range(3):  # of z, wherever they were sought
        np.testing.assert_allclose(found.centres[i], z[found.labels == i].mean(0), atol=1e-4)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("The UMAP was there already.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landscape, "umap", refuse)
        np.testing.assert_array_equal(landscape.kept_space(tmp_path, z, 7, 2), space)
    small = z[:, :16]
    assert landscape.kept_space(tmp_path, small, epoch=8) is small


def test_clusters_of_a_large_z_are_sought_in_its_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    z, labels = lumps(2, 60, d=17, seed=1)
    strange = 1 - labels  # a space that says otherwise than z shows whose word counts
    strange[0] = 1 - strange[0]
    made: list[tuple[int, int]] = []

    def stand_in(z, seed, progress=None, dimensions=2):
        made.append((seed, dimensions))
        return landscape.Projection("umap16", 9.0 * np.eye(2)[strange].astype(np.float32))

    monkeypatch.setattr("napari_cryodeco.explore.clustering.umap", stand_in)
    found = landscape.cluster(z, 2, "kmeans", seed=4)
    assert adjusted_rand_score(strange, found.labels) == 1
    assert landscape.suggest(z, range(1, 4), seed=4).suggested == 2
    assert landscape.cluster_by_density(z, 10, seed=4).counts.sum() == 60
    assert made == [(4, 16)] * 3


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


def test_a_umap_of_copies_or_of_one_dimension_has_no_nan() -> None:
    line = np.linspace(0, 1, 40, dtype=np.float32)[:, None]
    flat = landscape.umap(line).coordinates
    assert np.isfinite(flat).all()
    ends = np.linalg.norm(flat[0] - flat[-1])
    assert np.linalg.norm(np.diff(flat, axis=0), axis=1).max() < ends  # neighbours stay so
    assert np.isfinite(landscape.umap(np.ones((12, 3), np.float32)).coordinates).all()
