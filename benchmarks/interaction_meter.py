"""Times acts in a window until their result is painted; each program has a process of its own.

CPU-seconds of the GUI thread and of all threads, and wall seconds. The last two count more: the
threads of a software OpenGL, work in the background, other people's programs.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QObject, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NONE = Qt.KeyboardModifier.NoModifier
PATIENCE = 3600.0  # seconds; the caller's own limit comes first
CORNERS = 60


def waited() -> float:
    """Seconds that this thread was ready and had no core, since it began; 0 if none can tell."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except OSError:
        return 0.0


@dataclass(frozen=True)
class Draw:
    """One go at painting.

    Wall seconds, those of them that this thread waited for a core, CPU-seconds of all threads, and
    ids of the widgets painted.
    """

    wall: float
    waited: float
    cpu: float
    widgets: frozenset[int]


class Meter(QApplication):
    """An application that knows which widget was painted how often, and what drawing took."""

    def __init__(self) -> None:
        super().__init__([])
        self.painted: Counter[int] = Counter()  # finished paints by id of the widget
        self.drawing = 0.0  # wall seconds in paints so far
        self.drawing_waited = 0.0  # those of them that this thread waited for a core
        self.draws: list[Draw] = []
        self._depth = 0
        self._inside: set[int] = set()

    def notify(self, receiver: QObject, event: QEvent) -> bool:
        """Deliver an event; of paints note when, for whom and how long."""
        kind = event.type()
        if kind not in (QEvent.Type.UpdateRequest, QEvent.Type.Paint):
            return super().notify(receiver, event)
        wall, cpu, queued = time.perf_counter(), time.process_time(), waited()
        self._depth += 1
        try:
            return super().notify(receiver, event)
        finally:
            self._depth -= 1
            if kind == QEvent.Type.Paint:
                self.painted[id(receiver)] += 1
                self._inside.add(id(receiver))
            if not self._depth:
                took, queued = time.perf_counter() - wall, waited() - queued
                self.drawing += took
                self.drawing_waited += queued
                spent = time.process_time() - cpu
                self.draws.append(Draw(took, queued, spent, frozenset(self._inside)))
                self._inside.clear()

    def spin(self, seconds: float) -> None:
        """Handle events for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.processEvents()
            time.sleep(0.002)

    def wait(self, until: Callable[[], bool]) -> None:
        """Handle events until something is so."""
        end = time.monotonic() + PATIENCE
        while not until():
            if time.monotonic() > end:
                raise TimeoutError("The window did not do it.")
            self.processEvents()
            time.sleep(0.0005)


class Acts:
    """Measures acts on one widget and prints one line of JSON for each kind of act.

    Parameters
    ----------
    app
        Of this process.
    target
        The widget whose painting ends an act.
    repeats
        How often an act is done.
    """

    def __init__(self, app: Meter, target: QWidget, repeats: int) -> None:
        self.app, self.target, self.repeats = app, target, repeats

    def once(
        self, act: Callable[[], object], done: Callable[[], bool] = lambda: True
    ) -> dict[str, float]:
        """Do it and wait until it is `done` and painted."""
        app, before = self.app, self.app.painted[id(self.target)]
        gui, every, wall = time.thread_time(), time.process_time(), time.perf_counter()
        act()
        app.wait(done)
        app.wait(lambda: app.painted[id(self.target)] > before)
        return {
            "gui": time.thread_time() - gui,
            "cpu": time.process_time() - every,
            "wall": time.perf_counter() - wall,
        }

    def many(
        self,
        name: str,
        act: Callable[[int], object],
        done: Callable[[], bool] = lambda: True,
        prepare: Callable[[], object] = lambda: None,
        rest: float = 0.05,
    ) -> None:
        """Do ``act(i)`` again and again, each time after what prepares it; tell all figures."""
        taken = []
        for i in range(self.repeats):
            prepare()
            self.app.spin(rest)
            taken.append(self.once(lambda i=i: act(i), done))
        tell(name, taken)


def tell(name: str, taken: list[dict[str, float]], **more: Any) -> None:
    """Print what an act took, each time."""
    print(json.dumps({"act": name, "taken": taken} | more), flush=True)


def wheel(widget: QWidget, notches: int) -> None:
    """Turn the wheel over the middle of a widget."""
    middle = QPointF(widget.rect().center())
    event = QWheelEvent(
        middle,
        QPointF(widget.mapToGlobal(middle.toPoint())),
        QPoint(),
        QPoint(0, 120 * notches),
        Qt.MouseButton.NoButton,
        NONE,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


def blob(middle: QPointF, width: float, height: float) -> list[QPoint]:
    """A concave outline of `CORNERS` corners about a place, in pixels of a widget."""
    turns = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    reach = 0.3 + 0.1 * np.cos(5 * turns)
    across = middle.x() + width * reach * np.cos(turns)
    down = middle.y() + height * reach * np.sin(turns)
    return [QPoint(round(x), round(y)) for x, y in zip(across, down, strict=True)]


class Drag:
    """A mouse button held down on a widget; the way goes to and fro along a line."""

    def __init__(self, widget: QWidget, start: QPoint, button: Qt.MouseButton) -> None:
        self.widget, self.at, self.button = widget, start, button
        QTest.mousePress(widget, button, NONE, start)

    def step(self, i: int) -> None:
        """Move by some pixels, ten times one way and ten times back."""
        way = 1 if i // 10 % 2 == 0 else -1
        self.move(self.at + QPoint(7 * way, 4 * way))

    def move(self, to: QPoint) -> None:
        """Move there."""
        self.at = to
        held_move(self.widget, to, self.button)

    def end(self) -> None:
        """Let go."""
        QTest.mouseRelease(self.widget, self.button, NONE, self.at)


def held_move(widget: QWidget, to: QPoint, button: Qt.MouseButton) -> None:
    """Move the mouse with a button down: QTest's own moves have none, and some programs ask."""
    place = QPointF(to)
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        place,
        QPointF(widget.mapToGlobal(to)),
        Qt.MouseButton.NoButton,
        button,
        NONE,
    )
    QApplication.sendEvent(widget, event)
