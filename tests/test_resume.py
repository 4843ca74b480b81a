"""A reconstruction that is killed in every stage and trained again equals one that was not."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.runs.latent_size import read_latent_size
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import Progress, read_status
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_tensors
from napari_cryodeco.stage_config import (
    AbinitioConfig,
    DataConfig,
    EncoderConfig,
    FieldConfig,
    RefineConfig,
)
from napari_cryodeco.train.reconstruct import reconstruct
from napari_cryodeco.train.starts import StartPlan

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")
PLACES = (("prepare", 0), ("features", 0), ("abinit", 0), ("abinit", 1), ("joint", 2))
PLACES += (("subspace", 0), ("refine", 0), ("refine", 1))


def make_run(path: Path, particle_set: Any) -> Run:
    """All stages, few steps, to the bit the same every time."""
    config = TrainConfig(
        data=DataConfig(source=particle_set.star),
        poses="abinitio",
        abinitio=AbinitioConfig(classes=2, restarts=1),
        field=FieldConfig(width=16, layers=1, frequencies=16),
        refine=RefineConfig(epochs=2, batch=20, warmup=10),
        deterministic=True,
        device="cpu",
        seed=5,
    )
    return Run.create(path, read_particles(particle_set.star), config)


def make_handing_run(path: Path, particle_set: Any) -> Run:
    """An encoder that hands over to a table after one epoch, and an end before all nine."""
    config = TrainConfig(
        data=DataConfig(source=particle_set.star_with_poses),
        poses="file",
        latent_dim=2,
        encoder=EncoderConfig(kind="cnn", prior="none", table_after=1),
        field=FieldConfig(width=16, layers=1, frequencies=16),
        refine=RefineConfig(epochs=9, batch=20, warmup=10, latent_rate=0.0, point_fraction=0.1),
        deterministic=True,
        device="cpu",
        seed=5,
    )
    return Run.create(path, read_particles(particle_set.star_with_poses), config)


def train_until(run: Run, stage: str, unit: int) -> None:
    """Train in a child process that kills itself in a unit of a stage."""
    child = os.fork()
    if child == 0:
        try:
            step = Progress.step

            def fatal(self: Progress, *words: Any) -> None:
                step(self, *words)
                if (self.status.stage, self.status.unit) == (stage, unit):
                    os.kill(os.getpid(), signal.SIGKILL)

            Progress.step = fatal  # type: ignore[method-assign]
            reconstruct(run)
        finally:
            os._exit(1)  # it should have been killed
    _, code = os.waitpid(child, 0)
    assert os.WIFSIGNALED(code), f"{stage} {unit} was never reached"


def tensors(run: Path) -> dict[str, torch.Tensor]:
    found = {}
    for file in sorted(run.rglob("*.safetensors")):
        for name, tensor in read_tensors(file)[0].items():
            found[f"{file.relative_to(run)}/{name}"] = tensor
    return found


def test_killed_in_every_stage_equals_unkilled(
    tmp_path: Path, particle_set: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        StartPlan, "of", lambda species, looks: StartPlan(steps=12, last=looks.radius)
    )
    whole, killed = killed_and_whole(make_run, PLACES, tmp_path, particle_set)
    assert RunPaths(killed.path).epoch_numbers() == [1, 2]
    assert_same(whole, killed)
    sizes = [read_latent_size(run.path) for run in (whole, killed)]
    assert sizes[0] == sizes[1] and sizes[0] is not None and sizes[0].estimated
    assert sizes[0].size == killed.epoch(2).latents().shape[1] < len(sizes[0].components) == 16


def test_killed_about_the_handover_and_the_early_end(tmp_path: Path, particle_set: Any) -> None:
    places = tuple(("refine", unit) for unit in (0, 1, 2, 5, 6))
    whole, killed = killed_and_whole(make_handing_run, places, tmp_path, particle_set)
    assert RunPaths(killed.path).epoch_numbers() == [1, 2, 3, 4, 5, 6, 7]
    assert_same(whole, killed)
    encoders = [number for number in range(1, 8) if has_encoder(killed, number)]
    assert encoders == [1]
    state = read_tensors(RunPaths(killed.path).stage("refine"))[0]
    assert torch.equal(torch.from_numpy(killed.epoch(7).latents()), state["latents.values"])
    assert reconstruct(Run.open(killed.path)).state == "done"  # nothing is left to do
    assert RunPaths(killed.path).epoch_numbers()[-1] == 7


def has_encoder(run: Run, number: int) -> bool:
    return (RunPaths(run.path).epoch(number) / "encoder.safetensors").is_file()


def killed_and_whole(
    make: Callable[[Path, Any], Run],
    places: tuple[tuple[str, int], ...],
    folder: Path,
    particle_set: Any,
) -> tuple[Run, Run]:
    """Train one run at a stretch, and another that is killed at each of these places."""
    whole = make(folder / "whole", particle_set)
    assert reconstruct(whole).state == "done"
    killed = make(folder / "killed", particle_set)
    for stage, unit in places:
        train_until(killed, stage, unit)
        assert read_status(killed.path).state == "lost"
    assert reconstruct(Run.open(killed.path)).state == "done"
    return whole, killed


def assert_same(whole: Run, killed: Run) -> None:
    """All tensors, images and maps are those of the run that was not killed."""
    expected, found = tensors(whole.path), tensors(killed.path)
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    paths, other = RunPaths(killed.path), RunPaths(whole.path)
    assert paths.images.read_bytes() == other.images.read_bytes()
    assert paths.epoch_numbers() == other.epoch_numbers()
    for number in paths.epoch_numbers():
        consensus = "consensus.mrc"
        a, b = paths.epoch(number) / consensus, other.epoch(number) / consensus
        assert a.read_bytes()[1024:] == b.read_bytes()[1024:]  # the header holds the time
    assert not list(killed.path.rglob("*.tmp*"))
