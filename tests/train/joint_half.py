"""As a program: a short stage joint in the run folder it is given, in one process or several."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from conftest import make_tripod_and_arc
from napari_cryodeco.runs.lock import RunLock
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import Progress
from napari_cryodeco.train import distributed, passes
from napari_cryodeco.train.following import follow
from napari_cryodeco.train.joint import JointStage
from napari_cryodeco.train.passes import MERGING, last_units
from napari_cryodeco.train.reconstruct import run_steps
from napari_cryodeco.train.stages import Finished, Step


def stage(finished: Finished) -> JointStage:
    """Three maps of two bodies, so that two of them are one."""
    scene = make_tripod_and_arc()
    tripod, arc = scene.maps
    volumes = torch.stack([tripod, arc, 0.9 * tripod])
    features = torch.randn(300, 3, generator=torch.Generator().manual_seed(1))
    return JointStage(scene.looks, volumes, features, 2, seed=2)


if __name__ == "__main__":
    torch.set_num_threads(1)
    passes.MERGING = (MERGING[0], "merge", MERGING[-last_units(MERGING)])
    paths, steps = RunPaths(Path(sys.argv[1])), [Step("joint", 1.0, stage, shared=True)]
    with distributed.joined(torch.device("cpu")):
        if distributed.rank():
            follow(paths, steps)
        else:
            with RunLock(paths.root) as lock, Progress(paths.root, None) as progress:
                run_steps(paths, steps, progress, lock)
