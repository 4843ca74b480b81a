"""What the Views panel costs with many particles: CPU-seconds of the GUI thread, and of all.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/views.py --count 1000000

Written to ``benchmarks/results/views.json``. Directions, micrographs and latents are
random; the images are not read (they are a sample).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from qtpy.QtWidgets import QApplication

from napari_cryodeco.explore.columns import Column, view_angles
from napari_cryodeco.explore.projection import pca
from napari_cryodeco.explore.read_columns import ReadColumns
from napari_cryodeco.gui.direction_view import DirectionView
from napari_cryodeco.gui.micrograph_view import MicrographView
from napari_cryodeco.gui.session import Session
from napari_cryodeco.gui.snapshot import Snapshot
from napari_cryodeco.imaging.so3 import random_rotations

RESULTS = Path(__file__).parent / "results" / "views.json"
FOUND: dict[str, dict[str, float]] = {}


def measured(words: str, act: Callable[[], object], done: Callable[[], bool]) -> None:
    """Do it, and print what it cost until it is done and painted."""
    app = QApplication.instance()
    thread, process, longest = time.thread_time(), time.process_time(), 0.0
    act()
    longest = time.thread_time() - thread
    while True:
        begun = time.thread_time()
        app.processEvents()
        longest = max(longest, time.thread_time() - begun)
        if done():
            break
        time.sleep(0.005)
    app.processEvents()
    gui, every = time.thread_time() - thread, time.process_time() - process
    print(f"{words:<44} GUI {gui:5.2f} s, longest step {longest:5.2f}, all threads {every:5.2f} s")
    FOUND[words] = {"gui_s": gui, "longest_step_s": longest, "all_threads_s": every}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    n = parser.parse_args().count
    app = QApplication([])
    rng = np.random.default_rng(0)
    rotations = random_rotations(n, torch.Generator().manual_seed(0))
    names = np.array([f"mic{i:05d}.mrc" for i in range(n // 200 + 1)], object)
    read = {
        "azimuth": lambda: view_angles(rotations)[:, 0],
        "tilt": lambda: view_angles(rotations)[:, 1],
        "micrograph": lambda: names[rng.integers(0, len(names), n)],
    }
    listed = tuple(Column(name, name) for name in read)
    latents = rng.normal(size=(n, 4)).astype(np.float32)
    session = Session()
    run = SimpleNamespace(path="run", paths=None)
    session.adopt(Snapshot(run, 1, latents, None, {"pca": pca(latents)}))
    session.set_columns(ReadColumns(listed, lambda wanted: {w: read[w]() for w in wanted}))
    mask = rng.random(n) < 0.1
    directions, table = DirectionView(session), MicrographView(session)
    for view in (directions, table):
        view.resize(420, 500)

    def shown() -> bool:
        return len(directions.map.points[0]) == n

    measured("directions: read, projected, painted", directions.show, shown)
    measured("directions: selection painted", lambda: session.select(mask), lambda: True)
    polygon = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    outline = directions.map.outline
    outline.shape, outline.corners = "lasso", [tuple(corner) for corner in polygon]
    measured("directions: lasso, selected and painted", outline.finish, lambda: True)
    directions.hide()
    measured("micrographs: read, counted, painted", table.show, lambda: table.model.particles == n)
    measured("micrographs: selection counted", lambda: session.select(mask), lambda: True)
    index = table.model.index(3, 0)
    measured("micrographs: one selected", lambda: table._select(index), lambda: True)
    RESULTS.write_text(json.dumps({"count": n, "cpu_seconds": FOUND}, indent=1) + "\n")
    app.quit()


if __name__ == "__main__":
    main()
