"""The ends of a path, by handles on a histogram; points of a path inserted and deleted."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_cryodeco.explore.projection import principal_axes
from napari_cryodeco.explore.route import Anchor, Route
from napari_cryodeco.gui.movie_panel import MoviePanel
from napari_cryodeco.gui.path_ends import PathEnds

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def scores():
    return np.random.default_rng(0).exponential(2.0, 4001)


@pytest.fixture
def ends(qtbot, scores):
    widget = PathEnds()
    qtbot.addWidget(widget)
    widget.resize(416, 58)
    widget.show()
    qtbot.waitExposed(widget)
    widget.set_scores(scores)
    widget.show_path(5, 95, 7, "linear")
    return widget


def at(widget, x) -> QPoint:
    return QPoint(round(x), widget.height() // 2)


def drag(qtbot, widget, begin, end) -> None:
    qtbot.mousePress(widget, LEFT, pos=at(widget, begin))
    qtbot.mouseMove(widget, at(widget, end))
    qtbot.mouseRelease(widget, LEFT, pos=at(widget, end))


def test_a_handle_stands_at_its_percentile(ends, scores):
    assert ends.counts.sum() == len(scores)
    low, high = scores.min(), scores.max()
    for percent in (0, 5, 50, 95, 100):
        share = (np.percentile(scores, percent) - low) / (high - low)
        assert ends.to_screen(percent) == pytest.approx(8 + share * 400, abs=0.5)
    one_pixel = 100 * np.mean(scores < low + (high - low) / 400)  # in the densest place
    assert ends.to_percent(ends.to_screen(37.0)) == pytest.approx(37.0, abs=one_pixel)


def test_a_drag_of_either_handle_tells_percentiles(qtbot, ends, scores):
    told = []
    ends.ends_changed.connect(lambda low, high: told.append((low, high)))
    drag(qtbot, ends, ends.to_screen(95), ends.to_screen(80))
    low, high = told[-1]
    assert low == 5 and high == pytest.approx(80, abs=1)
    drag(qtbot, ends, ends.to_screen(5), 500)  # beyond the other, and out of the widget
    assert told[-1][0] == 100 and told[-1][1] == high  # backwards
    qtbot.keyClick(ends, Qt.Key.Key_Left)
    assert told[-1] == (99, high)
    count = len(told)
    qtbot.mouseClick(ends, Qt.MouseButton.RightButton, pos=at(ends, 200))
    assert len(told) == count


def test_the_ticks_are_the_frames(ends, scores):
    def share(values):
        return 8 + (values - scores.min()) / np.ptp(scores) * 400

    ends_at = np.percentile(scores, [5, 95])
    np.testing.assert_allclose(ends.frame_places(), share(np.linspace(*ends_at, 7)), atol=0.5)
    ends.show_path(5, 95, 7, "percentile")
    theirs = share(np.percentile(scores, np.linspace(5, 95, 7)))
    np.testing.assert_allclose(ends.frame_places(), theirs, atol=0.5)


# ---- in the window


@pytest.fixture
def panel(viewer, session):
    widget = MoviePanel(viewer)
    viewer.window.add_dock_widget(widget, name="Movie")
    return widget


def test_the_handles_are_the_ends_of_the_path(qtbot, panel, session):
    page = panel.chooser.component_page
    page.component.setValue(2)
    axes = principal_axes(session.loaded().latents)
    own = axes.scores[:, 1]
    drag(qtbot, page.ends, page.ends.to_screen(5), page.ends.to_screen(30))
    qtbot.keyClick(page.ends, Qt.Key.Key_Right)
    assert page.low.value() == pytest.approx(31, abs=2.5)
    assert session.route.low == page.low.value() and session.route.high == 95
    scores = (session.path - axes.mean) @ axes.directions[1]
    expected = np.percentile(own, [page.low.value(), 95])
    np.testing.assert_allclose(scores[[0, -1]], expected, atol=1e-4)
    page.low.setValue(10)  # the box moves the handle
    places = page.ends.frame_places()
    assert places[0] == pytest.approx(page.ends.to_screen(10))
    page.spacing.setFocus()
    qtbot.keyClick(page.spacing, Qt.Key.Key_Down)
    assert session.route.spacing == "percentile"
    scores = np.sort((session.path - axes.mean) @ axes.directions[1])
    counts, _ = np.histogram(own, scores)
    assert np.ptp(counts) <= 2


def test_a_route_of_a_session_comes_back_whole(panel, session):
    route = Route("pc", 9, component=2, low=12.5, high=60, spacing="percentile")
    session.set_route(Route.from_record(route.record()))
    assert panel.chooser.route() == route
    old = route.record()
    del old["spacing"]  # written by an earlier version
    assert Route.from_record(old).spacing == "linear"


def test_a_point_is_inserted_after_the_chosen_one_and_deleted_by_key(qtbot, panel, session):
    page = panel.chooser.anchor_page
    z = session.loaded().latents
    anchors = tuple(Anchor.at(f"p{row}", z[row]) for row in (3, 20, 40))
    session.set_route(Route("line", 12, anchors=anchors))
    first = page.list.visualItemRect(page.list.item(0)).center()
    qtbot.mouseClick(page.list.viewport(), LEFT, pos=first)
    session.move_cursor_to(7)
    qtbot.mouseClick(page.add_cursor, LEFT)
    names = [anchor.name for anchor in session.route.anchors]
    assert names[0] == "p3" and names[2:] == ["p20", "p40"] and "particle 8" in names[1]
    assert page.list.currentRow() == 1  # the next one follows it
    page.list.setFocus()
    qtbot.keyClick(page.list, Qt.Key.Key_Delete)
    assert [anchor.name for anchor in session.route.anchors] == ["p3", "p20", "p40"]
    qtbot.keyClick(page.list, Qt.Key.Key_Escape)
    qtbot.keyClick(page.list, Qt.Key.Key_Delete)
    assert len(session.route.anchors) == 3  # nothing is chosen
    qtbot.mouseClick(page.add_cursor, LEFT)
    assert "particle 8" in session.route.anchors[-1].name  # at the end
