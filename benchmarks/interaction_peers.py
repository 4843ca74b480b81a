"""Other ways to draw the same points, by the same mouse: a part of `interaction.py`.

    python interaction_peers.py matplotlib|pyqtgraph|napari FOLDER REPEATS WIDTH HEIGHT

FOLDER holds ``xy.npy`` ``(n, 2)`` and ``values.npy`` ``(2, n)``. None of the three has an outline
of its own that selects particles: each gets what its users write for it, a lasso tested by
matplotlib's ``Path``, whose result is shown in other colours.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from interaction_meter import LEFT, RIGHT, Acts, Drag, Meter, blob, tell, wheel
from matplotlib.path import Path as Outline
from qtpy.QtCore import QPointF
from qtpy.QtWidgets import QMainWindow, QWidget

NAPARI_WINDOW = (1280, 800)
DIMMED = (0.7, 0.7, 0.7, 0.3)


class Subject:
    """One program with the points in it.

    Attributes
    ----------
    target
        The widget that is painted, and gets the mouse.
    pan_button
        What pans.
    """

    target: QWidget
    pan_button = LEFT

    def __init__(self, xy: np.ndarray, values: np.ndarray, size: tuple[int, int]) -> None:
        self.xy, self.values = xy, values
        self.window = QMainWindow()
        self.make(size)

    def make(self, size: tuple[int, int]) -> None:
        """Make an empty plot of this size."""

    def show(self) -> None:
        """Put the points into it, coloured by the first value."""

    def zoom(self, i: int) -> None:
        """Zoom a little in, or out again."""
        wheel(self.target, 1 if i % 2 else -1)

    def recolour(self, i: int) -> None:
        """Colour by another value."""

    def inside(self) -> np.ndarray:
        """Points in the outline that all subjects get, in shares of the view."""
        area = self.target.rect()
        points = blob(QPointF(area.center()), area.width(), area.height())
        corners = np.array([self.to_data(point.x(), point.y()) for point in points])
        return Outline(corners).contains_points(self.xy)

    def to_data(self, x: float, y: float) -> tuple[float, float]:
        """Place in the data of a pixel of the target."""
        raise NotImplementedError

    def unselect(self) -> None:
        """Make ready for the next lasso."""

    def select(self) -> None:
        """Test the outline and show what is in it."""

    def dock(self, widget: QWidget, size: tuple[int, int]) -> None:
        widget.setFixedSize(*size)
        self.window.setCentralWidget(widget)
        self.window.show()


class Matplotlib(Subject):
    """``scatter`` on Qt's Agg canvas with its toolbar's pan and zoom tool."""

    def make(self, size):
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg, NavigationToolbar2QT
        from matplotlib.figure import Figure

        self.target = FigureCanvasQTAgg(Figure())
        self.axes = self.target.figure.add_subplot()
        self.tools = NavigationToolbar2QT(self.target, self.window)
        self.tools.pan()
        self.dock(self.target, size)

    def show(self):
        style = {"s": 1, "linewidths": 0, "rasterized": True}
        self.points = self.axes.scatter(*self.xy.T, c=self.values[0], **style)
        self.target.draw_idle()

    def zoom(self, i):
        # The right button of the same tool zooms; one notch is one move of it.
        if not hasattr(self, "drag"):
            self.drag = Drag(self.target, self.target.rect().center(), RIGHT)
        self.drag.step(i)

    def recolour(self, i):
        self.points.set_array(self.values[(i + 1) % 2])
        self.target.draw_idle()

    def to_data(self, x, y):
        return self.axes.transData.inverted().transform((x, self.target.height() - y))

    def unselect(self):
        if hasattr(self, "drag"):
            self.drag.end()
            del self.drag

    def select(self):
        colours = self.points.to_rgba(self.values[0])
        colours[~self.inside()] = DIMMED
        self.points.set_array(None)
        self.points.set_facecolors(colours)
        self.target.draw_idle()


class Pyqtgraph(Subject):
    """``ScatterPlotItem`` of two pixels a point without a pen."""

    def make(self, size):
        import pyqtgraph

        self.library = pyqtgraph
        self.plot = pyqtgraph.PlotWidget()
        self.target = self.plot.viewport()
        self.dock(self.plot, size)
        colours = pyqtgraph.colormap.get("viridis").getLookupTable(nPts=256)
        self.brushes = np.array([pyqtgraph.mkBrush(*colour) for colour in colours], dtype=object)
        self.dim = pyqtgraph.mkBrush(180, 180, 180, 80)

    def colours(self, i):
        values = self.values[i % 2]
        low, high = values.min(), values.max()
        return self.brushes[((values - low) * (255 / (high - low))).astype(int)]

    def show(self):
        self.points = self.library.ScatterPlotItem(size=2, pen=None, pxMode=True)
        self.points.setData(*self.xy.T, brush=self.colours(0))
        self.plot.addItem(self.points)

    def recolour(self, i):
        self.points.setBrush(self.colours(i + 1))

    def to_data(self, x, y):
        place = self.plot.plotItem.vb.mapSceneToView(self.plot.mapToScene(int(x), int(y)))
        return place.x(), place.y()

    def select(self):
        brushes = self.colours(0)
        brushes[~self.inside()] = self.dim
        self.points.setBrush(brushes)


class Napari(Subject):
    """A Points layer in napari's own window; its selection is drawn by the layer."""

    def make(self, size):
        import napari

        self.window.close()
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(*NAPARI_WINDOW)
        self.target = self.viewer.window._qt_viewer.canvas.native

    def show(self):
        features = {"first": self.values[0], "second": self.values[1]}
        self.layer = self.viewer.add_points(
            self.xy[:, ::-1],
            features=features,
            face_color="first",
            size=float(np.ptp(self.xy[:, 0])) / 250,
            border_width=0,
        )

    def recolour(self, i):
        self.layer.face_color = "second" if i % 2 == 0 else "first"

    def to_data(self, x, y):
        camera, area = self.viewer.scene.camera, self.target.rect()
        down = camera.center[1] + (y - area.height() / 2) / camera.zoom
        return camera.center[2] + (x - area.width() / 2) / camera.zoom, down

    def unselect(self):
        self.layer.selected_data = set()

    def select(self):
        self.layer.selected_data = set(np.flatnonzero(self.inside()).tolist())


SUBJECTS = {"matplotlib": Matplotlib, "pyqtgraph": Pyqtgraph, "napari": Napari}


def main() -> None:
    name, folder, repeats, *size = sys.argv[1:]
    xy, values = (np.load(Path(folder) / f"{kind}.npy") for kind in ("xy", "values"))
    app = Meter()
    subject = SUBJECTS[name](xy, values, (int(size[0]), int(size[1])))
    app.spin(1.0)
    acts = Acts(app, subject.target, int(repeats))
    tell("first view", [acts.once(subject.show)])
    app.spin(0.5)
    drag = Drag(subject.target, subject.target.rect().center(), subject.pan_button)
    acts.many("pan", drag.step, rest=0.2)
    drag.end()
    app.spin(0.2)
    acts.many("zoom", subject.zoom, rest=0.2)
    acts.many("recolour", subject.recolour, rest=0.2)
    acts.many("lasso to result", lambda _: subject.select(), prepare=subject.unselect, rest=0.2)


if __name__ == "__main__":
    main()
