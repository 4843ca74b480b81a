"""How our window answers while it decodes, while a training runs, and when a session is opened.

    python interaction_window.py live RUN SECONDS
    python interaction_window.py training RUN SECONDS SOURCE FOLDER
    python interaction_window.py leave RUN
    python interaction_window.py restore RUN SECONDS

A part of `interaction.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from interaction_meter import LEFT, RIGHT, Acts, Drag, Meter, blob, tell, waited, wheel
from interaction_ours import Window, colour_box, forget_session
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest

from napari_cryodeco import jobs

MOVE_EVERY = 0.016  # seconds, as a mouse does
TRAINING_BEGINS = 600.0  # seconds


class Gaps:
    """Gaps between the ticks of a timer of 0 ms, less what was drawn in them."""

    def __init__(self, app: Meter) -> None:
        self._app = app
        self.walls: list[float] = []  # seconds
        self.owns: list[float] = []  # the same, less waiting for a core
        self._last = self._now()
        self._timer = QTimer()
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._tick)

    def start(self) -> None:
        self._last = self._now()
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def _now(self) -> tuple[float, float]:
        """Clocks that stand still while something is drawn; the second, too, without a core."""
        wall = time.perf_counter() - self._app.drawing
        return wall, wall - (waited() - self._app.drawing_waited)

    def _tick(self) -> None:
        now = self._now()
        wall, own = (max(b - a, 0.0) for a, b in zip(self._last, now, strict=True))
        self._last = now
        self.walls.append(wall)
        self.owns.append(own)

    def figures(self) -> dict[str, float]:
        """Percentiles by time: the share of all waits, were one to click at any moment."""
        return {
            "p99": _at_any_moment(self.walls, 0.99),
            "own_p99": _at_any_moment(self.owns, 0.99),
            "ticks_p99": float(np.quantile(self.walls, 0.99)),
            "own_ticks_p99": float(np.quantile(self.owns, 0.99)),
            "longest": max(self.walls),
            "ticks": len(self.walls),
        }


def _at_any_moment(gaps: list[float], share: float) -> float:
    """The gap that a moment picked at random lies in, at a quantile."""
    if not sum(gaps):
        return 0.0
    ordered = np.sort(gaps)
    reached = np.cumsum(ordered) / ordered.sum()
    return float(ordered[np.searchsorted(reached, share)])


def dragged(window: Window, drag: Drag, seconds: float) -> dict[str, float]:
    """Move the mouse round and round with a button down; gaps meanwhile."""
    rect, gaps = window.scatter.frame().rect, Gaps(window.app)
    middle, i, end = rect.center().toPoint(), 0, time.monotonic() + seconds
    gaps.start()
    while time.monotonic() < end:
        turn = i / 60
        reach = 0.35 * min(rect.width(), rect.height()) * np.sin(turn / 2.7)
        drag.move(middle + QPoint(round(reach * np.cos(turn)), round(reach * np.sin(turn))))
        i, until = i + 1, time.monotonic() + MOVE_EVERY
        while time.monotonic() < until:
            window.app.processEvents()
    gaps.stop()
    return gaps.figures()


def following(window: Window, seconds: float) -> dict[str, float]:
    """Hold the left button and move: maps a second, draws of the canvas, triangles, gaps."""
    window.press("point")
    shown, faces = [], []

    def show(answer) -> None:
        if not answer.full:
            shown.append(answer.seconds)
            layer = window.panel.map.layer.layer
            faces.append(0 if layer is None or layer.ndim != 3 else len(layer.data[1]))

    window.panel.decoding.decoded.connect(show)
    drag = Drag(window.scatter, window.scatter.frame().rect.center().toPoint(), LEFT)
    window.app.draws.clear()
    cpu, queued = time.process_time(), waited()
    found = dragged(window, drag, seconds)
    spent, queued = time.process_time() - cpu, waited() - queued
    canvas = id(window.canvas)
    draws = [draw for draw in window.app.draws if canvas in draw.widgets]
    drag.end()
    window.panel.decoding.decoded.disconnect(show)
    return found | {
        "maps_a_second": len(shown) / seconds,
        "own_maps_a_second": len(shown) / (seconds - queued),
        "decode_median": float(np.median(shown)),
        "faces_most": max(faces),
        "draw_cpu_median": float(np.median([draw.cpu for draw in draws])),
        "draw_wall_median": float(np.median([draw.wall for draw in draws])),
        "draw_own_median": float(np.median([draw.wall - draw.waited for draw in draws])),
        "draws": len(draws),
        "cpu_a_second": spent / seconds,
    }


def panning(window: Window, seconds: float) -> dict[str, float]:
    """Hold the right button and move: no map is decoded."""
    drag = Drag(window.scatter, window.scatter.frame().rect.center().toPoint(), RIGHT)
    found = dragged(window, drag, seconds)
    drag.end()
    QTest.keyClick(window.scatter, Qt.Key.Key_F)
    return found


def live(run: Path, seconds: float, name: str) -> None:
    """Everything that is measured with the mouse held down."""
    forget_session(run)
    window = Window()
    window.open(run)
    window.settle()
    following(window, 2.0)  # compiled, loaded, measured once
    window.settle()
    print(json.dumps({"act": f"panning{name}"} | panning(window, seconds)), flush=True)
    window.settle()
    print(json.dumps({"act": f"decoding{name}"} | following(window, seconds)), flush=True)
    window.settle()
    window.panel.decoding.stop()
    window.viewer.close()


def beside_training(run: Path, seconds: float, source: Path, folder: Path) -> None:
    """The same while a training runs on the same cores."""
    program = [sys.executable, "-m", "napari_cryodeco"]
    made = ["new", str(source), str(folder), "--overwrite"]
    subprocess.run([*program, *made], check=True, stdout=subprocess.DEVNULL)
    job = jobs.start("train", str(folder))  # as the window does
    try:
        end = time.monotonic() + TRAINING_BEGINS
        while not (folder / "stages").is_dir() and time.monotonic() < end:
            time.sleep(0.5)
        live(run, seconds, " beside a training")
        if not jobs.is_alive(job):
            sys.exit(f"The training in {folder} ended before the window was measured.")
    finally:
        os.killpg(job.pid, signal.SIGTERM)


def leave(run: Path) -> None:
    """Leave a session with a selection, colours and a zoom."""
    forget_session(run)
    window = Window()
    window.open(run)
    window.settle()
    box = colour_box(window, "z2")
    QTest.keyClick(box, Qt.Key.Key_Down)
    window.press("lasso")
    rect = window.scatter.frame().rect
    points = blob(rect.center(), rect.width(), rect.height())
    drag = Drag(window.scatter, points[0], LEFT)
    for point in points[1:]:
        drag.move(point)
    drag.end()
    wheel(window.scatter, 2)
    window.settle()
    window.viewer.close()
    window.app.spin(0.5)


def restore(run: Path, seconds: float) -> None:
    """Open it again, in a process that has opened nothing before.

    At once, or some seconds after the Explorer stands there, as when one looks for the folder.
    """
    saved = json.loads((run / "session.json").read_text())
    window = Window()
    window.app.spin(seconds)
    acts = Acts(window.app, window.scatter, 1)
    session, view = window.session, window.panel.view

    def back() -> bool:
        there = session.snapshot is not None and session.history is not None
        return there and session.history.count > 0 and view.colour == saved["colour"]

    watch = Acts(window.app, window.canvas, 1)
    taken = {}

    def whole() -> None:
        taken["plot"] = acts.once(lambda: window.panel.open_run(run), back)

    taken["map"] = watch.once(whole, lambda: window.panel.map.layer.layer is not None)
    for name, took in taken.items():
        when = f"after {seconds:.0f} s" if seconds else "at once"
        act = f"session restored, opened {when}: {name}"
        tell(act, [took], selected=int(session.history.count))
    window.panel.decoding.stop()
    window.viewer.close()


def main() -> None:
    part, run, *rest = sys.argv[1:]
    if part == "live":
        live(Path(run), float(rest[0]), "")
    elif part == "training":
        beside_training(Path(run), float(rest[0]), Path(rest[1]), Path(rest[2]))
    elif part == "restore":
        restore(Path(run), float(rest[0]))
    else:
        leave(Path(run))


if __name__ == "__main__":
    main()
