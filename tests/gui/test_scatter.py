"""The scatter plot: what is drawn, what the mouse does, and that a lasso is exact."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent

from napari_cryodeco.gui import aggregate, colouring
from napari_cryodeco.gui.aggregate import Extent
from napari_cryodeco.gui.scatter import Mode, ScatterWidget
from napari_cryodeco.gui.scatter_picture import DOTS_BELOW

LEFT = Qt.MouseButton.LeftButton
NONE = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def scatter(qtbot):
    widget = ScatterWidget()
    qtbot.addWidget(widget)
    widget.resize(520, 440)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def cloud(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=n).astype(np.float32), rng.normal(size=n).astype(np.float32)


def crossings_odd(x, y, polygon):
    """Even-odd rule: every edge against every point."""
    px, py = x.astype(float), y.astype(float)
    odd = np.zeros(len(x), bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        if y0 != y1:
            odd ^= ((y0 <= py) != (y1 <= py)) & (px < x0 + (py - y0) * (x1 - x0) / (y1 - y0))
    return odd


def drag(qtbot, widget, places, modifier=NONE, button=LEFT):
    points = [QPoint(round(x), round(y)) for x, y in places]
    qtbot.mousePress(widget, button, modifier, points[0])
    for point in points[1:]:
        qtbot.mouseMove(widget, point)
    qtbot.mouseRelease(widget, button, modifier, points[-1])


def star(widget, turns=2, corners=7, size=0.45):
    """A self-crossing star inside the plot."""
    rect = widget.frame().rect
    angles = np.linspace(0, 2 * np.pi * turns, corners, endpoint=False)
    x = rect.center().x() + size * rect.width() * np.cos(angles)
    y = rect.center().y() + size * rect.height() * np.sin(angles)
    return list(zip(x, y, strict=True))


def test_every_finite_point_in_view_is_counted_once():
    x, y = cloud(5000)
    x[:7], y[7:11] = np.nan, np.inf
    extent = Extent(-1.0, 2.0, -2.0, 0.5)
    bins = aggregate.bin_points(x, y, extent, 123, 77)
    inside = (x >= -1) & (x < 2) & (y > -2) & (y <= 0.5)
    assert bins.in_view == inside.sum() == len(bins.visible_rows())
    assert np.array_equal(np.sort(bins.visible_rows()), np.flatnonzero(inside))


def test_the_top_row_holds_the_highest_points():
    bins = aggregate.bin_points(np.array([0.1]), np.array([0.95]), Extent(0, 1, 0, 1), 10, 10)
    assert bins.counts[0, 1] == 1


@pytest.mark.parametrize("cell", [1, 2, 3])
def test_bigger_cells_keep_their_sums(cell):
    counts = np.random.default_rng(0).integers(0, 5, (31, 17))
    sums = aggregate.pooled(counts, cell)
    assert sums.shape == counts.shape
    assert sums[0, 0] == counts[:cell, :cell].sum()


def test_zoom_keeps_the_place_under_the_mouse():
    extent = Extent(-1.0, 3.0, 0.0, 2.0).zoomed(0.5, 1.5, 0.25)
    assert (1.5 - extent.left) / extent.width == pytest.approx(2.5 / 4)
    assert (0.25 - extent.bottom) / extent.height == pytest.approx(0.25 / 2)


def test_no_points_or_one_point_have_an_extent():
    nothing = np.full(3, np.nan, np.float32)
    assert aggregate.enclosing(nothing, nothing).width > 0
    one = aggregate.enclosing(np.array([5.0]), np.array([0.0]))
    assert one.left < 5 < one.right and one.bottom < 0 < one.top


@pytest.mark.parametrize("n", [300, DOTS_BELOW + 5])
def test_each_kind_of_colour_is_drawn_for_few_and_many(scatter, n):
    x, y = cloud(n)
    x[0] = np.nan
    scatter.set_points(x, y, ("a", "b"))
    values = x.copy()
    pictures = []
    for kind in (
        colouring.Density(),
        colouring.by_value("value", values),
        colouring.by_label("cluster", np.arange(n) % 3),
    ):
        scatter.set_colouring(kind)
        pictures.append(scatter.grab().toImage())
    scatter.set_selected(np.asarray(x > 0))
    pictures.append(scatter.grab().toImage())
    for first, second in pairwise(pictures):
        assert first != second


def test_mean_colours_are_colours_of_the_bar():
    x = np.zeros(4, np.float32)
    bins = aggregate.bin_points(x, x, Extent(-1, 1, -1, 1), 1, 1)
    table = np.arange(256 * 3).reshape(256, 3).astype(np.uint8)
    index = np.array([0, 100, aggregate.UNKNOWN, 50], np.uint8)
    mean = aggregate.Ink(index, table, ordered=True).mean_colours(bins)
    assert np.array_equal(mean[0, 0], table[50])  # unknown does not count


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("cell", [1, 3])
def test_two_pictures_of_one_are_those_of_either_part(ordered, cell):
    rng = np.random.default_rng(0)
    x, y = cloud(5000)
    x[:9] = np.nan
    index = rng.integers(0, 256, len(x)).astype(np.uint8)  # some of them unknown
    ink = aggregate.Ink(index, rng.integers(0, 256, (256, 3)).astype(np.uint8), ordered)
    marked, extent = rng.random(len(x)) < 0.3, Extent(-1.0, 2.0, -2.0, 0.5)
    parts = aggregate.bin_points(x, y, extent, 41, 29).split(marked)
    colours = ink.mean_colours(parts, cell)
    for part, mask in enumerate((~marked, marked)):
        alone = aggregate.Ink(index[mask], ink.table, ordered)
        bins = aggregate.bin_points(x[mask], y[mask], extent, 41, 29)
        assert np.array_equal(parts.counts[part], bins.counts)
        assert np.array_equal(colours[part], alone.mean_colours(bins, cell))


def test_a_colour_of_another_length_is_refused(scatter):
    scatter.set_points(*cloud(10), ("a", "b"))
    with pytest.raises(ValueError, match=r"11 values, 10 particles"):
        scatter.set_colouring(colouring.by_value("wrong", np.zeros(11)))


@pytest.mark.parametrize("n", [400, 5000, 400_000])
def test_a_drawn_lasso_selects_what_brute_force_selects(qtbot, scatter, n):
    x, y = cloud(n, seed=3)
    x[5] = np.nan
    scatter.set_points(x, y, ("a", "b"))
    scatter.mode = Mode.LASSO
    with qtbot.waitSignal(scatter.lassoed, timeout=20_000) as caught:
        drag(qtbot, scatter, star(scatter))
    mask, operation, polygon = caught.args
    assert operation == "replace"
    assert 0 < mask.sum() < n
    assert np.array_equal(mask, crossings_odd(x, y, polygon))


def test_points_out_of_view_are_selected_too(qtbot, scatter):
    x, y = cloud(2000)
    scatter.set_points(x, y, ("a", "b"))
    scatter.set_extent(Extent(-0.5, 0.5, -0.5, 0.5))
    scatter.mode = Mode.LASSO
    around = [(-300, -300), (900, -300), (900, 900), (-300, 900)]
    with qtbot.waitSignal(scatter.lassoed, timeout=20_000) as caught:
        drag(qtbot, scatter, around)
    mask, _, polygon = caught.args
    assert mask.sum() > ((np.abs(x) < 0.5) & (np.abs(y) < 0.5)).sum()
    assert np.array_equal(mask, crossings_odd(x, y, polygon))


@pytest.mark.parametrize(
    ("modifier", "operation"),
    [
        (Qt.KeyboardModifier.ShiftModifier, "add"),
        (Qt.KeyboardModifier.AltModifier, "subtract"),
        (Qt.KeyboardModifier.ControlModifier, "subtract"),
        (Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.AltModifier, "intersect"),
    ],
)
def test_keys_choose_the_operation(qtbot, scatter, modifier, operation):
    scatter.set_points(*cloud(100), ("a", "b"))
    scatter.mode = Mode.LASSO
    with qtbot.waitSignal(scatter.lassoed, timeout=20_000) as caught:
        drag(qtbot, scatter, star(scatter), modifier)
    assert caught.args[1] == operation


def test_the_live_count_is_the_count_of_the_lasso(qtbot, scatter):
    x, y = cloud(500)
    scatter.set_points(x, y, ("a", "b"))
    before = np.asarray(x > 0.3)
    scatter.set_selected(before)
    scatter.mode, scatter.operation = Mode.LASSO, "add"
    counts = []
    scatter.counting.connect(counts.append)
    points = [QPoint(round(a), round(b)) for a, b in star(scatter)]
    qtbot.mousePress(scatter, LEFT, NONE, points[0])
    for point in points[1:]:
        qtbot.mouseMove(scatter, point)
    qtbot.waitUntil(lambda: bool(counts), timeout=20_000)
    qtbot.wait(150)
    with qtbot.waitSignal(scatter.lassoed, timeout=20_000) as caught:
        qtbot.mouseRelease(scatter, LEFT, NONE, points[-1])
    assert counts[-1] is None
    assert counts[-2] == (caught.args[0] | before).sum()


def test_escape_gives_the_lasso_up(qtbot, scatter):
    scatter.set_points(*cloud(100), ("a", "b"))
    scatter.mode = Mode.LASSO
    points = [QPoint(round(a), round(b)) for a, b in star(scatter)]
    with qtbot.assertNotEmitted(scatter.lassoed):
        qtbot.mousePress(scatter, LEFT, NONE, points[0])
        for point in points[1:]:
            qtbot.mouseMove(scatter, point)
        qtbot.keyClick(scatter, Qt.Key.Key_Escape)
        qtbot.mouseRelease(scatter, LEFT, NONE, points[-1])


def test_a_click_and_a_drag_point_to_the_place_under_the_mouse(qtbot, scatter):
    scatter.set_points(*cloud(100), ("a", "b"))
    told = []
    scatter.pointed.connect(lambda *values: told.append(values))
    centre = scatter.frame().rect.center()
    drag(qtbot, scatter, [(centre.x(), centre.y()), (centre.x() + 40, centre.y())])
    assert [final for _, _, final in told][-1] and not any(final for _, _, final in told[:-1])
    where = scatter.frame().to_screen(*told[-1][:2])
    assert abs(where.x() - centre.x() - 40) < 1.5 and abs(where.y() - centre.y()) < 1.5


def test_a_click_in_lasso_mode_points(qtbot, scatter):
    scatter.set_points(*cloud(100), ("a", "b"))
    scatter.mode = Mode.LASSO
    with qtbot.assertNotEmitted(scatter.lassoed), qtbot.waitSignal(scatter.pointed) as caught:
        qtbot.mouseClick(scatter, LEFT, NONE, scatter.frame().rect.center().toPoint())
    assert caught.args[2] is True


@pytest.mark.parametrize("points", [0, 100])
@pytest.mark.parametrize("mode", list(Mode))
def test_clicks_outside_the_axes_are_harmless(qtbot, scatter, mode, points):
    scatter.set_points(*cloud(points), ("a", "b"))
    scatter.mode = mode
    extent, pointed, lassoed = scatter.extent, [], []
    scatter.pointed.connect(lambda *place: pointed.append(place))
    scatter.lassoed.connect(lambda *answer: lassoed.append(answer))
    with qtbot.captureExceptions() as raised:
        right, bottom = scatter.width() - 1, scatter.height() - 1
        for x, y in ((0, 0), (right, 0), (0, bottom), (right, bottom), (right // 2, bottom)):
            qtbot.mouseClick(scatter, LEFT, NONE, QPoint(x, y))
        drag(qtbot, scatter, [(-50, -50), (-40, -60)])
        scatter.grab()
    assert raised == [] and np.isfinite([place[:2] for place in pointed]).all()
    assert scatter.extent == extent or mode is Mode.PAN
    assert not any(mask.any() for mask, *_ in lassoed)


@pytest.mark.parametrize("button", [Qt.MouseButton.MiddleButton, Qt.MouseButton.RightButton])
def test_middle_and_right_drag_pan_by_what_the_mouse_moved(qtbot, scatter, button):
    scatter.set_points(*cloud(100), ("a", "b"))
    before, rect = scatter.extent, scatter.frame().rect
    centre = (rect.center().x(), rect.center().y())
    drag(qtbot, scatter, [centre, (centre[0] + rect.width() / 4, centre[1])], button=button)
    assert scatter.extent.left == pytest.approx(before.left - before.width / 4, abs=0.02)
    assert scatter.extent.width == pytest.approx(before.width)
    scatter.fit()
    assert scatter.extent == before


def test_the_wheel_zooms_about_the_mouse_and_not_for_ever(qtbot, scatter):
    scatter.set_points(*cloud(100), ("a", "b"))
    place = scatter.frame().rect.center() + QPointF(50, 30)
    under = scatter.frame().to_data(place)

    def turn():
        event = QWheelEvent(
            place,
            QPointF(scatter.mapToGlobal(place.toPoint())),
            QPoint(),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            NONE,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        scatter.wheelEvent(event)

    width = scatter.extent.width
    turn()
    assert scatter.extent.width < width
    assert scatter.frame().to_data(place) == pytest.approx(under, abs=1e-6)
    for _ in range(200):
        turn()
    assert scatter.extent.width > 0
    scatter.grab()


def test_a_click_on_the_legend_names_the_category(qtbot, scatter):
    from qtpy.QtGui import QFontMetricsF

    from napari_cryodeco.gui import plot_axes

    scatter.set_points(*cloud(90), ("a", "b"))
    kinds = colouring.by_label("cluster", np.arange(90) % 3)
    scatter.set_colouring(kinds)
    boxes = plot_axes.legend_boxes(scatter.frame(), QFontMetricsF(scatter.font()), kinds)
    assert [name for _, name, _ in boxes] == ["1", "2", "3"]
    place = boxes[1][0].topLeft() + QPointF(8, 8)
    with qtbot.waitSignal(scatter.category_clicked) as caught:
        qtbot.mouseClick(scatter, LEFT, NONE, place.toPoint())
    assert caught.args == [1, "replace"]


def test_the_nearest_point_is_found_within_reach_only(scatter):
    x, y = np.array([0.0, 1.0, np.nan]), np.array([0.0, 1.0, 0.5])
    scatter.set_points(x, y, ("a", "b"))
    at = scatter.frame().to_screen(1.0, 1.0)
    assert scatter.nearest(at + QPointF(3, -3)) == 1
    assert scatter.nearest(at + QPointF(-60, 60)) is None


def test_columns_of_few_whole_numbers_and_text_are_categories():
    few = colouring.by_column("rlnOpticsGroup", np.array([1, 2, 1, 3]))
    assert isinstance(few, colouring.Categorical) and few.names == ("1", "2", "3")
    names = np.array([f"m{i % 40:02d}" for i in range(400)] + ["m00"] * 5, dtype=object)
    many = colouring.by_column("rlnMicrographName", names)
    assert len(many.names) == 12 and "m00" in many.names and (many.codes == -1).any()
    shown = names[many.codes >= 0]
    assert set(shown) == set(many.names)
    assert isinstance(
        colouring.by_column("rlnDefocusU", np.linspace(1e4, 2e4, 50)), colouring.Continuous
    )


def test_outliers_do_not_flatten_the_colours():
    values = np.append(np.linspace(0, 1, 1000), 1e9)
    assert colouring.by_value("x", values).high < 2
    flat = colouring.by_value("x", np.ones(5))
    assert flat.high > flat.low
    nothing = colouring.by_value("x", np.full(5, np.nan))
    assert nothing.high > nothing.low


def test_later_dots_lie_over_earlier_ones_and_edges_cut_them():
    colours = np.array([[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255]], np.uint8)
    rows, columns = np.array([10, 10, 0]), np.array([10, 13, 19])
    picture = aggregate.stamp_dots(rows, columns, colours, (20, 20), 4.0)
    assert picture.shape == (20, 20, 4)
    assert picture[10, 12].tolist() == [0, 255, 0, 255]  # within both: the second is on top
    assert picture[10, 7].tolist() == [255, 0, 0, 255]
    assert picture[0, 19].tolist() == [0, 0, 255, 255]
    rows, columns = np.mgrid[:20, :20]
    covered = [(rows - r) ** 2 + (columns - c) ** 2 <= 16 for r, c in ((10, 10), (10, 13), (0, 19))]
    assert np.array_equal(picture[..., 3] > 0, np.any(covered, axis=0))
