"""Paths over the particles: a bent motion is followed, a straight line leaves it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_cryodeco.explore import trajectory
from napari_cryodeco.explore.paths import Graph, lift, trace
from napari_cryodeco.explore.route import Anchor, Route


def horseshoe(n: int = 4000, dimensions: int = 6, noise: float = 0.03) -> np.ndarray:
    """Particles along three quarters of a circle of radius 1, with noise, turned into R^d."""
    random = np.random.default_rng(0)
    angle = random.uniform(0, 1.5 * np.pi, n)
    z = random.normal(0, noise, (n, dimensions))
    z[:, 0] += np.cos(angle)
    z[:, 1] += np.sin(angle)
    turn = np.linalg.qr(random.normal(size=(dimensions, dimensions)))[0]
    return (z @ turn).astype(np.float32)


def ends_of(z: np.ndarray) -> np.ndarray:
    """The tips of the horseshoe, found through the turn that made it."""
    turn = np.linalg.qr(_turn_source(z.shape[1]))[0]
    tips = np.zeros((2, z.shape[1]))
    tips[0, 0], tips[1, 1] = 1, -1
    return (tips @ turn).astype(np.float32)


def _turn_source(d: int) -> np.ndarray:
    random = np.random.default_rng(0)
    random.uniform(0, 1.5 * np.pi, 4000)
    random.normal(0, 0.03, (4000, d))
    return random.normal(size=(d, d))


def route(kind: str, points: np.ndarray, **options: object) -> Route:
    anchors = tuple(Anchor.at(f"point {i + 1}", z) for i, z in enumerate(points))
    return Route(kind, anchors=anchors, **options)


@pytest.mark.parametrize("kind", ["graph", "dense"])
def test_the_graph_follows_a_horseshoe_that_straight_lines_leave(kind: str) -> None:
    z = horseshoe()
    tips = ends_of(z)
    path = trace(route(kind, tips, frames=60), z)
    found = trajectory.support(path.points, z)
    assert found.supported.all()
    np.testing.assert_array_equal(path.points[[0, -1]], tips)
    steps = np.linalg.norm(np.diff(path.points, axis=0), axis=1)
    assert steps.sum() == pytest.approx(1.5 * np.pi, rel=0.1)  # the arc itself, not a detour
    assert steps.max() < 1.5 * steps.mean()
    straight = trace(route("line", tips, frames=60), z)
    component = trajectory.pc_traverse(z, 1, 5, 95, 60)
    for other in (straight, component):
        assert not trajectory.support(other.points, z).supported[20:40].any()


def test_a_dense_way_is_longer_and_more_crowded() -> None:
    random = np.random.default_rng(1)
    thin = np.column_stack([random.uniform(0, 4, 400), random.normal(0, 0.15, 400)])
    angle = random.uniform(0, np.pi, 20_000)
    thick = np.column_stack([2 - 2 * np.cos(angle), 2 * np.sin(angle)])
    z = np.concatenate([thin, thick + random.normal(0, 0.03, thick.shape)]).astype(np.float32)
    ends = np.array([[0.0, 0.0], [4.0, 0.0]])
    graph = Graph.of(z)
    short, dense = (trace(route(k, ends, frames=40), z, lambda: graph) for k in ("graph", "dense"))
    tree = cKDTree(z)
    crowd = [np.median(tree.query(p.points, 10)[0][:, -1]) for p in (short, dense)]
    assert crowd[1] < crowd[0] / 2
    assert dense.points[:, 1].max() > 1.8 and short.points[:, 1].max() < 1


def test_the_graph_is_that_of_shortest_paths() -> None:
    """On a ring of points the way is the shorter arc."""
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    ring = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    way = Graph.of(ring).way(ring[10], ring[60])
    assert (np.arctan2(way[:, 1], way[:, 0]) % (2 * np.pi) <= angle[61]).all()
    length = np.linalg.norm(np.diff(way, axis=0), axis=1).sum()
    assert length == pytest.approx(angle[50], rel=0.02)


def test_islands_are_not_joined_in_silence() -> None:
    random = np.random.default_rng(3)
    z = random.normal(size=(400, 3)) + np.repeat([[0, 0, 0], [50, 0, 0]], 200, axis=0)
    with pytest.raises(ValueError, match=r"point 1 and point 2: no chain .* separate islands"):
        trace(route("graph", z[[0, 399]]), z)
    assert len(trace(route("line", z[[0, 399]], frames=7), z)) == 7


def test_a_loop_comes_back_and_does_not_halt() -> None:
    corners = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
    path = trace(route("line", corners, frames=16, closed=True), corners)
    steps = np.linalg.norm(np.diff(path.points, axis=0, append=path.points[:1]), axis=1)
    np.testing.assert_allclose(steps, 0.5, atol=1e-6)  # the step from the last to the first too
    z = horseshoe()
    ring = trace(route("graph", ends_of(z), frames=50, closed=True), z)
    assert trajectory.support(ring.points, z).supported.all()
    np.testing.assert_allclose(ring.points[1], ring.points[-1], atol=0.15)  # there, and back again


@pytest.mark.parametrize("frames", [2, 3, 17, 500])
def test_any_number_of_frames_is_equally_spaced(frames: int) -> None:
    random = np.random.default_rng(2)
    curve = np.cumsum(random.normal(size=(30, 5)), axis=0)
    path = trace(Route("curve", frames, curve=tuple(map(tuple, curve))), random.normal(size=(9, 5)))
    assert len(path) == frames
    # equally spaced along the curve: the arc length at each frame, measured on a fine copy
    fine = trajectory.through(curve, 200_001).points
    arc = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    at = arc[cKDTree(fine).query(path.points)[1]]
    np.testing.assert_allclose(np.diff(at), arc[-1] / (frames - 1), rtol=0.02)


def test_a_drawn_curve_is_lifted_into_all_dimensions() -> None:
    """The third dimension is a function of the two that are shown."""
    random = np.random.default_rng(5)
    xy = random.uniform(-1, 1, (20_000, 2))
    z = np.column_stack([xy, xy[:, 0] ** 2, random.normal(0, 0.1, 20_000)]).astype(np.float32)
    drawn = np.array([[-0.8, -0.5], [0.0, 0.5], [0.8, -0.5]])
    points = lift(drawn, z[:, :2], z)
    np.testing.assert_allclose(points[0, :2], drawn[0], atol=0.03)
    np.testing.assert_allclose(points[-1, :2], drawn[-1], atol=0.03)
    np.testing.assert_allclose(points[:, 2], points[:, 0] ** 2, atol=0.02)
    assert np.abs(points[:, 3]).max() < 0.06


def test_what_cannot_be_is_said(tmp_path) -> None:
    z = horseshoe(200)
    with pytest.raises(ValueError, match="at least two points"):
        trace(route("graph", z[:1]), z)
    with pytest.raises(ValueError, match="points of 2 numbers, but z has 6"):
        trace(route("line", np.eye(2)), z)
    with pytest.raises(ValueError, match="same point"):
        lift(np.zeros((3, 2)), z[:, :2], z)


def test_a_saved_path_keeps_its_recipe(tmp_path) -> None:
    z = horseshoe()
    asked = route("graph", ends_of(z), frames=12)
    path = trace(asked, z)
    file = tmp_path / "bend.json"
    trajectory.save(path, file, {"route": asked.record(), "epoch": 3})
    again = trajectory.load_route(file)
    assert again == asked
    np.testing.assert_array_equal(trace(again, z).points, trajectory.load(file).points)
    trajectory.save(path, file)  # by hand: points only
    by_hand = trajectory.load_route(file)
    assert by_hand.kind == "curve" and len(by_hand.curve) == by_hand.frames == 12
    file.write_text('{"name": "x", "points": [[1, 2]], "recipe": {"route": 3}}')
    with pytest.raises(ValueError, match=r"bend\.json: its recipe is damaged"):
        trajectory.load_route(file)
