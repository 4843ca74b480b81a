"""Latents as another program left them, and what it says of the particles they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

MOST_DIMENSIONS = 512  # the longest z that a run's settings know


@dataclass(frozen=True, eq=False)
class ForeignPoses:
    """Orientations as cryoDRGN writes them.

    `rotations` ``(k, 3, 3)`` are RELION's Euler matrices, image = R · volume; `shifts` ``(k, 2)``
    are RELION's origins in units of the box side ("box") or in pixels ("px"), or None.
    """

    rotations: np.ndarray
    shifts: np.ndarray | None
    unit: Literal["box", "px"]
    file: Path


@dataclass(frozen=True, eq=False)
class ForeignLatents:
    """Latents of a program and what lay beside them.

    Parameters
    ----------
    program
        Its name.
    values
        ``(m, d)`` float32.
    file
        Where they were read.
    home
        Folder of the program's results, in which nothing may be written.
    epoch
        Its number, 1 where the program has none.
    particles, datadir
        File of the particles and folder of their stacks, where the program says them.
    subset, subset_file
        ``(m,)`` rows of the particle file that the latents belong to, in their order; None: all.
    poses, ctf, ctf_file
        Orientations; ``(k, 9)`` CTF table of cryoDRGN; k is m or the count of the particle file.
    posteriors
        ``(m, K)`` probabilities of classes, where the latents are those.
    uids
        ``(m,)`` cryoSPARC's numbers of the particles, where the latents come with them.
    others
        Further files that were read, by what they are.
    notes
        Sentences for the user.
    """

    program: str
    values: np.ndarray
    file: Path
    home: Path | None = None
    epoch: int = 1
    particles: Path | None = None
    datadir: Path | None = None
    subset: np.ndarray | None = None
    subset_file: Path | None = None
    poses: ForeignPoses | None = None
    ctf: np.ndarray | None = None
    ctf_file: Path | None = None
    posteriors: np.ndarray | None = None
    uids: np.ndarray | None = None
    others: Mapping[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def files(self) -> dict[str, Path]:
        """Every file that was read, by what it is."""
        found = {"latents": self.file, **self.others}
        if self.subset_file is not None:
            found["subset"] = self.subset_file
        if self.poses is not None:
            found["poses"] = self.poses.file
        if self.ctf_file is not None:
            found["ctf"] = self.ctf_file
        return found


def checked_latents(values: np.ndarray, path: Path) -> np.ndarray:
    """Latents ``(m, d)`` as float32; a vector is one number a particle.

    Raises
    ------
    ValueError
        If they are no table of finite numbers, or of more than 512 a particle.
    """
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.dtype.kind not in "fiu" or 0 in values.shape:
        raise ValueError(
            f"{path} holds {values.dtype} of shape {values.shape}: latents are a table of numbers "
            "with a row for each particle."
        )
    if values.shape[1] > MOST_DIMENSIONS:
        raise ValueError(
            f"{path} has {values.shape[1]} numbers a particle: give at most {MOST_DIMENSIONS}, "
            "such as its first principal components."
        )
    wrong = np.flatnonzero(~np.isfinite(values).all(1))
    if len(wrong):
        raise ValueError(
            f"{path}, row {int(wrong[0]) + 1}: a latent is no finite number; remove this particle, "
            "or name those to keep as --ind."
        )
    return np.ascontiguousarray(values, np.float32)


def reading_pickle(path: Path) -> str:
    """The sentence that tells of a pickle."""
    return f"{path.name} is a pickle: only numpy arrays are taken from it, nothing in it is run."
