"""Fixtures that several layers share: a tiny particle set and a run trained on it."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and numpy are imported

import numpy as np
import pytest
import torch
import torch._dynamo  # now: it loads triton, which dies where Mesa's software OpenGL came first

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.molecule import Molecule
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.data.simulate import Recipe, simulate
from napari_cryodeco.explore.server import DecodeServer
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.runs.checkpoint import write_epoch
from napari_cryodeco.runs.json_file import write_json
from napari_cryodeco.runs.progress import Status
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_tensors, write_tensors
from napari_cryodeco.stage_config import DataConfig, FieldConfig, RefineConfig
from napari_cryodeco.train.prepare import PrepareStage
from napari_cryodeco.train.reconstruct import reconstruct
from napari_cryodeco.train.stages import Silent

torch.set_num_threads(1)

BOX, PIXEL_SIZE, PER_SPECIES = 20, 8.0, 30


@dataclass(frozen=True)
class ParticleSet:
    """A simulated set of two species.

    `star` has CTF only, `star_with_poses` also orientations and shifts; `labels` ``(n,)``,
    `rotations` ``(n, 3, 3)`` and `shifts` ``(n, 2)`` Å are the truth of the rows; `maps` the true
    map of each species.
    """

    folder: Path
    star: Path
    star_with_poses: Path
    stack: Path
    labels: np.ndarray
    rotations: np.ndarray
    shifts: np.ndarray
    maps: tuple[Path, ...]
    box: int = BOX
    pixel_size: float = PIXEL_SIZE

    def __len__(self) -> int:
        return len(self.labels)


def make_molecule(name: str, extent: tuple[float, float, float], seed: int) -> Molecule:
    """Make an irregular cloud of 150 beads with this spread in Å along x, y, z."""
    rng = np.random.default_rng(seed)
    positions = rng.normal(size=(150, 3)) * extent
    positions[:40] += np.array(extent) * rng.uniform(0.5, 1.5, 3)  # no symmetry
    positions -= positions.mean(0)
    electrons = np.full(150, 60.0, np.float32)
    return Molecule(name, name, "made for the tests", positions.astype(np.float32), electrons)


def make_particle_set(folder: Path, count: int = PER_SPECIES, seed: int = 5) -> ParticleSet:
    """Simulate `count` images of each of two species: a rod and a disc, at a friendly SNR."""
    molecules = [make_molecule("rod", (6, 6, 20), 1), make_molecule("disc", (15, 15, 5), 2)]
    recipe = Recipe(
        box=BOX, pixel_size=PIXEL_SIZE, count=count, snr=1.0, shift=0.05, seed=seed, b_factor=0.0
    )
    star = simulate(molecules, recipe, folder)
    truth = np.load(folder / "gt" / "ground_truth.npz")
    return ParticleSet(
        folder=folder,
        star=star,
        star_with_poses=folder / "gt" / "particles_gt.star",
        stack=folder / "particles.mrcs",
        labels=truth["label"].astype(int),
        rotations=truth["rotation"],
        shifts=truth["origin_A"],
        maps=tuple(sorted((folder / "gt").glob("vol_*.mrc"))),
    )


@pytest.fixture(scope="session")
def particle_set(tmp_path_factory: pytest.TempPathFactory) -> ParticleSet:
    """60 images of 20 px at 8 Å of two species, with truth. Do not change its files."""
    return make_particle_set(tmp_path_factory.mktemp("set") / "mix2")


def file_config(particle_set: ParticleSet) -> TrainConfig:
    """Settings of a small and quick run with the poses of the file."""
    return TrainConfig(
        data=DataConfig(source=particle_set.star_with_poses),
        poses="file",
        latent_dim=4,
        field=FieldConfig(width=32, layers=2, frequencies=32),
        refine=RefineConfig(epochs=2, batch=16, warmup=100),
        precision="fp32",
        device="cpu",
        threads=1,
        deterministic=True,
        seed=3,
    )


def make_planted_run(path: Path, particle_set: ParticleSet) -> Run:
    """Make a run whose only epoch is made up: two clean clusters in z, an untrained field."""
    config = file_config(particle_set)
    run = Run.create(path, read_particles(particle_set.star_with_poses), config)
    PrepareStage(run, particle_set.box).advance(0, Silent())
    random = torch.Generator().manual_seed(0)
    labels = torch.from_numpy(particle_set.labels)
    latents = torch.randn(len(particle_set), 4, generator=random) * 0.2
    latents[:, 0] += 4.0 * labels
    poses = run.particles.poses
    assert poses is not None

    def fill(folder: Path) -> None:
        geometry = run.geometry
        torch.manual_seed(0)
        field = FieldDecoder(config.field, 4, geometry.radius, torch.ones(geometry.radius + 1))
        field.save(folder / "field.safetensors", geometry)
        write_tensors(folder / "latents.safetensors", {"latents": latents})
        columns = {"rotations": poses.rotations, "shifts": poses.shifts}
        write_tensors(folder / "poses.safetensors", columns)

    write_epoch(run.paths, 1, fill)
    write_json(run.paths.status, Status(state="done", share=1.0))
    return Run.open(path)


@pytest.fixture(scope="session")
def planted_template(tmp_path_factory: pytest.TempPathFactory, particle_set: ParticleSet) -> Run:
    """The run that `planted_run` copies. Do not change it."""
    return make_planted_run(tmp_path_factory.mktemp("planted") / "run", particle_set)


@pytest.fixture
def small_run(tmp_path: Path) -> Run:
    """Another run, of 20 other particles."""
    return make_planted_run(tmp_path / "small", make_particle_set(tmp_path / "few", 10))


@pytest.fixture
def planted_run(tmp_path_factory: pytest.TempPathFactory, planted_template: Run) -> Run:
    """A run with one epoch: two well separated clusters in z, an untrained field.

    Each test has its own: exporting or clustering leaves views behind, which others must not find.
    """
    path = tmp_path_factory.mktemp("planted") / "run"
    shutil.copytree(planted_template.path, path)
    return Run.open(path)


class Tunnel:
    """Forwards a port of the loopback as ``ssh -L`` does; it can be cut, and made again."""

    def __init__(self, target: int) -> None:
        self._target, self._ends = target, []
        self.port = 0
        self.mend()

    def mend(self) -> None:
        self._ear = socket.create_server(("127.0.0.1", self.port))
        self.port = self._ear.getsockname()[1]
        threading.Thread(target=self._listen, args=(self._ear,), daemon=True).start()

    def cut(self) -> None:
        for end in [self._ear, *self._ends]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _listen(self, ear: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = ear.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while block := one.recv(65536):
                other.sendall(block)
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR)


@pytest.fixture
def tunnel():
    """Make a tunnel to a port."""
    made = []

    def to(port: int) -> Tunnel:
        made.append(Tunnel(port))
        return made[-1]

    yield to
    for one in made:
        one.cut()


@pytest.fixture
def server(planted_run: Run):
    """A decode server of `planted_run`, in this process."""
    with DecodeServer(planted_run.path) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def add_epoch(planted_run: Run):
    """Write one more epoch of `planted_run`, of shifted latents, as a training does."""

    def add(number: int, shift: float) -> None:
        first = planted_run.epoch(1).path

        def fill(folder: Path) -> None:
            tensors, _ = read_tensors(first / "latents.safetensors")
            write_tensors(folder / "latents.safetensors", {"latents": tensors["latents"] + shift})
            for name in ("field.safetensors", "poses.safetensors"):
                shutil.copy(first / name, folder / name)

        write_epoch(planted_run.paths, number, fill)

    return add


@pytest.fixture(scope="session")
def training_set(tmp_path_factory: pytest.TempPathFactory) -> ParticleSet:
    """240 images of the same two species: enough to learn from. Do not change its files."""
    return make_particle_set(tmp_path_factory.mktemp("set") / "mix2-large", 120)


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory, training_set: ParticleSet) -> Run:
    """A run trained on `training_set` with the poses of the file; copy it to change it."""
    path = tmp_path_factory.mktemp("trained") / "run"
    config = file_config(training_set)
    run = Run.create(path, read_particles(training_set.star_with_poses), config)
    reconstruct(run)
    return Run.open(path)
