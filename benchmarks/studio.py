"""A napari window with the panels on it, driven by mouse and keyboard, for pictures of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from npe2 import PluginManager, PluginManifest
from PIL import Image
from qtpy.QtCore import QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QFontMetricsF, QPainter, QPixmap
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QInputDialog, QLineEdit, QScrollArea, QWidget

import napari_cryodeco
from napari_cryodeco.gui import plot_axes
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.session import session_of

PLUGIN = "napari-cryodeco"
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NONE = Qt.KeyboardModifier.NoModifier
COLOURS = 256  # of a palette: a picture is a third as large, and looks the same


def register() -> None:
    """Make the plugin known where it is not installed."""
    manifest = Path(napari_cryodeco.__file__).with_name("napari.yaml")
    PluginManager.instance().register(PluginManifest.from_file(manifest))


def spin(seconds: float) -> None:
    """Handle events for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def wait(until: Callable[[], object], seconds: float = 1500.0) -> None:
    """Handle events until something is so; TimeoutError if it never is."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise TimeoutError(f"Waited {seconds:.0f} s in vain.")
        spin(0.05)


class Studio:
    """A napari window of a given size, at the corner of the screen."""

    def __init__(self, size: tuple[int, int], theme: str = "dark") -> None:
        self.viewer = napari.Viewer(show=True)
        self.viewer.theme = theme
        self.window = self.viewer.window._qt_window
        self.window.move(0, 0)
        self.window.resize(*size)
        spin(0.5)

    def open(self, name: str):
        """Open a panel as the menu does."""
        _, panel = self.viewer.window.add_plugin_dock_widget(PLUGIN, name)
        spin(1.0)
        return panel

    def open_run(self, run: Path):
        """Open a run as ``napari RUN`` does; the Explorer, once its first map is there."""
        self.viewer.open(str(run), plugin=PLUGIN)
        explorer = self.open("Explorer")
        session = session_of(self.viewer)
        wait(lambda: session.snapshot is not None and map_view_of(self.viewer).layer is not None)
        settle(explorer)
        return explorer

    def make_room(self) -> None:
        """Hide napari's layer controls, as the eye in their title does."""
        self.viewer.window._qt_viewer.dockLayerControls.hide()
        spin(0.3)

    def shoot(self, path: Path, colours: int | None = None) -> None:
        """Write what the window shows, an open menu too; with a palette of `colours`."""
        spin(1.5)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)
        if (menu := QApplication.activePopupWidget()) is not None:
            self._add_menu(menu, path)
        if colours is not None:
            with Image.open(path) as picture:
                method = Image.Quantize.FASTOCTREE  # keeps colours that few pixels have
                small = picture.convert("RGB").quantize(colours, method, dither=Image.Dither.NONE)
            small.save(path, optimize=True)
        print(f"{path}: {path.stat().st_size // 1000} kB", flush=True)

    def _add_menu(self, menu: QWidget, path: Path) -> None:
        """Draw an open menu, a window of its own, where it stands."""
        picture = QPixmap(str(path))
        painter = QPainter(picture)
        painter.drawPixmap(self.window.mapFromGlobal(menu.pos()), menu.grab())
        painter.end()
        picture.save(str(path))

    def close(self) -> None:
        """Close the window."""
        self.viewer.close()
        spin(0.2)


def settle(explorer) -> None:
    """Wait until the full map of what was asked for last is drawn."""
    spin(0.7)
    status = explorer.map_bar.status
    wait(lambda: status.text() and "preview" not in status.text())
    wait(lambda: not explorer.analysis.busy)
    spin(0.7)


def click(widget: QWidget, at: QPoint | None = None, modifier=NONE, button=LEFT) -> None:
    """Click a widget, in its middle unless a place is given."""
    QTest.mouseClick(widget, button, modifier, at or widget.rect().center())
    spin(0.3)


def choose(box: QComboBox, words: str) -> None:
    """Open a box and take the first entry that begins with `words`, by the keyboard."""
    found = [i for i in range(box.count()) if box.itemText(i).startswith(words)]
    if not found:
        raise ValueError(f"{words!r} is no entry of this box.")
    box.showPopup()
    spin(0.3)
    box.view().setCurrentIndex(box.model().index(found[0], box.modelColumn()))
    QTest.keyClick(box.view(), Qt.Key.Key_Return)
    spin(0.5)


def answer(text: str) -> None:
    """Type into the dialog that comes next, as soon as it is there."""

    def type_it() -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QInputDialog):
            QTimer.singleShot(100, type_it)
            return
        field = dialog.findChild(QLineEdit)
        field.selectAll()
        QTest.keyClicks(field, text)
        QTest.keyClick(field, Qt.Key.Key_Return)

    QTimer.singleShot(100, type_it)


def legend_entry(explorer, code: int) -> QPoint:
    """Where an entry of the plot's legend is."""
    scatter, kinds = explorer.scatter, explorer.session.colouring
    boxes = plot_axes.legend_boxes(scatter.frame(), QFontMetricsF(scatter.font()), kinds)
    return next((b.topLeft() + QPointF(8, 8)).toPoint() for b, _, c in boxes if c == code)


def place_of(explorer, label: int) -> QPoint:
    """Where the middle of a cluster (from 0) is in the plot."""
    x, y = explorer.session.coordinates()
    rows = np.flatnonzero(explorer.session.clustering.labels == label)
    middle = float(np.median(x[rows])), float(np.median(y[rows]))
    return explorer.scatter.frame().to_screen(*middle).toPoint()


def lasso(explorer, label: int) -> None:
    """Draw round most of a cluster (from 0) with the mouse."""
    scatter = explorer.scatter
    x, y = explorer.session.coordinates()
    rows = np.flatnonzero(explorer.session.clustering.labels == label)
    centre = np.array([np.median(x[rows]), np.median(y[rows])])
    spread = 2.8 * np.array([np.std(x[rows]), np.std(y[rows])])
    angles = np.linspace(0, 2 * np.pi, 40)
    wobble = 1 + 0.06 * np.sin(3 * angles)
    places = centre + spread * np.stack([np.cos(angles), np.sin(angles)], 1) * wobble[:, None]
    drag(scatter, [scatter.frame().to_screen(*place).toPoint() for place in places])


def drag(widget: QWidget, points: list[QPoint]) -> None:
    """Press the left button at the first point and let it go at the last."""
    QTest.mousePress(widget, LEFT, NONE, points[0])
    for point in points[1:]:
        QTest.mouseMove(widget, point)
        spin(0.01)
    QTest.mouseRelease(widget, LEFT, NONE, points[-1])
    spin(0.3)


def scroll_to(widget: QWidget, margin: int = 10) -> None:
    """Bring a widget of a scrolled panel into sight."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QScrollArea):
        parent = parent.parentWidget()
    if parent is not None:
        parent.ensureWidgetVisible(widget, 0, margin)
    spin(0.3)
