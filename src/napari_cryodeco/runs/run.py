"""A run: the directory that training writes and everyone else reads."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_cryodeco.atomic import replacing_folder, write_text
from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.copy_record import check_size
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.stack_images import StackImages
from napari_cryodeco.data.stored_images import StoredImages
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.runs.checkpoint import Epoch
from napari_cryodeco.runs.json_file import read_json, write_json
from napari_cryodeco.runs.mirrored import Mirrored, read_mirrored
from napari_cryodeco.runs.origin import Origin, read_origin
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import Status, read_status
from napari_cryodeco.runs.store import read_tensors, write_tensors

_IMAGE_SUFFIXES = {".mrc", ".mrcs", ".map", ".st"}


@dataclass(frozen=True)
class Run:
    """One run; row i of everything in it is row i of the user's particle file."""

    path: Path
    config: TrainConfig

    @classmethod
    def create(
        cls, path: Path | str, particles: Particles, config: TrainConfig, overwrite: bool = False
    ) -> Run:
        """Make a new run directory.

        Raises
        ------
        FileExistsError
            If `path` is there, unless `overwrite` and it holds a run.
        ValueError
            If the settings ask for poses and the particle file has none.
        """
        path = Path(path)
        check_place(path, overwrite)
        if config.poses == "file" and particles.poses is None:
            raise ValueError(
                f"{particles.source} has no orientations: choose --poses abinitio or another file."
            )
        if config.data.contrast != "auto":
            particles = replace(particles, contrast=config.data.contrast)
        with replacing_folder(path, overwrite) as part:
            fill(part, particles, config, Status())
        return cls(path, config)

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Open a run directory.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        ValueError
            If it is no run.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist: make the run with `cryodeco new`.")
        if not is_run(path):
            raise ValueError(f"{path} is no run (no run.yaml in it): make one with `cryodeco new`.")
        file = RunPaths(path).config
        return cls(path, TrainConfig.from_yaml(file.read_text(encoding="utf-8"), file))

    @property
    def paths(self) -> RunPaths:
        """The names of its files."""
        return RunPaths(self.path)

    @cached_property
    def _data(self) -> dict[str, Any]:
        record: dict[str, Any] = read_json(self.paths.data)
        return record

    @property
    def _source(self) -> Path:
        """The particle file; one of our own lies in the run and moves with it."""
        return self.path / self._data["source"]

    @cached_property
    def origin(self) -> Origin | None:
        """Where the latents came from, of a run that did not train them."""
        return read_origin(self.path)

    @property
    def mirrored(self) -> Mirrored | None:
        """Which machine this is a copy from; None: it is no copy."""
        return read_mirrored(self.path)

    @cached_property
    def particles(self) -> Particles:
        """The particles as read when the run was made."""
        tensors, _ = read_tensors(self.paths.particles)
        ctf = Ctf(**{field.name: tensors[f"ctf.{field.name}"] for field in fields(Ctf)})
        poses = None
        if "rotations" in tensors:
            poses = Poses(tensors["rotations"], tensors["shifts"])
        return Particles(
            source=self._source,
            stacks=tuple(Path(stack) for stack in self._data["stacks"]),
            stack_of=tensors["stack_of"],
            slice_of=tensors["slice_of"],
            ctf=ctf,
            poses=poses,
            box=self._data["box"],
            pixel_size=self._data["pixel_size"],
            contrast=self._data["contrast"],
        )

    @cached_property
    def geometry(self) -> Geometry:
        """Working box, pixel size and scale; there once the images are prepared."""
        if not self.paths.geometry.is_file():
            raise ValueError(self._unprepared)
        return Geometry(**read_json(self.paths.geometry))

    @property
    def _unprepared(self) -> str:
        if (mirrored := self.mirrored) is not None:
            return mirrored.no_images
        if self.origin is not None:
            why = self.origin.images or "they were not copied, and are read from their stacks."
            return f"{self.path} has no working images, its latents were adopted: {why}"
        return f"{self.path}: its images are not prepared yet; run `cryodeco train`."

    def images(self) -> StoredImages | StackImages:
        """``(n, p)`` working coefficients: the working copy, or made of the user's stacks.

        A run of adopted latents has no working copy.

        Raises
        ------
        ValueError
            If the images are not prepared, or cannot be.
        """
        if self.origin is None or self.paths.images.is_file() or self.mirrored is not None:
            return self.stored_images()
        return StackImages(self.particles, self.geometry)

    def stored_images(self, part: slice = slice(None)) -> StoredImages:
        """``(n, p)`` float16 working coefficients that stay on disk, or a part of their rows.

        Raises
        ------
        ValueError
            If they are not there yet, or the file is not whole.
        """
        self._check_images()
        return StoredImages(self.paths.images, part)

    def _check_images(self) -> None:
        if not self.paths.images.is_file():
            raise ValueError(self._unprepared)
        check_size(self.paths.images)

    def epochs(self) -> list[int]:
        """Numbers of the finished epochs, in order."""
        return self.paths.epoch_numbers()

    def epoch(self, number: int | None = None) -> Epoch:
        """Return one finished epoch, the newest by default.

        Raises
        ------
        ValueError
            If there is none, or not this one.
        """
        numbers = self.epochs()
        if not numbers:
            raise ValueError(f"{self.path} has no finished epoch yet: run `cryodeco train` on it.")
        number = numbers[-1] if number is None else number
        if number not in numbers:
            raise ValueError(
                f"{self.path} has no epoch {number}: it has {numbers[0]}…{numbers[-1]}."
            )
        return Epoch(self.paths.epoch(number), number)

    def status(self) -> Status:
        """What the run does now."""
        return read_status(self.path)

    def check_source(self) -> None:
        """Make sure that the user's particle file is still the one the run was made from.

        Raises
        ------
        FileNotFoundError
            If it is gone.
        ValueError
            If it changed: row i may no longer be particle i.
        """
        source = self._source
        if not source.is_file():
            if self.mirrored is not None and source.suffix.lower() in _IMAGE_SUFFIXES:
                return  # stacks are not copied, and nothing is read of them here
            raise FileNotFoundError(
                f"{source}, which {self.path} was made from, is gone: put it back."
            )
        if fingerprint(source) != self._data["fingerprint"]:
            raise ValueError(
                f"{source} has changed since {self.path} was made, so its rows may be other "
                "particles: put the old file back or make a new run."
            )


