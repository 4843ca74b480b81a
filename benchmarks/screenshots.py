"""Pictures of the window for the README, made from a trained run.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/screenshots.py --run demo-run/run

writes ``explorer.png`` (1600×1000), ``reconstruct.png`` and ``evidence.png`` (1280×800) into
``docs/images``; with ``--all`` also every panel at both sizes, to look at.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

import napari_cryodeco
from napari_cryodeco.explore.landscape import cluster
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.session import session_of

PLUGIN = "napari-cryodeco"
SIZES = ((1280, 800), (1600, 1000))


def wait(until: Callable[[], bool], seconds: float = 120.0) -> None:
    """Handle events until something is so."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        spin(0.05)


def spin(seconds: float) -> None:
    """Handle events for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


class Studio:
    """A napari window of a given size with the panels on it."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(*size)
        spin(0.5)

    def open(self, name: str):
        """Open a panel as the menu does."""
        _, panel = self.viewer.window.add_plugin_dock_widget(PLUGIN, name)
        spin(1.0)
        return panel

    def shoot(self, path: Path) -> None:
        """Write what the window shows."""
        spin(1.0)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)

    def close(self) -> None:
        self.viewer.close()
        spin(0.2)


def lasso(scatter, rows: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Draw round most of the given particles with the mouse."""
    centre = np.array([np.median(x[rows]), np.median(y[rows])])
    spread = 2.2 * np.array([np.std(x[rows]), np.std(y[rows])])
    angles = np.linspace(0, 2 * np.pi, 40)
    wobble = 1 + 0.06 * np.sin(3 * angles)
    places = centre + spread * np.stack([np.cos(angles), np.sin(angles)], 1) * wobble[:, None]
    points = [scatter.frame().to_screen(*place) for place in places]
    points = [QPoint(round(p.x()), round(p.y())) for p in points]
    QTest.mousePress(scatter, Qt.MouseButton.LeftButton, pos=points[0])
    for point in points[1:]:
        QTest.mouseMove(scatter, point)
        spin(0.01)
    QTest.mouseRelease(scatter, Qt.MouseButton.LeftButton, pos=points[-1])


def explore(studio: Studio, run: Path):
    """Open a run, colour it by clusters, lasso one of them."""
    viewer = studio.viewer
    viewer.open(str(run), plugin=PLUGIN)
    session, view = session_of(viewer), map_view_of(viewer)
    wait(lambda: session.snapshot is not None and view.layer is not None)
    explorer = studio.open("Explorer")
    if session.clustering is None:
        session.set_clustering(cluster(session.loaded().latents, 3, epoch=session.epoch))
    explorer.view_bar.colour_chosen.emit("cluster")
    explorer.selection_bar.button("lasso").click()
    spin(0.5)
    x, y = session.coordinates()
    lasso(explorer.scatter, np.flatnonzero(session.clustering.labels == 0), x, y)
    spin(4.0)
    return explorer


def movie(studio: Studio) -> None:
    """Decode a short path and stop in the middle."""
    panel = studio.open("Movie")
    panel.chooser.frames.setValue(9)
    panel.decode.click()
    wait(lambda: panel.export.write.isEnabled(), 400)
    panel.player.slider.setValue(2)
    spin(1.0)


def evidence(studio: Studio) -> None:
    """Reconstruct from the selected particles."""
    panel = studio.open("Evidence")
    panel.start.click()
    wait(lambda: panel.save.isEnabled())
    spin(1.0)


def reconstruct(studio: Studio, run: Path) -> None:
    """Watch the run as its training left it."""
    panel = studio.open("Reconstruct")
    panel.folder.show_value(run)
    spin(2.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--all", type=Path, help="folder for every panel at both sizes")
    args = parser.parse_args()
    run = args.run.resolve()
    manifest = Path(napari_cryodeco.__file__).with_name("napari.yaml")
    PluginManager.instance().register(PluginManifest.from_file(manifest))

    big = Studio(SIZES[1])
    explore(big, run)
    movie(big)
    big.shoot(args.out / "explorer.png")
    big.close()
    small = Studio(SIZES[0])
    explore(small, run)
    reconstruct(small, run)
    small.shoot(args.out / "reconstruct.png")
    small.close()
    small = Studio(SIZES[0])
    explore(small, run)
    evidence(small)
    small.shoot(args.out / "evidence.png")
    small.close()
    for size in SIZES if args.all else ():
        studio = Studio(size)
        explore(studio, run)
        name = f"{size[0]}x{size[1]}.png"
        studio.shoot(args.all / f"explorer-{name}")
        movie(studio)
        studio.shoot(args.all / f"movie-{name}")
        studio.open("Export")
        studio.shoot(args.all / f"export-{name}")
        evidence(studio)
        studio.shoot(args.all / f"evidence-{name}")
        studio.close()


if __name__ == "__main__":
    main()
