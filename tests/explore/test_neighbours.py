"""Neighbours in z against sklearn, and the laws of growing and shrinking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from napari_cryodeco.explore import landscape, neighbours
from napari_cryodeco.explore.neighbours import grown, nearest, shrunk


def cloud(n: int, d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) + 6 * rng.normal(size=(5, d))[rng.integers(0, 5, n)]).astype(
        np.float32
    )


@pytest.mark.parametrize(("n", "d"), [(2, 3), (7, 1), (700, 4), (3000, 16)])
def test_neighbours_are_those_of_sklearn(n: int, d: int) -> None:
    z = cloud(n, d) + 50  # far from the origin too
    count = min(neighbours.COUNT, n - 1)
    theirs = NearestNeighbors(n_neighbors=count).fit(z).kneighbors(return_distance=False)
    ours = nearest(z)
    assert ours.shape == (n, count) and ours.dtype == np.int32
    distances = [np.linalg.norm(z[rows] - z[:, None], axis=2) for rows in (ours, theirs)]
    np.testing.assert_allclose(*distances, atol=2e-3)  # ties may fall either way
    assert not (ours == np.arange(n)[:, None]).any()


def test_most_are_true_neighbours_where_not_all_are_compared(monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "CANDIDATES", 600)
    z = cloud(6000, 3)
    theirs = NearestNeighbors(n_neighbors=10).fit(z).kneighbors(return_distance=False)
    found = [len(np.intersect1d(a, b)) for a, b in zip(nearest(z), theirs, strict=True)]
    assert np.mean(found) > 9


def test_equal_latents_have_distinct_neighbours() -> None:
    z = np.zeros((2500, 4), np.float32)
    table = nearest(z)
    assert all(len(set(row)) == len(row) for row in table.tolist())
    assert not (table == np.arange(len(z))[:, None]).any()


def test_progress_reaches_the_end_and_may_cancel() -> None:
    told: list[tuple[int, int]] = []
    nearest(cloud(500, 2), progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (500, 500)

    def stop(done: int, of: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        nearest(cloud(500, 2), progress=stop)


def test_on_a_line_a_selection_grows_by_its_ends() -> None:
    z = np.arange(100, dtype=np.float32)[:, None]
    table = nearest(z, 2)
    mask = (z[:, 0] >= 40) & (z[:, 0] < 60)
    assert np.flatnonzero(grown(mask, table)).tolist() == list(range(39, 61))
    assert np.flatnonzero(shrunk(mask, table)).tolist() == list(range(41, 59))


def test_growing_and_shrinking_are_dilation_and_erosion() -> None:
    z = cloud(900, 3)
    table = nearest(z)
    rng = np.random.default_rng(1)
    for share in (0.0, 0.02, 0.5, 1.0):
        mask = rng.random(len(z)) < share
        more, less = grown(mask, table), shrunk(mask, table)
        assert (mask <= more).all() and (less <= mask).all()
        assert np.array_equal(less, ~grown(~mask, table))  # each is the other of the complement
        assert (mask <= shrunk(more, table)).all()  # closing adds only
        assert (grown(less, table) <= mask).all()  # opening takes away only
        other = mask | (rng.random(len(z)) < 0.1)
        assert (more <= grown(other, table)).all() and (less <= shrunk(other, table)).all()


def test_a_table_is_kept_and_read_again(tmp_path: Path, monkeypatch) -> None:
    z = cloud(80, 3)
    table = landscape.kept_neighbours(tmp_path, z, 12)
    assert (tmp_path / "0012-neighbours10.safetensors").is_file()
    monkeypatch.setattr(landscape, "nearest", None)  # not called again
    assert np.array_equal(landscape.kept_neighbours(tmp_path, z, 12), table)
    assert landscape.latest_clustering(tmp_path, 12) is None
