"""The histogram of a column: what it counts, and that a drag over it selects the range."""

from __future__ import annotations

import math

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_cryodeco.gui import colouring
from napari_cryodeco.gui.column_histogram import ColumnHistogram

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


@pytest.fixture
def values():
    numbers = np.random.default_rng(0).normal(1.5e4, 2e3, 5000).astype(np.float32)
    numbers[:20] = np.nan
    numbers[20], numbers[21] = 9e4, np.inf  # an outlier, and what is no number
    return numbers


@pytest.fixture
def histogram(qtbot, values):
    widget = ColumnHistogram()
    qtbot.addWidget(widget)
    widget.resize(420, 58)
    widget.show()
    qtbot.waitExposed(widget)
    widget.set_colouring(colouring.by_value("rlnDefocusU", values))
    return widget


def drag(qtbot, widget, begin: float, end: float, modifier=NONE) -> None:
    height = widget.height() // 2
    qtbot.mousePress(widget, LEFT, modifier, QPoint(round(begin), height))
    qtbot.mouseMove(widget, QPoint(round(end), height))
    qtbot.mouseRelease(widget, LEFT, modifier, QPoint(round(end), height))


def test_every_finite_value_is_counted_once(histogram, values):
    known = values[np.isfinite(values)]
    assert histogram.counts.sum() == len(known)
    mask = values > 1.5e4
    histogram.set_selected(mask)
    assert histogram.chosen_counts.sum() == np.isfinite(values[mask]).sum()
    inner = slice(1, -1)  # the first and the last bar hold what lies beyond, too
    edges = np.linspace(histogram._low, histogram._high, len(histogram.counts) + 1)
    theirs, _ = np.histogram(known, edges)
    assert np.abs(np.cumsum(histogram.counts)[inner] - np.cumsum(theirs)[inner]).max() <= 2


def test_a_drag_tells_the_range_under_the_mouse(qtbot, histogram):
    begin, end = histogram.to_screen(1.4e4), histogram.to_screen(1.6e4)
    told = []
    histogram.brushing.connect(told.append)
    with qtbot.waitSignal(histogram.brushed, timeout=20_000) as caught:
        drag(qtbot, histogram, end, begin)  # from right to left as well
    low, high, operation = caught.args
    one_pixel = (histogram._high - histogram._low) / 350
    assert low == pytest.approx(1.4e4, abs=one_pixel)
    assert high == pytest.approx(1.6e4, abs=one_pixel)
    assert operation == "replace" and told[-1] is None and told[0][:2] == (low, high)
    assert histogram.range_words().startswith("rlnDefocusU: 1")


@pytest.mark.parametrize(
    ("modifier", "operation"),
    [
        (Qt.KeyboardModifier.ShiftModifier, "add"),
        (Qt.KeyboardModifier.AltModifier, "subtract"),
        (Qt.KeyboardModifier.ControlModifier, "subtract"),
        (Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.AltModifier, "intersect"),
    ],
)
def test_keys_choose_the_operation_and_beyond_the_end_is_open(
    qtbot, histogram, modifier, operation
):
    with qtbot.waitSignal(histogram.brushed, timeout=20_000) as caught:
        drag(qtbot, histogram, histogram.to_screen(1.5e4), histogram.width() - 1, modifier)
    assert caught.args[1:] == [math.inf, operation]
    with qtbot.waitSignal(histogram.brushed, timeout=20_000) as caught:
        drag(qtbot, histogram, histogram.to_screen(1.5e4), 2, modifier)
    assert caught.args[0] == -math.inf


def test_a_click_and_escape_select_nothing(qtbot, histogram):
    with qtbot.assertNotEmitted(histogram.brushed):
        qtbot.mouseClick(histogram, LEFT, NONE, QPoint(200, 20))
        qtbot.mousePress(histogram, LEFT, NONE, QPoint(150, 20))
        qtbot.mouseMove(histogram, QPoint(250, 20))
        qtbot.keyClick(histogram, Qt.Key.Key_Escape)
        qtbot.mouseRelease(histogram, LEFT, NONE, QPoint(250, 20))
    assert histogram.range_words() == ""


@pytest.mark.parametrize("values", [np.full(5, 3.0), np.full(5, np.nan), np.arange(2.0)])
def test_columns_of_one_value_or_none_are_drawn(qtbot, histogram, values):
    histogram.set_colouring(colouring.by_value("x", values))
    histogram.grab()
    assert histogram.counts.sum() == np.isfinite(values).sum()
    with qtbot.waitSignal(histogram.brushed, timeout=20_000):
        drag(qtbot, histogram, 2, histogram.width() - 1)
