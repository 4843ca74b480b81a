"""Box and polygon: drawn with the mouse, ended by mouse or key, exact as the lasso is."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from skimage.measure import points_in_poly

from napari_cryodeco.gui.scatter import Mode, ScatterWidget

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
CORNERS = ((0.2, 0.2), (0.8, 0.25), (0.7, 0.8), (0.3, 0.7))


@pytest.fixture
def scatter(qtbot):
    widget = ScatterWidget()
    qtbot.addWidget(widget)
    widget.resize(520, 440)
    widget.show()
    qtbot.waitExposed(widget)
    rng = np.random.default_rng(0)
    widget.set_points(*rng.normal(size=(2, 3000)).astype(np.float32), ("a", "b"))
    return widget


def at(widget, across: float, down: float) -> QPoint:
    rect = widget.frame().rect
    return QPoint(
        round(rect.left() + across * rect.width()), round(rect.top() + down * rect.height())
    )


def polygon_of(scatter) -> np.ndarray:
    return np.array([scatter.frame().to_data(QPointF(at(scatter, *c))) for c in CORNERS])


def click_corners(qtbot, scatter, modifier=NONE):
    scatter.mode = Mode.POLYGON
    for corner in CORNERS:
        qtbot.mouseMove(scatter, at(scatter, *corner))
        qtbot.mouseClick(scatter, LEFT, modifier, at(scatter, *corner))


def test_a_box_selects_what_lies_between_its_corners(qtbot, scatter):
    scatter.mode = Mode.BOX
    with qtbot.waitSignal(scatter.lassoed, timeout=20_000) as caught:
        qtbot.mousePress(scatter, LEFT, NONE, at(scatter, 0.7, 0.8))
        qtbot.mouseMove(scatter, at(scatter, 0.1, 0.1))
        qtbot.mouseMove(scatter, at(scatter, 0.3, 0.4))
        qtbot.mouseRelease(scatter, LEFT, NONE, at(scatter, 0.3, 0.4))
    mask, operation, polygon = caught.args
    x, y = scatter._picture.x, scatter._picture.y
    (left, low), (right, high) = polygon.min(0), polygon.max(0)
    assert operation == "replace" and len(polygon) == 4
    assert np.array_equal(mask, (x >= left) & (x < right) & (y >= low) & (y < high))
    assert 0 < mask.sum() < len(x)
    corner = scatter.frame().to_data(QPointF(at(scatter, 0.3, 0.4)))
    assert corner == pytest.approx((left, high))


@pytest.mark.parametrize("ending", ["double click", "Enter", "first corner"])
def test_a_polygon_is_clicked_corner_by_corner(qtbot, scatter, ending):
    with qtbot.waitSignal(scatter.lassoed, timeout=20_000) as caught:
        click_corners(qtbot, scatter)
        qtbot.mouseMove(scatter, at(scatter, 0.5, 0.5))  # the corner that follows the mouse
        if ending == "double click":
            qtbot.mouseDClick(scatter, LEFT, NONE, at(scatter, *CORNERS[-1]))
        elif ending == "Enter":
            qtbot.keyClick(scatter, Qt.Key.Key_Return)
        else:
            qtbot.mouseClick(scatter, LEFT, NONE, at(scatter, *CORNERS[0]) + QPoint(2, 1))
    mask, _, polygon = caught.args
    points = np.column_stack([scatter._picture.x, scatter._picture.y])
    expected = points_in_poly(points, polygon_of(scatter))
    assert np.array_equal(mask, expected) and expected.any()
    np.testing.assert_allclose(polygon[:4], polygon_of(scatter), atol=1e-9)
    assert not scatter.outline


def test_backspace_takes_a_corner_back_and_escape_all(qtbot, scatter):
    click_corners(qtbot, scatter)
    qtbot.keyClick(scatter, Qt.Key.Key_Backspace)
    with qtbot.waitSignal(scatter.lassoed, timeout=20_000) as caught:
        qtbot.keyClick(scatter, Qt.Key.Key_Return)
    np.testing.assert_allclose(caught.args[2], polygon_of(scatter)[:3], atol=1e-9)
    with qtbot.assertNotEmitted(scatter.lassoed):
        click_corners(qtbot, scatter)
        qtbot.keyClick(scatter, Qt.Key.Key_Escape)
        qtbot.keyClick(scatter, Qt.Key.Key_Return)
    assert not scatter.outline
    click_corners(qtbot, scatter)
    scatter.mode = Mode.LASSO  # another tool gives it up too
    assert not scatter.outline


def test_shift_at_the_first_corner_decides(qtbot, scatter):
    with qtbot.waitSignal(scatter.lassoed, timeout=20_000) as caught:
        click_corners(qtbot, scatter, Qt.KeyboardModifier.ShiftModifier)
        qtbot.keyClick(scatter, Qt.Key.Key_Return)
    assert caught.args[1] == "add"


def test_corners_stay_on_their_points_while_one_zooms(qtbot, scatter):
    expected = polygon_of(scatter)
    click_corners(qtbot, scatter)
    place = QPointF(at(scatter, 0.9, 0.9))
    scatter.wheelEvent(
        QWheelEvent(
            place,
            QPointF(scatter.mapToGlobal(place.toPoint())),
            QPoint(),
            QPoint(0, 240),
            Qt.MouseButton.NoButton,
            NONE,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
    )
    with qtbot.waitSignal(scatter.lassoed, timeout=20_000) as caught:
        qtbot.keyClick(scatter, Qt.Key.Key_Return)
    np.testing.assert_allclose(caught.args[2], expected, atol=1e-9)


def test_a_pick_names_the_point_under_the_mouse_or_nothing(qtbot, scatter):
    scatter.set_points(np.array([0.0, 1.0]), np.array([0.0, 1.0]), ("a", "b"))
    scatter.mode = Mode.PICK
    place = scatter.frame().to_screen(1.0, 1.0).toPoint()
    with qtbot.waitSignal(scatter.picked, timeout=20_000) as caught:
        qtbot.mouseClick(scatter, LEFT, Qt.KeyboardModifier.AltModifier, place)
    assert caught.args == [1, "subtract"]
    with qtbot.assertNotEmitted(scatter.picked):
        qtbot.mouseClick(scatter, LEFT, NONE, scatter.frame().rect.center().toPoint())


def test_overlays_are_drawn_in_their_colours_for_few_and_many(qtbot, scatter):
    rng = np.random.default_rng(1)
    for n in (500, 40_000):
        x, y = rng.normal(size=(2, n)).astype(np.float32)
        scatter.set_points(x, y, ("a", "b"))
        scatter.set_overlays(((x > 0, "#AA3377"), (y > 1, "#009E73")))
        image = scatter.grab().toImage()
        place = scatter.frame().to_screen(1.0, -0.5)
        around = {
            image.pixelColor(round(place.x()) + i, round(place.y()) + j).name()
            for i in range(-15, 16)
            for j in range(-15, 16)
        }
        # purple has the least green of all colours there
        assert any(int(c[1:3], 16) > 1.5 * int(c[3:5], 16) + 20 for c in around)
    scatter.set_overlays(())
    assert scatter.grab().toImage() != image


def test_the_hovered_point_is_ringed(qtbot, scatter):
    before = scatter.grab().toImage()
    scatter.set_hovered(5)
    ringed = scatter.grab().toImage()
    scatter.set_hovered(None)
    assert ringed != before and scatter.grab().toImage() == before
