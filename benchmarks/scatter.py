"""The scatter plot with up to a million points: redraw, colour, selection, lasso, range, steps.

    QT_QPA_PLATFORM=offscreen python benchmarks/scatter.py

Each figure is the median CPU-milliseconds of one act with its painting, in a widget of 560 × 460;
the lasso is checked against a brute-force test. Printed and written to
``benchmarks/results/scatter.json``.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
from qtpy.QtCore import QPointF
from qtpy.QtWidgets import QApplication

from napari_cryodeco.explore.history import History
from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.explore.replay import between
from napari_cryodeco.gui import colouring
from napari_cryodeco.gui.column_histogram import ColumnHistogram
from napari_cryodeco.gui.history_list import HistoryList
from napari_cryodeco.gui.scatter import ScatterWidget
from napari_cryodeco.model.precision import gigaflops

RESULTS = Path(__file__).parent / "results" / "scatter.json"
REPEATS = 7


def cloud(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eight clusters."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 8, n)
    centres, widths = rng.normal(0, 4, (8, 2)), rng.uniform(0.3, 1.2, (8, 1))
    places = centres[labels] + rng.normal(size=(n, 2)) * widths[labels]
    x, y = np.ascontiguousarray(places.T, dtype=np.float32)
    return x, y, labels


def milliseconds(act) -> float:
    """Median CPU time of ``act(i)`` over a few repeats, after one to warm up."""
    taken = []
    for i in range(REPEATS + 1):
        begun = time.process_time()
        act(i)
        taken.append(1000 * (time.process_time() - begun))
    return round(float(np.median(taken[1:])), 1)


def even_odd(x: np.ndarray, y: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Every edge against every point."""
    odd = np.zeros(len(x), bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        if y0 != y1:
            crossing = x0 + (y - y0) * ((x1 - x0) / (y1 - y0))
            odd ^= ((y0 <= y) != (y1 <= y)) & (x < crossing)
    return odd


def measure(n: int) -> dict[str, float]:
    """All acts at n points."""
    x, y, labels = cloud(n)
    widget = ScatterWidget()
    widget.resize(560, 460)
    figures: dict[str, float] = {"n": n}
    figures["first"] = milliseconds(lambda _: (widget.set_points(x, y, ("x", "y")), widget.grab()))
    kinds = (
        colouring.by_value("value", x * 1000),
        colouring.by_label("cluster", labels),
        colouring.Density(),
    )

    def pan(i: int) -> None:
        widget.set_extent(widget.extent.moved(0.01 * (-1) ** i, 0))
        widget.grab()

    for kind in kinds:
        name = type(kind).__name__.lower()
        widget.fit()
        figures[f"recolour {name}"] = milliseconds(
            lambda _, kind=kind: (widget.set_colouring(kind), widget.grab())
        )
        figures[f"pan {name}"] = milliseconds(pan)
    widget.set_extent(widget.extent.zoomed(0.1, float(x[0]), float(y[0])))
    figures["pan zoomed 10×"] = milliseconds(pan)
    widget.fit()
    mask = x > 0
    figures["select"] = milliseconds(lambda _: (widget.set_selected(mask), widget.grab()))
    widget.set_selected(None)
    turns = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    reach = 0.3 + 0.1 * np.cos(5 * turns)
    rect, outline = widget.frame().rect, widget.outline
    outline.corners = [
        widget.frame().to_data(
            QPointF(
                rect.center().x() + rect.width() * r * np.cos(t),
                rect.center().y() + rect.height() * r * np.sin(t),
            )
        )
        for r, t in zip(reach, turns, strict=True)
    ]
    figures["lasso of 120 corners"] = milliseconds(lambda _: outline.inside())
    inside = outline.inside()
    brute = even_odd(x.astype(float), y.astype(float), outline.polygon())
    figures["lasso selects"] = int(inside.sum())
    figures["lasso wrong"] = int((inside != brute).sum())
    outline.give_up()
    figures["hover"] = milliseconds(lambda _: widget.nearest(rect.center()))
    widget.set_overlays(tuple((labels == i, f"#{i}0C0A0") for i in range(3)))
    figures["pan with 3 overlays"] = milliseconds(pan)
    return figures | steps(x)


def steps(x: np.ndarray) -> dict[str, float]:
    """A range of a column, and what a step costs in the history and in the list of it."""
    figures: dict[str, float] = {}
    histogram, kind, listed = ColumnHistogram(), colouring.by_value("value", x), HistoryList()
    histogram.resize(560, 58)
    figures["histogram"] = milliseconds(lambda _: (histogram.set_colouring(kind), histogram.grab()))
    history = History(len(x))

    def brush(i: int) -> None:
        mask = between(x, -0.1 * i, 1.0)
        history.act("replace", mask, Step("range", ("value",), bounds=(-0.1 * i, 1.0)))
        histogram.set_selected(history.mask)
        histogram.grab()
        listed.show_history(history.moments, history.place)

    figures["brush to selection"] = milliseconds(brush)
    table = np.random.default_rng(0).integers(0, len(x), (len(x), 10), dtype=np.int32)
    figures["grow"] = milliseconds(lambda _: history.grow(table))
    figures["undo"] = milliseconds(lambda _: history.undo())
    return figures


def main() -> None:
    """Measure, print, write."""
    app = QApplication.instance() or QApplication([])
    rows = [measure(n) for n in (10_000, 100_000, 300_000, 1_000_000)]
    for row in rows:
        print(", ".join(f"{name} {value:,}" for name, value in row.items()))
    record = {
        "gflops": round(gigaflops(torch.float32, torch.device("cpu")), 1),
        "unit": "CPU ms",
        "rows": rows,
    }
    print(f"{record['gflops']} GFLOP/s, {time.process_time():.1f} CPU-seconds in all")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    app.quit()


if __name__ == "__main__":
    main()
