"""One measured piece of `scaling.py`, in a process of its own; the last line it prints is JSON.

Memory is what /proc/self/status says, asked every 20 ms: `RssAnon` is what the process has taken
for itself, `RssFile` are pages of files that the system may take back (libraries and maps).
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from image_features import Silent
from torch import Tensor

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data import working_copy
from napari_cryodeco.data.copy_record import part_path, read_record, record_path
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.so3 import random_rotations
from napari_cryodeco.runs.checkpoint import write_epoch
from napari_cryodeco.runs.json_file import write_json
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_tensors, write_tensors
from napari_cryodeco.stage_config import DataConfig, RefineConfig
from napari_cryodeco.train.features import PRIOR_COMPONENTS, classical_features, mix, prior_features
from napari_cryodeco.train.linear_model import LinearModel
from napari_cryodeco.train.pipeline import steps
from napari_cryodeco.train.prepare import PrepareStage
from napari_cryodeco.train.prior import open_prior
from napari_cryodeco.train.refine import RefineStage
from napari_cryodeco.train.stages import Finished, StopRequested

CPU = torch.device("cpu")
FIELDS = ("VmRSS", "RssAnon", "RssFile")
Measured = dict[str, Any]


def memory() -> dict[str, int]:
    """Bytes of this process now, by the names of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return {name: 1024 * int(found[name].split()[0]) for name in FIELDS}


@contextmanager
def measuring() -> Iterator[Measured]:
    """CPU-seconds of all threads and the peaks of memory in MB, put into the dict at the end."""
    ended, peaks, found = threading.Event(), memory(), {}
    before, begun = peaks["RssAnon"], time.process_time()

    def watch() -> None:
        while not ended.wait(0.02):
            for name, value in memory().items():
                peaks[name] = max(peaks[name], value)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
        found["cpu_s"] = round(time.process_time() - begun, 1)
        found |= {f"{name}_MB": round(value / 1e6) for name, value in peaks.items()}
        found["RssAnon_before_MB"] = round(before / 1e6)


def stage(path: Path, name: str) -> Measured:
    """One stage of a run whose earlier stages are done."""
    run, finished = Run.open(path), Finished()
    torch.set_num_threads(1)
    for step in steps(run, CPU):
        file, made = run.paths.stage(step.name), step.make(finished)
        if step.name == name:
            with measuring() as found:
                made.load(None)
                for unit in range(made.units()):
                    made.advance(unit, Silent())
            write_tensors(file, made.tensors(), {"finished": made.units(), "units": made.units()})
            return found
        made.load(read_tensors(file)[0])
        finished[step.name] = made
    raise SystemExit(f"{path} has no stage {name}.")


def begun(path: Path, batches: int) -> Measured:
    """The first batches of `refine`: memory is at its peak by then, for any number of particles."""
    run, finished = Run.open(path), Finished()
    torch.set_num_threads(1)
    for step in steps(run, CPU)[:-1]:
        made = step.make(finished)
        made.load(read_tensors(run.paths.stage(step.name))[0])
        finished[step.name] = made
    last = steps(run, CPU)[-1].make(finished)
    with measuring() as found:
        last.load(None)
        stopped(lambda: last.advance(0, Until(batches)))
        found["batches"] = batches
    return found


class Until(Silent):
    """Stops a stage after so many of its steps."""

    def __init__(self, last: int) -> None:
        self._last = last

    def step(self, step: int, steps: int, message: str = "") -> None:
        if step >= self._last and message != "linear model into field":
            raise StopRequested


def stopped(work: Callable[[], None]) -> None:
    """Let a stage be stopped half-way."""
    try:
        work()
    except StopRequested:
        return
    raise SystemExit("The stage ended before it was stopped.")


def opening(path: Path, star: Path) -> Measured:
    """Read a STAR file of a million rows and make a run of it."""
    with measuring() as found:
        short = RefineConfig(epochs=1, warmup=5)
        config = TrainConfig(data=DataConfig(source=star, box=128), poses="file", refine=short)
        run = Run.create(path, read_particles(star), config, overwrite=True)
        found["rows"] = len(run.particles)
    return found


