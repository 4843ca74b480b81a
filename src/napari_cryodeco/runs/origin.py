"""Where the latents of a run came from that another program computed: its ``origin.json``.

Standard library only: the window reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_cryodeco.runs import json_file
from napari_cryodeco.runs.paths import RunPaths


@dataclass(frozen=True)
class SourceFile:
    """A file that was read: what it is, where it lay, and its SHA-256."""

    role: str
    path: str
    sha256: str


@dataclass(frozen=True)
class Origin:
    """What was adopted.

    `program` computed the latents; `files` were read; `particles` rows of `listed` in the particle
    file were taken; `poses` says in a few words where orientations are from, empty where there are
    none; `images` why the images cannot be used, empty where they can.
    """

    program: str
    files: tuple[SourceFile, ...]
    particles: int
    listed: int
    poses: str = ""
    images: str = ""

    @property
    def sentence(self) -> str:
        """One line for people."""
        latents = next(file for file in self.files if file.role == "latents")
        return f"Latents of {self.program}: {latents.path} (SHA-256 {latents.sha256[:12]}…)."


def describe(files: Mapping[str, Path]) -> tuple[SourceFile, ...]:
    """Name and hash the files that were read."""
    return tuple(SourceFile(role, str(path), _sha256(path)) for role, path in files.items())


def read_origin(run: Path) -> Origin | None:
    """Read where the latents of the run in the folder `run` came from; None: it trained them.

    Raises
    ------
    ValueError
        If the file was damaged.
    """
    return json_file.read_record(RunPaths(run).origin, _made, "adopt the latents again")


def refuse_adopted(run: Path) -> None:
    """Raise ValueError if the latents of a run are another program's: there is nothing to train."""
    if (origin := read_origin(run)) is not None:
        raise ValueError(
            f"{run} holds latents of {origin.program} and is not trained here: make a run of the "
            "particles with `cryodeco new`."
        )


def _made(told: dict[str, Any]) -> Origin:
    files = tuple(SourceFile(**file) for file in told["files"])
    return Origin(**{**told, "files": files})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
