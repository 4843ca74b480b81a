"""One finished epoch: everything the explorer needs, loaded when asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_cryodeco.atomic import replacing_folder
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.runs.mirrored import POINTER
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.store import read_tensors, tensor_shape

if TYPE_CHECKING:
    from napari_cryodeco.model.field import FieldDecoder


NO_DECODER = (
    "This run has no decoder (field.safetensors), as latents of another program come without: the "
    "Evidence panel and `cryodeco backproject` make maps of chosen particles, `cryodeco codebook` "
    "maps of all the landscape to browse."
)
ELSEWHERE = (
    "The decoder of this copy is on the machine of its run: maps come from `cryodeco serve` there."
)
NO_POSES = (
    "This run has no orientations, so no map can be made of its particles: adopt the latents again "
    "with a particle file that has them, or with --poses."
)


@dataclass(frozen=True)
class Epoch:
    """A folder ``epochs/NNNN`` that is whole and never changes; row i is particle i."""

    path: Path
    number: int

    @property
    def field_path(self) -> Path:
        """The decoder: one file that decodes anywhere.

        Raises
        ------
        ValueError
            If there is none: the latents were adopted from another program, or this is a copy.
        """
        if not self._field.is_file():
            raise ValueError(ELSEWHERE if self.is_served else NO_DECODER)
        return self._field

    @property
    def has_decoder(self) -> bool:
        """Whether latents can be decoded into maps, here or by the server of a copy."""
        return self._field.is_file() or self.is_served

    @property
    def is_served(self) -> bool:
        """Whether the decoder is on another machine, of which this is a copy."""
        return not self._field.is_file() and (self.path / POINTER).is_file()

    @property
    def _field(self) -> Path:
        return self.path / "field.safetensors"

    @property
    def consensus_path(self) -> Path:
        """The map at the mean z."""
        return self.path / "consensus.mrc"

    def latents(self) -> np.ndarray:
        """``(n, d)`` float32 latent points."""
        tensors, _ = read_tensors(self.path / "latents.safetensors")
        latents: np.ndarray = tensors["latents"].float().numpy()
        return latents

    def latent_size(self) -> int:
        """Number of dimensions of z, without reading it."""
        return tensor_shape(self.path / "latents.safetensors", "latents")[1]

    def poses(self) -> Poses:
        """Rotations ``(n, 3, 3)`` and shifts ``(n, 2)`` in Å.

        Raises
        ------
        ValueError
            If there are none: adopted latents may come without.
        """
        if not self.has_poses:
            raise ValueError(NO_POSES)
        tensors, _ = read_tensors(self.path / "poses.safetensors")
        return Poses(tensors["rotations"], tensors["shifts"])

    def sha256(self, name: str) -> str:
        """Hash of one of its files, empty where there is none: an epoch is named by its content."""
        file = self.path / name
        if not file.is_file():
            return ""
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    @property
    def has_poses(self) -> bool:
        """Whether orientations are known."""
        return (self.path / "poses.safetensors").is_file()

    def class_posteriors(self) -> np.ndarray | None:
        """``(n, K)`` float32 probabilities of the species; None where there are no classes."""
        file = self.path / "classes.safetensors"
        if not file.is_file():
            return None
        tensors, _ = read_tensors(file)
        if "posteriors" not in tensors:
            return None
        posteriors: np.ndarray = tensors["posteriors"].float().numpy()
        return posteriors

    def decoder(self) -> FieldDecoder:
        """Load the decoder."""
        from napari_cryodeco.model.field import FieldDecoder  # heavy, and only some callers decode

        return FieldDecoder.load(self.field_path)[0]


def write_epoch(paths: RunPaths, number: int, fill: Callable[[Path], None]) -> Epoch:
    """Write epoch `number`: `fill` puts the files into a temporary folder, renamed when whole.

    An epoch that is there already stays as it is.
    """
    epoch = Epoch(paths.epoch(number), number)
    if not epoch.path.is_dir():
        with replacing_folder(epoch.path) as part:
            fill(part)
    return epoch