def prepare(path: Path, images: int) -> Measured:
    """Copy the first images, stop, and give the file its full length as a hole."""
    run = Run.open(path)
    working_copy.reserve = lambda path, size: None  # the disk need not hold what becomes a hole
    with measuring() as found:
        work = PrepareStage(run, 128)
        work.load(None)
        stopped(lambda: work.advance(0, Until(images)))
    record = read_record(run.paths.images)
    assert record is not None
    with part_path(run.paths.images).open("r+b") as file:
        file.truncate(record.offset(record.count))
    part_path(run.paths.images).rename(run.paths.images)
    record_path(run.paths.images).unlink()  # it knows that the file is not whole
    found |= {"copied": record.reached, "file_GB": run.paths.images.stat().st_size / 1e9}
    geometry = {"box": 128, "pixel_size": run.particles.pixel_size, "radius": 63, "scale": 128.0}
    source = {"source_box": 128, "source_pixel_size": run.particles.pixel_size}
    write_json(run.paths.geometry, geometry | source)
    return found


def features(path: Path, images: int) -> Measured:
    """Features of the prior, computed for the first images and repeated for the others; mixture."""
    run = Run.open(path)
    prior = open_prior("bundled", run, CPU)
    assert prior is not None
    known: list[Tensor] = []

    def embed(rows: Tensor) -> Tensor:
        if int(rows[-1]) < images:
            known.append(prior.embed(rows))
        again = known[int(rows[0]) % len(known)][: len(rows)]
        return again + torch.randn(again.shape)

    with measuring() as found:
        table = prior_features(embed, run.particles.ctf, Silent(), prior.batch)
        mix(table, 4, 0, components=PRIOR_COMPONENTS, shared=True)
        found |= {"computed": images, "width": table.shape[1]}
    return found


def classical(path: Path) -> Measured:
    """Classical features of all images."""
    run = Run.open(path)
    with measuring() as found:
        images, ctf = run.stored_images(), run.particles.ctf
        found["width"] = classical_features(images, ctf, run.geometry, Silent()).shape[1]
    return found


def refine(path: Path, batches: int) -> Measured:
    """Some batches of the field's first epoch, latents and poses of all; its state and files."""
    run = Run.open(path)
    n, random = len(run.particles), torch.Generator().manual_seed(0)
    size, volume = run.config.latent_size, len(Ball(16, 3))
    z = torch.randn(n, size, generator=random)
    start = LinearModel(
        torch.randn(volume), torch.randn(size, volume), z, torch.ones(n, size), torch.ones(size), 16
    )
    poses = Poses(random_rotations(n, random), torch.zeros(n, 2))
    config = run.config.model_copy(update={"refine_poses": True})
    with measuring() as found:
        images, ctf = run.stored_images(), run.particles.ctf
        work = RefineStage(config, images, ctf, poses, run.geometry, start)
        work.load(None)
        stopped(lambda: work.advance(0, Until(batches)))
        write_tensors(run.paths.stage("refine"), work.tensors())
        write_epoch(run.paths, 1, work.epoch_files)
        found |= {"batches": batches, "batch": config.refine.batch}
    return found


def evidence(path: Path, count: int) -> Measured:
    """Back-projection of random particles."""
    from napari_cryodeco.explore.backprojection import back_project

    run = Run.open(path)
    rows = np.random.default_rng(0).choice(len(run.particles), count, replace=False)
    with measuring() as found:
        back_project(run, rows)
        found["used"] = count
    return found


def explorer(path: Path) -> Measured:
    """What the window loads of a run: latents, principal components, columns of the STAR file."""
    from napari_cryodeco.gui.run_loader import read_columns
    from napari_cryodeco.gui.snapshot import load_snapshot

    with measuring() as found:
        snapshot = load_snapshot(path)
        found["columns"] = len(read_columns(snapshot))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part")
    parser.add_argument("run", type=Path)
    parser.add_argument("option", nargs="?", default="")
    asked = parser.parse_args()
    parts: dict[str, Callable[[], Measured]] = {
        "stage": lambda: stage(asked.run, asked.option),
        "begun": lambda: begun(asked.run, int(asked.option)),
        "opening": lambda: opening(asked.run, Path(asked.option)),
        "prepare": lambda: prepare(asked.run, int(asked.option)),
        "features": lambda: features(asked.run, int(asked.option)),
        "classical": lambda: classical(asked.run),
        "refine": lambda: refine(asked.run, int(asked.option)),
        "evidence": lambda: evidence(asked.run, int(asked.option)),
        "explorer": lambda: explorer(asked.run),
    }
    print(json.dumps(parts[asked.part]()))


if __name__ == "__main__":
    main()
