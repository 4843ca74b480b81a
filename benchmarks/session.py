"""What it costs to open a large run as it was left: CPU-seconds, by thread.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/session.py --count 100000

A made-up run (random z in two lumps, a rigid box of 20 px, no images read) is opened, clustered,
selected in, coloured and closed; then a window of another process opens it, which has to
load torch first. Written to
``benchmarks/results/session.json``.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_cryodeco.gui.explorer_panel import ExplorerPanel

RESULTS = Path(__file__).parent / "results" / "session.json"
BOX, PIXEL, IN_STACK, WIDTH = 20, 8.0, 500, 16
OPTICS = """data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnAmplitudeContrast #5
_rlnImagePixelSize #6
_rlnImageSize #7
1 one 300 2.7 0.1 8.0 20

data_particles

loop_
"""
LABELS = (
    *("rlnImageName", "rlnMicrographName", "rlnOpticsGroup", "rlnDefocusU", "rlnDefocusV"),
    *("rlnDefocusAngle", "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst"),
    "rlnOriginYAngst",
)


def made_up_run(folder: Path, count: int) -> Path:
    """A run of so many particles with one epoch; in a process that does not measure."""
    import torch  # the window that is measured loads it itself

    from napari_cryodeco.config import TrainConfig
    from napari_cryodeco.data.read import read_particles
    from napari_cryodeco.explore.clustering import cluster
    from napari_cryodeco.explore.landscape import pca, save
    from napari_cryodeco.imaging.geometry import Geometry
    from napari_cryodeco.imaging.so3 import matrix_to_euler, random_rotations
    from napari_cryodeco.model.field import FieldDecoder
    from napari_cryodeco.runs.checkpoint import write_epoch
    from napari_cryodeco.runs.json_file import write_json
    from napari_cryodeco.runs.run import Run
    from napari_cryodeco.runs.store import write_stack, write_tensors
    from napari_cryodeco.stage_config import DataConfig

    rng = np.random.default_rng(0)
    write_stack(folder / "all.mrcs", rng.normal(size=(IN_STACK, BOX, BOX)), PIXEL)
    angles = torch.rad2deg(matrix_to_euler(random_rotations(count, torch.Generator()))).numpy()
    defocus = rng.uniform(8000, 25000, count)
    lines = (
        f"{i % IN_STACK + 1:06d}@all.mrcs m{i // 200:05d}.mrc 1 {d:.1f} {d - 100:.1f} 30.0 "
        f"{a:.3f} {b:.3f} {c:.3f} 0.5 0.7"
        for i, (d, (a, b, c)) in enumerate(zip(defocus, angles, strict=True))
    )
    heads = "".join(f"_{name} #{place}\n" for place, name in enumerate(LABELS, 1))
    star = folder / "particles.star"
    star.write_text(OPTICS + heads + "\n".join(lines) + "\n")
    config = TrainConfig(data=DataConfig(source=star), poses="file", latent_dim=WIDTH, device="cpu")
    run = Run.create(folder / "run", read_particles(star), config)
    geometry = Geometry(BOX, PIXEL, BOX // 2 - 1, 1.0, BOX, PIXEL)
    write_json(run.paths.geometry, geometry)
    latents = torch.from_numpy(rng.normal(size=(count, WIDTH)).astype(np.float32))
    latents[count // 2 :, 0] += 5
    poses = run.particles.poses

    def fill(epoch: Path) -> None:
        field = FieldDecoder(config.field, WIDTH, geometry.radius, torch.ones(geometry.radius + 1))
        field.save(epoch / "field.safetensors", geometry)
        write_tensors(epoch / "latents.safetensors", {"latents": latents})
        columns = {"rotations": poses.rotations, "shifts": poses.shifts}
        write_tensors(epoch / "poses.safetensors", columns)

    write_epoch(run.paths, 1, fill)
    z = latents.numpy()
    save(cluster(z, 4, "kmeans", epoch=1), run.paths.views)
    save(pca(z, 1), run.paths.views)
    return run.path


def opened(app: QApplication, path: Path, colour: str, profile: bool) -> dict[str, float]:
    """Open a run in a new window until all is painted; the cost of the GUI thread, and of all."""
    viewer = napari.Viewer(show=True)
    panel = ExplorerPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Explorer")
    for _ in range(20):
        app.processEvents()
        time.sleep(0.02)
    profiler = cProfile.Profile()
    thread, process, longest = time.thread_time(), time.process_time(), 0.0
    if profile:
        profiler.enable()
    panel.open_run(path)
    while not (
        panel.session.snapshot is not None
        and panel.session.columns
        and panel.map.layer.layer is not None
        and panel.view.colours.chosen == colour
        and panel.session.colouring.label in (colour, "particles")
    ):
        begun = time.thread_time()
        app.processEvents()
        longest = max(longest, time.thread_time() - begun)
        time.sleep(0.005)
    for _ in range(20):
        app.processEvents()
        time.sleep(0.01)
    profiler.disable()
    found = {
        "gui_s": time.thread_time() - thread,
        "longest_step_s": longest,
        "all_threads_s": time.process_time() - process,
    }
    if profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(35)
    rng = np.random.default_rng(1)
    panel.session.select(rng.random(len(panel.session.loaded().latents)) < 0.2)
    panel.view.colours.choose("tilt")
    while panel.session.colouring.label != "tilt":
        app.processEvents()
        time.sleep(0.005)
    panel.keeper.flush()
    panel.decoding.stop()
    panel.loader.close()
    viewer.close()
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--open", type=Path, help="only open this run, in this process")
    parser.add_argument("--colour", default="density", help="that it was left with")
    parser.add_argument("--profile", action="store_true", help="print where the GUI thread was")
    options = parser.parse_args()
    if options.open is not None:
        app = QApplication([])
        print(json.dumps(opened(app, options.open, options.colour, options.profile)))
        return
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1) as other:
        path = other.submit(made_up_run, Path(folder), options.count).result()
        costs = {}
        for words, colour in (("first", "density"), ("as it was left", "tilt")):
            command = [sys.executable, __file__, "--open", str(path), "--colour", colour]
            command += ["--profile"] if options.profile and colour == "tilt" else []
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            *lines, last = said.strip().splitlines()
            print("\n".join(lines))
            costs[words] = json.loads(last)
    found = {"count": options.count, "cpu_seconds": costs}
    print(json.dumps(found, indent=1))
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