def is_run(path: Path | str) -> bool:
    """Tell fast whether `path` is a run directory."""
    return RunPaths(Path(path)).config.is_file()


def fingerprint(path: Path) -> str:
    """Hash of a particle file; of an image stack only its size and its first megabyte."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if path.suffix.lower() in _IMAGE_SUFFIXES:
            digest.update(str(os.fstat(file.fileno()).st_size).encode())
            digest.update(file.read(1 << 20))
            return digest.hexdigest()
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def fill(folder: Path, particles: Particles, config: TrainConfig, status: Status) -> None:
    """Write what every run has into an empty folder."""
    inside = RunPaths(folder)
    write_text(inside.config, config.to_yaml())
    write_json(inside.data, _describe(particles, folder))
    write_tensors(inside.particles, _columns(particles))
    write_json(inside.status, status)
    for place in (inside.epochs, inside.views, inside.selections):
        place.mkdir()


def check_place(path: Path, overwrite: bool) -> None:
    """Raise unless a run may be made at `path`; an empty folder there is removed."""
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()  # an empty folder that the user made for it
    if not path.exists():
        return
    if not is_run(path):
        raise FileExistsError(f"{path} exists and is no run: choose another name for the run.")
    if not overwrite:
        raise FileExistsError(
            f"{path} holds a run already: choose another name, or --overwrite to replace it."
        )
    if path.joinpath("lock.json").exists() and read_status(path).state == "running":
        raise ValueError(f"{path} is being trained now: stop it before you replace it.")


def _describe(particles: Particles, folder: Path) -> dict[str, Any]:
    source, home = particles.source.resolve(), folder.resolve()
    return {
        "format": 1,
        "source": str(source.relative_to(home) if source.is_relative_to(home) else source),
        "fingerprint": fingerprint(source),
        "stacks": [str(stack.resolve()) for stack in particles.stacks],
        "count": len(particles),
        "box": particles.box,
        "pixel_size": particles.pixel_size,
        "contrast": particles.contrast,
    }


def _columns(particles: Particles) -> dict[str, Tensor]:
    columns = {f"ctf.{field.name}": getattr(particles.ctf, field.name) for field in fields(Ctf)}
    columns["stack_of"] = torch.as_tensor(particles.stack_of)
    columns["slice_of"] = torch.as_tensor(particles.slice_of)
    if particles.poses is not None:
        columns["rotations"] = particles.poses.rotations
        columns["shifts"] = particles.poses.shifts
    return columns
