"""The path tool, the ways of joining points and the ribbon, in the real window."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_cryodeco.explore import trajectory
from napari_cryodeco.explore.paths import trace
from napari_cryodeco.explore.route import Anchor, Route
from napari_cryodeco.gui.movie_panel import MoviePanel
from napari_cryodeco.gui.routing import routing_of
from napari_cryodeco.gui.support_ribbon import EXTRAPOLATED, SUPPORTED

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


def horseshoe(n: int) -> np.ndarray:
    """Three quarters of a circle in the first two of four dimensions."""
    random = np.random.default_rng(0)
    angle = np.linspace(0, 1.5 * np.pi, n)
    z = random.normal(0, 0.01, (n, 4))
    z[:, 0] += 3 * np.cos(angle)
    z[:, 1] += 3 * np.sin(angle)
    return z.astype(np.float32)


@pytest.fixture
def bent(opened, qtbot):
    """The Explorer on a horseshoe of 60 particles, with the Movie panel beside it."""
    snapshot = opened.session.loaded()
    z = horseshoe(len(snapshot.latents))
    from napari_cryodeco.explore.projection import pca

    opened.session.adopt(replace(snapshot, latents=z, projections={"pca": pca(z)}))
    movie = MoviePanel(opened.viewer_for_test)
    opened.viewer_for_test.window.add_dock_widget(movie, name="Movie", area="left")
    opened.viewer_for_test.window._qt_window.show()
    qtbot.waitUntil(lambda: routing_of(opened.viewer_for_test).latest is not None, timeout=30_000)
    opened.movie_for_test = movie
    return opened


def on_particle(panel, row: int) -> QPoint:
    x, y = panel.session.coordinates()
    return panel.scatter.frame().to_screen(float(x[row]), float(y[row])).toPoint()


def wait_traced(qtbot, panel, kind):
    routing = routing_of(panel.viewer_for_test)
    qtbot.waitUntil(
        lambda: routing.latest is not None and routing.latest.route.kind == kind, timeout=30_000
    )
    return routing.latest


def test_two_clicks_make_a_line_and_the_graph_follows_the_bend(bent, qtbot):
    session, movie = bent.session, bent.movie_for_test
    bent.scatter.setFocus()
    qtbot.mouseClick(bent.selection_bar.button("path"), LEFT)
    assert bent.scatter.mode == "path"
    for row in (1, 58):
        qtbot.mouseClick(bent.scatter, LEFT, NONE, on_particle(bent, row))
    line = wait_traced(qtbot, bent, "line")
    z = session.loaded().latents
    np.testing.assert_allclose(line.path.points[0], z[[0, 1, 2]].mean(0), atol=0.1)
    assert not line.support.supported[8:12].any()  # the straight line leaves the horseshoe
    assert len(bent.scatter._anchors) == 2
    assert np.array_equal(bent.scatter._path_support, line.support.supported)
    assert movie.chooser.tabs.currentIndex() == 1 and movie.chooser.anchor_page.list.count() == 2
    assert "no particles are (red)" in movie.message.text()
    join = movie.chooser.anchor_page.join
    join.setFocus()
    qtbot.keyClick(join, Qt.Key.Key_Down)
    join.activated.emit(join.currentIndex())
    graph = wait_traced(qtbot, bent, "graph")
    away = [np.linalg.norm(z - point, axis=1).min() for point in graph.path.points]
    assert max(away) < 0.3  # of a horseshoe of radius 3
    assert np.array_equal(session.path, graph.path.points)
    bent.scatter.setFocus()
    qtbot.keyClick(bent.scatter, Qt.Key.Key_Backspace)
    assert movie.chooser.anchor_page.list.count() == 1
    qtbot.waitUntil(lambda: session.path is None, timeout=10_000)
    assert not movie.decode.isEnabled()
    assert "at least two points" in movie.message.text()


def test_a_drag_draws_a_curve_that_is_lifted(bent, qtbot):
    qtbot.keyClick(bent.scatter, Qt.Key.Key_T)
    bent.selection.set_mode("path")
    rows = range(5, 50, 3)
    places = [on_particle(bent, row) for row in rows]
    qtbot.mousePress(bent.scatter, LEFT, NONE, places[0])
    for place in places[1:]:
        qtbot.mouseMove(bent.scatter, place)
    qtbot.mouseRelease(bent.scatter, LEFT, NONE, places[-1])
    curve = wait_traced(qtbot, bent, "curve")
    z = bent.session.loaded().latents
    away = [np.linalg.norm(z - point, axis=1).min() for point in curve.path.points]
    assert max(away) < 0.3
    np.testing.assert_allclose(curve.path.points[-1], z[47], atol=0.4)
    movie = bent.movie_for_test
    assert movie.chooser.tabs.currentIndex() == 2
    movie.chooser.frames.setValue(33)
    assert len(bent.session.path) == 33
    qtbot.mousePress(bent.scatter, LEFT, NONE, places[0])
    qtbot.mouseMove(bent.scatter, places[4])
    qtbot.keyClick(bent.scatter, Qt.Key.Key_Escape)
    qtbot.mouseRelease(bent.scatter, LEFT, NONE, places[4])
    assert bent.session.route.kind == "curve" and len(bent.session.path) == 33  # as it was


def test_points_are_moved_removed_and_closed(bent, qtbot):
    session, page = bent.session, bent.movie_for_test.chooser.anchor_page
    z = session.loaded().latents
    anchors = tuple(Anchor.at(f"p{row}", z[row]) for row in (3, 20, 40))
    session.set_route(Route("line", 12, anchors=anchors))
    page.list.setCurrentRow(2)
    qtbot.mouseClick(page.up, LEFT)
    assert [anchor.name for anchor in session.route.anchors] == ["p3", "p40", "p20"]
    qtbot.mouseClick(page.up, LEFT)
    qtbot.mouseClick(page.up, LEFT)  # it is the first: nothing happens
    assert [anchor.name for anchor in session.route.anchors] == ["p40", "p3", "p20"]
    qtbot.mouseClick(page.remove, LEFT)
    assert [anchor.name for anchor in session.route.anchors] == ["p3", "p20"]
    bent.movie_for_test.chooser.closed.setChecked(True)
    path = session.path
    middle = (z[3] + z[20]) / 2
    np.testing.assert_allclose(path[[0, 6]], z[[3, 20]], atol=1e-5)
    np.testing.assert_allclose(path[[3, 9]], [middle, middle], atol=1e-5)  # there and back


def test_the_ribbon_counts_particles_and_moves_the_cursor(bent, qtbot):
    session, ribbon = bent.session, bent.movie_for_test.player.ribbon
    z = session.loaded().latents
    ends = tuple(Anchor.at(f"p{row}", z[row]) for row in (0, 59))
    session.set_route(Route("line", 20, anchors=ends))
    made = wait_traced(qtbot, bent, "line").support
    heights = ribbon.heights()
    assert np.argmax(heights) == np.argmax(made.particles)
    assert ((heights == 0) == (made.particles == 0)).all()
    frame = int(np.flatnonzero(~made.supported)[0])
    assert "extrapolated" in ribbon.describe(frame)
    assert f"{made.distance[frame]:.3g}" in ribbon.describe(frame)
    picture = ribbon.grab().toImage()
    ratio = picture.width() / ribbon.width()
    for at in range(len(made.supported)):
        if at == 0:
            continue  # the cursor hides it
        x = (at + 0.5) * ribbon.width() / 20
        seen = picture.pixelColor(round(x * ratio), round((ribbon.height() - 2) * ratio))
        wanted = SUPPORTED if made.supported[at] else EXTRAPOLATED
        assert (seen.red() > seen.green()) == (wanted is EXTRAPOLATED), at
    qtbot.mouseClick(ribbon, LEFT, NONE, QPoint(round(12.5 * ribbon.width() / 20), 10))
    assert session.path_position == 12.0
    assert bent.scatter._path_position == 12.0


def test_a_path_is_saved_with_its_recipe_and_opened_again(bent, qtbot):
    session, movie = bent.session, bent.movie_for_test
    z = session.loaded().latents
    anchors = tuple(Anchor.at(f"p{row}", z[row]) for row in (0, 59))
    session.set_route(Route("graph", 15, anchors=anchors))
    made = wait_traced(qtbot, bent, "graph")
    qtbot.mouseClick(movie.files.save, LEFT)
    qtbot.mouseClick(movie.files.save, LEFT)  # never over the first
    folder = session.run.paths.trajectories
    first, second = sorted(folder.glob("*.json"), key=lambda file: len(file.name))
    assert json.loads(first.read_text())["recipe"]["epoch"] == session.epoch
    np.testing.assert_array_equal(trajectory.load(second).points, made.path.points)
    movie.chooser.tabs.setCurrentIndex(0)
    assert session.route.kind == "pc"
    place = movie.files.saved.findText(first.stem)
    movie.files.saved.setCurrentIndex(place)
    movie.files.saved.activated.emit(place)
    again = wait_traced(qtbot, bent, "graph")
    assert again.route == made.route
    np.testing.assert_array_equal(again.path.points, trace(made.route, z).points)
    first.write_text("{}")
    movie.files.saved.activated.emit(place)
    assert "holds no trajectory" in movie.message.text()


def test_a_path_is_part_of_the_session(bent, qtbot):
    z = bent.session.loaded().latents
    route = Route("dense", 9, anchors=tuple(Anchor.at(f"p{row}", z[row]) for row in (0, 59)))
    bent.session.set_route(route)
    assert bent.keeper.state().route == route
