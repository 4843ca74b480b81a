"""Pictures of the guided tour (docs/tour.md), from the window driven by mouse and keyboard.

    xvfb-run -a -s "-screen 0 1280x800x24" python benchmarks/tour.py --run sample-run/run

`RUN` is that of ``cryodeco demo -o sample-run``; without ``--run`` the sample is made first (some
five CPU-minutes). ``--moving`` is a run of one molecule that moves (section 6 of the tutorial), for
the step that asks what moves. All is done on copies in a folder that is removed. ``--only`` makes
the pictures of some scenes; ``light`` makes three in the light theme, to look at.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from studio import (
    COLOURS,
    RIGHT,
    Studio,
    answer,
    choose,
    click,
    drag,
    lasso,
    legend_entry,
    place_of,
    register,
    scroll_to,
    settle,
    spin,
    wait,
)

SIZE = (1280, 800)
TRUTH = Path("gt") / "ground_truth.npz"  # beside the particles: a user knows a map by its shape


@dataclass(frozen=True)
class Tour:
    """The runs, and where copies of them go."""

    run: Path
    moving: Path
    scratch: Path

    def copy(self, of: Path | None = None) -> Path:
        """A fresh copy of a run, beside the last one."""
        source = of or self.run
        folder = Path(tempfile.mkdtemp(dir=self.scratch)) / "sample-run"
        ignore = shutil.ignore_patterns("session.json", "export", "selections", "columns")
        return Path(shutil.copytree(source, folder / source.name, ignore=ignore))


Scene = Callable[[Studio, Tour, Callable[[str], None]], None]


def polymerase(explorer) -> int:
    """The cluster (from 0) that most images of the polymerase are in."""
    source = explorer.session.loaded().run.particles.source
    with np.load(source.parent / TRUTH) as truth:
        is_polymerase = truth["label"] == 0
    return int(np.bincount(explorer.session.clustering.labels[is_polymerase]).argmax())


def opened(studio: Studio, run: Path):
    """The Explorer on a run, coloured by clusters."""
    explorer = studio.open_run(run)
    choose(explorer.view_bar.colour, "cluster")
    return explorer


def turn(studio: Studio) -> None:
    """Drag over the map, so that one looks into the cleft."""
    canvas = studio.viewer.window._qt_viewer.canvas.native
    middle = canvas.rect().center()
    drag(canvas, [middle + QPoint(0, 8 * step) for step in range(16)])


def first(studio: Studio, tour: Tour, shoot: Callable[[str], None]) -> None:
    """Open, click, lasso, brush."""
    explorer = studio.open_run(tour.copy())
    shoot("explorer")
    choose(explorer.view_bar.colour, "cluster")
    label = polymerase(explorer)
    click(explorer.scatter, place_of(explorer, label))
    settle(explorer)
    turn(studio)
    shoot("map")
    click(explorer.selection_bar.button("lasso"))
    lasso(explorer, label)
    settle(explorer)
    shoot("lasso")
    choose(explorer.view_bar.colour, "defocus")
    spin(1.0)
    strip = explorer.histogram
    shares = [0.55 + 0.02 * step for step in range(16)]
    drag(strip, [QPoint(round(share * strip.width()), 25) for share in shares])
    settle(explorer)
    shoot("histogram")


def views(studio: Studio, tour: Tour, shoot: Callable[[str], None]) -> None:
    """Directions and images of a selection."""
    explorer = opened(studio, tour.copy())
    click(explorer.scatter, legend_entry(explorer, polymerase(explorer)))
    settle(explorer)
    studio.make_room()
    panel = studio.open("Views")
    wait(lambda: len(panel.directions.map.points[0]) > 0)
    shoot("directions")
    bar = panel.tabs.tabBar()
    click(bar, bar.tabRect(2).center())
    wait(lambda: len(panel.montage.grid.rows) > 0)
    spin(3.0)
    shoot("images")


def clusters(studio: Studio, tour: Tour, shoot: Callable[[str], None]) -> None:
    """Name a cluster, see it for itself, see the landscape."""
    explorer = opened(studio, tour.copy())
    label, menu = polymerase(explorer), explorer.view_bar.by_hand.menu()
    click(explorer.scatter, legend_entry(explorer, label))
    settle(explorer)
    click(explorer.scatter, legend_entry(explorer, label), button=RIGHT)
    wait(menu.isVisible)
    shoot("by-hand")
    answer("polymerase")
    click(menu, menu.actionGeometry(explorer.by_hand.actions["rename"]).center())
    wait(lambda: "polymerase" in explorer.session.clustering.shown)
    choose(explorer.view_bar.view, "UMAP of the selection")
    wait(lambda: explorer.session.projection.part is not None)
    settle(explorer)
    shoot("part")
    choose(explorer.view_bar.view, "PCA")
    click(explorer.view_bar.energy, QPoint(8, 8))
    wait(lambda: explorer.energy.drawn is not None)
    settle(explorer)
    shoot("landscape")


def movie(studio: Studio, tour: Tour, shoot: Callable[[str], None]) -> None:
    """Along a component, with a spin and an inset; then the tour, as a 4-D layer."""
    opened(studio, tour.copy())
    studio.make_room()
    panel = studio.open("Movie")
    panel.chooser.frames.setValue(9)
    choose(panel.export.turn.kind, "spin")
    click(panel.export.inset, QPoint(8, panel.export.inset.height() // 2))
    click(panel.decode)
    wait(panel.export.write.isEnabled)
    panel.player.slider.setValue(1)
    shoot("movie")
    tabs = panel.chooser.tabs.tabBar()
    click(tabs, tabs.tabRect(1).center())
    click(panel.chooser.anchor_page.tour)
    wait(lambda: not panel.export.write.isEnabled())  # other frames are being decoded
    wait(panel.export.write.isEnabled)
    scroll_to(panel.as_layer)
    click(panel.as_layer)
    wait(lambda: panel.as_layer.frames.seen)
    spin(3.0)
    shoot("tour")


def evidence(studio: Studio, tour: Tour, shoot: Callable[[str], None]) -> None:
    """Ask the particles."""
    explorer = opened(studio, tour.copy())
    click(explorer.scatter, legend_entry(explorer, polymerase(explorer)))
    settle(explorer)
    studio.make_room()
    panel = studio.open("Evidence")
    click(panel.start)
    wait(panel.save.isEnabled)
    shoot("evidence")


def export(studio: Studio, tour: Tour, shoot: Callable[[str], None]) -> None:
    """Judge a selection, and list what would be written of it."""
    explorer = opened(studio, tour.copy())
    click(explorer.scatter, legend_entry(explorer, polymerase(explorer)))
    settle(explorer)
    studio.make_room()
    panel = studio.open("Export")
    click(panel.real.button)
    click(panel.judge.judge)
    wait(lambda: panel.judge.card is not None)
    spin(1.0)
    shoot("real")
    click(panel.real.button)
    choose(panel.what, "bundle")
    spin(1.0)
    shoot("export")


def compare(studio: Studio, tour: Tour, shoot: Callable[[str], None]) -> None:
    """Two maps beside each other, their difference, all of them."""
    opened(studio, tour.copy())
    studio.make_room()
    panel = studio.open("Compare")
    click(panel.overlay.show_both)
    wait(lambda: panel.overlay.layers.complete)
    click(panel.overlay.beside, QPoint(8, panel.overlay.beside.height() // 2))
    spin(2.0)
    shoot("two-maps")
    click(panel.overlay.clear)
    scroll_to(panel.difference.subtract)
    click(panel.difference.subtract)
    wait(lambda: panel.difference.save.isEnabled())
    scroll_to(panel.mosaic.draw)
    click(panel.mosaic.draw)
    wait(lambda: panel.mosaic.save.isEnabled())
    scroll_to(panel.mosaic.save)
    shoot("mosaic")


def moving(studio: Studio, tour: Tour, shoot: Callable[[str], None]) -> None:
    """Where a molecule moves."""
    studio.open_run(tour.copy(tour.moving))
    studio.make_room()
    panel = studio.open("Compare")
    scroll_to(panel.motion.start)
    click(panel.motion.start)
    wait(lambda: panel.motion.table.isVisible())
    scroll_to(panel.motion.save)
    shoot("motion")


def address(studio: Studio, tour: Tour, shoot: Callable[[str], None]) -> None:
    """A run that a decode server shows, by its address."""
    run = tour.copy()
    explorer = studio.open("Explorer")
    command = [sys.executable, "-m", "napari_cryodeco", "serve", str(run)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        told = run / "serve.txt"
        wait(lambda: told.is_file() and "#" in told.read_text(), 60)
        link = next(word for word in told.read_text().split() if word.startswith("http"))
        explorer.run_bar.ask_address()
        QTest.keyClicks(explorer.run_bar.address, link)
        home, os.environ["HOME"] = os.environ["HOME"], str(tour.scratch)  # no copy in the user's
        QTest.keyClick(explorer.run_bar.address, Qt.Key.Key_Return)
        os.environ["HOME"] = home
        wait(lambda: "decoded on" in explorer.run_bar.connection.text())
        settle(explorer)
        shoot("address")
        explorer.remote.close()
        server.terminate()


def light(studio: Studio, tour: Tour, shoot: Callable[[str], None]) -> None:
    """The same in the light theme."""
    explorer = opened(studio, tour.copy())
    click(explorer.scatter, legend_entry(explorer, polymerase(explorer)))
    settle(explorer)
    shoot("light-explorer")
    studio.make_room()
    panel = studio.open("Movie")
    scroll_to(panel.player)
    shoot("light-movie")
    studio.open("Compare")
    click(explorer.view_bar.energy, QPoint(8, 8))
    wait(lambda: explorer.energy.drawn is not None)
    shoot("light-landscape")


SCENES: dict[str, Scene] = {
    scene.__name__: scene
    for scene in (first, views, clusters, movie, evidence, export, compare, moving, address, light)
}


def play(name: str, tour: Tour, out: Path) -> None:
    """One scene in a window of its own."""
    studio = Studio(SIZE, "light" if name == "light" else "dark")
    SCENES[name](studio, tour, lambda picture: studio.shoot(out / f"{picture}.png", COLOURS))
    studio.close()


def make_sample(folder: Path) -> Path:
    """Make the sample and its run."""
    command = [sys.executable, "-m", "napari_cryodeco", "demo", "--no-window", "-o", str(folder)]
    subprocess.run(command, check=True)
    return folder / "run"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="of the sample; else it is made")
    parser.add_argument("--moving", type=Path, help="run of one molecule that moves")
    parser.add_argument("--out", type=Path, default=Path("docs/images/tour"))
    parser.add_argument("--only", nargs="+", choices=list(SCENES), help="scenes")
    args = parser.parse_args()
    register()
    with tempfile.TemporaryDirectory() as scratch:
        run = (args.run or make_sample(Path(scratch) / "sample")).resolve()
        moves = (args.moving or run).resolve()
        tour = Tour(run, moves, Path(scratch))
        for name in args.only or [name for name in SCENES if name != "light"]:
            play(name, tour, args.out)


if __name__ == "__main__":
    main()
