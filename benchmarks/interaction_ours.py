"""Our Explorer in a real napari window, by mouse and keyboard: a part of `interaction.py`.

python interaction_ours.py RUN REPEATS
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import napari
from interaction_meter import LEFT, RIGHT, Acts, Drag, Meter, blob, tell
from interaction_meter import wheel as turn_wheel
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

import napari_cryodeco
from napari_cryodeco.gui import run_loader

PLUGIN = "napari-cryodeco"
SIZE = (1280, 800)


class Window:
    """The Explorer in napari, as the menu opens it."""

    def __init__(self) -> None:
        self.app = Meter()
        manager = PluginManager.instance()
        if PLUGIN not in manager.iter_manifests():
            file = Path(napari_cryodeco.__file__).with_name("napari.yaml")
            manager.register(PluginManifest.from_file(file))
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(*SIZE)
        self.canvas = self.viewer.window._qt_viewer.canvas.native
        _, self.panel = self.viewer.window.add_plugin_dock_widget(PLUGIN, "Explorer")
        self.app.spin(1.0)
        self.scatter, self.session = self.panel.scatter, self.panel.session
        self._idle = True
        self.panel.decoding.busy_changed.connect(lambda busy: setattr(self, "_idle", not busy))
        self.panel.decoding.decoded.connect(self._decoded)

    def _decoded(self, answer) -> None:
        self._idle = self._idle or answer.full

    def settle(self) -> None:
        """Wait until no map is on its way, columns are listed, and everything is painted."""
        self.app.spin(0.1)
        self.app.wait(lambda: self._idle and (not self.session.snapshot or self.session.columns))
        self.app.spin(0.2)

    def open(self, run: Path) -> dict[str, float]:
        """Open a run; what it took from its coordinates being read to the painted plot."""
        read: list[tuple[float, float, float]] = []
        load = run_loader.load_snapshot
        clock = time.pthread_getcpuclockid(threading.get_ident())

        def stamped(*words):  # on a thread of its own
            snapshot = load(*words)
            read.append((time.clock_gettime(clock), time.process_time(), time.perf_counter()))
            return snapshot

        run_loader.load_snapshot = stamped
        acts = Acts(self.app, self.scatter, 1)
        before = self.session.snapshot
        whole = acts.once(
            lambda: self.panel.open_run(run), lambda: self.session.snapshot is not before
        )
        now = (time.thread_time(), time.process_time(), time.perf_counter())
        run_loader.load_snapshot = load
        after = [b - a for a, b in zip(read[-1], now, strict=True)]
        return dict(zip(("gui", "cpu", "wall"), after, strict=True)) | {"whole": whole["wall"]}

    def press(self, name: str) -> None:
        """Click a button of the selection bar."""
        QTest.mouseClick(self.panel.selection_bar.button(name), LEFT)
        self.app.spin(0.1)


def forget_session(run: Path) -> None:
    """Have the run open as for the first time."""
    (run / "session.json").unlink(missing_ok=True)


def colour_box(window: Window, name: str) -> QWidget:
    """Go to a colour with the keyboard; the box."""
    box = window.panel.view_bar.colour
    box.setFocus()
    first = box.findText(name)
    while box.currentIndex() != first:
        QTest.keyClick(box, Qt.Key.Key_Down if box.currentIndex() < first else Qt.Key.Key_Up)
        window.app.spin(0.1)
    return box


def recolour(window: Window, acts: Acts) -> None:
    """Go up and down between two numbers of z in the colour box."""
    box = colour_box(window, "z1")
    seen = [window.session.colouring]

    def step(i: int) -> None:
        seen[0] = window.session.colouring
        QTest.keyClick(box, Qt.Key.Key_Up if i % 2 else Qt.Key.Key_Down)

    acts.many("recolour", step, lambda: window.session.colouring is not seen[0])


def lasso(window: Window, acts: Acts) -> None:
    """Draw, let go, and wait for the painted selection."""
    rect, history = window.scatter.frame().rect, window.session.history
    points = blob(rect.center(), rect.width(), rect.height())
    taken = []
    for _ in range(acts.repeats):
        window.settle()
        drag = Drag(window.scatter, points[0], LEFT)
        for point in points[1:]:
            drag.move(point)
            window.app.spin(0.004)
        before = history.place
        taken.append(acts.once(drag.end, lambda before=before: history.place != before))
    tell("lasso to result", taken, selected=int(history.count))


def main() -> None:
    run, repeats = Path(sys.argv[1]), int(sys.argv[2])
    forget_session(run)
    window = Window()
    scatter = window.scatter
    first = window.open(run)
    tell("first view", [first], size=[scatter.width(), scatter.height()])
    window.settle()
    acts = Acts(window.app, scatter, repeats)
    drag = Drag(scatter, scatter.frame().rect.center().toPoint(), RIGHT)
    acts.many("pan", drag.step)
    drag.end()
    acts.many("zoom", lambda i: turn_wheel(scatter, 1 if i % 2 else -1))
    recolour(window, acts)
    QTest.keyClick(scatter, Qt.Key.Key_F)
    window.press("lasso")
    lasso(window, acts)
    drag = Drag(scatter, scatter.frame().rect.center().toPoint(), RIGHT)
    acts.many("pan, half selected, coloured by a number", drag.step)
    drag.end()
    window.panel.decoding.stop()
    window.viewer.close()


if __name__ == "__main__":
    main()
