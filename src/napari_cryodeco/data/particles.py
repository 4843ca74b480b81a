"""A set of particle images: where they lie, their CTF and, where given, their poses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.poses import Poses

Contrast = Literal["light", "dark"]


@dataclass(frozen=True)
class Particles:
    """n particle images on disk.

    Parameters
    ----------
    source
        The user's STAR, .cs or .mrcs file; row i of it is particle i.
    stacks
        The image files.
    stack_of
        ``(n,)`` int32, index into `stacks`.
    slice_of
        ``(n,)`` int64, place in the stack, from 0.
    ctf
        Columns of length n.
    poses
        Rotations and shifts of the file, None where it has none.
    box
        Side of the images in pixels (even).
    pixel_size
        Å per pixel.
    contrast
        "light": protein is white; "dark": it is black; None: the file does not say.
    """

    source: Path
    stacks: tuple[Path, ...]
    stack_of: Tensor
    slice_of: Tensor
    ctf: Ctf
    poses: Poses | None
    box: int
    pixel_size: float
    contrast: Contrast | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.stack_of), len(self.slice_of), len(self.ctf)}
        if self.poses is not None:
            lengths.add(len(self.poses))
        if len(lengths) > 1:
            raise ValueError(
                f"{self.source}: columns of {sorted(lengths)} rows; one row a particle is needed."
            )
        if len(self) == 0:
            raise ValueError(
                f"{self.source} has no particles: choose a file with at least one row."
            )
        if not self.pixel_size > 0:
            raise ValueError(f"{self.source}: pixel size {self.pixel_size} Å; it must be positive.")

    def __len__(self) -> int:
        return len(self.stack_of)

    def __getitem__(self, rows: Tensor | slice) -> Particles:
        """Return some of the particles; their rows are no longer the rows of `source`."""
        return replace(
            self,
            stack_of=self.stack_of[rows],
            slice_of=self.slice_of[rows],
            ctf=self.ctf[rows],
            poses=None if self.poses is None else self.poses[rows],
        )

    def image_name(self, row: int) -> str:
        """Return the image of one particle as RELION writes it: ``000001@/path/stack.mrcs``."""
        return f"{int(self.slice_of[row]) + 1:06d}@{self.stacks[int(self.stack_of[row])]}"

    def real_stacks(self, rows: Tensor) -> list[Path]:
        """Return the stack of each of `rows` ``(m,)``, links followed."""
        real = [stack.resolve() for stack in self.stacks]
        return [real[index] for index in self.stack_of[rows].tolist()]
