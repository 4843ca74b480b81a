"""Paths in z: where they start and end, how they are spaced, and who supports them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_cryodeco.explore import trajectory
from napari_cryodeco.explore.projection import pca, principal_axes


@pytest.fixture
def latents() -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.standard_normal((500, 4)) * [5, 2, 1, 0.5] + [3, 0, -2, 1]


@pytest.mark.parametrize("component", [1, 2, 4])
def test_only_one_score_moves_and_it_spans_the_percentiles(
    latents: np.ndarray, component: int
) -> None:
    path = trajectory.pc_traverse(latents, component, 5, 95, 20)
    view = pca(latents)
    scores = (path.points - view.mean) @ view.components.T
    moving = scores[:, component - 1]
    np.testing.assert_allclose(np.delete(scores, component - 1, axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(np.diff(moving), np.diff(moving)[0], rtol=1e-3)
    assert np.mean(view.coordinates[:, component - 1] < moving[0]) == pytest.approx(0.05, abs=0.005)
    assert np.mean(view.coordinates[:, component - 1] > moving[-1]) == pytest.approx(
        0.05, abs=0.005
    )
    assert path.captions[0] == f"PC{component} {moving[0]:+.2f}".replace("-", "−")


def test_backwards_is_the_reverse(latents: np.ndarray) -> None:
    there, back = (
        trajectory.pc_traverse(latents, 1, 5, 95, 9),
        trajectory.pc_traverse(latents, 1, 95, 5, 9),
    )
    np.testing.assert_allclose(there.points, back.points[::-1], atol=1e-5)
    assert there.captions == back.captions[::-1]


def test_one_frame_is_the_middle(latents: np.ndarray) -> None:
    three = trajectory.pc_traverse(latents, 1, 0, 100, 3)
    np.testing.assert_allclose(
        trajectory.pc_traverse(latents, 1, 0, 100, 1).points[0], three.points[1], atol=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 5, 95, 3), "components 1 to 4"),
        ((5, 5, 95, 3), "components 1 to 4"),
        ((1, -1, 95, 3), "between 0 and 100"),
        ((1, 5, 95, 0), "at least 1"),
    ],
)
def test_impossible_walks_are_refused(
    latents: np.ndarray, arguments: tuple[int, ...], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        trajectory.pc_traverse(latents, *arguments)


def test_a_path_keeps_its_ends_and_its_pace() -> None:
    anchors = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 0.0], [3.0, 1.0]])
    path = trajectory.through(anchors, 9)
    np.testing.assert_array_equal(path.points[[0, -1]], anchors[[0, -1]])
    np.testing.assert_allclose(np.linalg.norm(np.diff(path.points, axis=0), axis=1), 0.5, atol=1e-6)
    np.testing.assert_allclose(path.points[6], [3, 0], atol=1e-6)


def test_paths_without_a_length_are_refused() -> None:
    with pytest.raises(ValueError, match="two anchors"):
        trajectory.through(np.zeros((1, 3)), 5)
    with pytest.raises(ValueError, match="same point"):
        trajectory.through(np.ones((4, 3)), 5)
    with pytest.raises(ValueError, match="at least 2"):
        trajectory.through(np.eye(3), 1)


def test_frames_between_two_lumps_are_not_supported() -> None:
    generator = np.random.default_rng(3)
    z = generator.standard_normal((400, 2)) + np.repeat([[0, 0], [30, 0]], 200, axis=0)
    path = trajectory.through(np.array([[0.0, 0.0], [30.0, 0.0], [60.0, 0.0]]), 13)
    found = trajectory.support(path.points, z)
    assert found.supported.tolist() == [True] + [False] * 5 + [True] + [False] * 6
    assert found.distance[-1] == pytest.approx(np.linalg.norm(z - [60, 0], axis=1).min(), abs=1e-6)


def test_most_particles_support_themselves(latents: np.ndarray) -> None:
    assert trajectory.support(latents, latents).supported.mean() == pytest.approx(0.95, abs=0.01)


def test_saved_paths_come_back(tmp_path, latents: np.ndarray) -> None:
    path = trajectory.pc_traverse(latents, 2, 10, 90, 5)
    trajectory.save(path, tmp_path / "pc2.json")
    again = trajectory.load(tmp_path / "pc2.json")
    assert (again.name, again.captions) == (path.name, path.captions)
    np.testing.assert_array_equal(again.points, path.points)
    (tmp_path / "bad.json").write_text('{"name": "x"}')
    with pytest.raises(ValueError, match=r"bad\.json holds no trajectory"):
        trajectory.load(tmp_path / "bad.json")


def test_in_percentiles_there_are_equally_many_particles_between_frames() -> None:
    """Oracle: counting. The scores of an exponential crowd at one end, in equal steps, are not."""
    random = np.random.default_rng(3)
    z = np.column_stack([random.exponential(2.0, 4001), random.normal(0, 0.1, 4001)])
    even = trajectory.pc_traverse(z, 1, 0, 100, 9, "percentile")
    axes = principal_axes(z)
    own = axes.scores[:, 0]
    scores = (even.points - axes.mean) @ axes.directions[0]
    counts, _ = np.histogram(own, np.sort(scores) + np.array([-1e-3, *[0] * 7, 1e-3]))
    assert np.ptp(counts) <= 2
    assert trajectory.pc_traverse(z, 1, 20, 60, 1, "percentile").points[0] @ axes.directions[0] == (
        pytest.approx(np.percentile(own, 40) + axes.mean @ axes.directions[0], abs=1e-4)
    )
    linear = trajectory.pc_traverse(z, 1, 0, 100, 9)
    np.testing.assert_allclose(even.points[[0, -1]], linear.points[[0, -1]], atol=1e-5)
    assert np.abs(even.points - linear.points).max() > 1
