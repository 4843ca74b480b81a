"""Which files of a run a server gives away: those that the explorer needs, and no others.

A client asks for names out of this list; no path is ever made of what it says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from napari_cryodeco.runs.paths import RunPaths

SINGLE = (
    *("run.yaml", "data.json", "particles.safetensors", "geometry.json"),
    *("prior.json", "origin.json", "species.json", "latent_size.json"),
    "codebook.safetensors",
)
OF_EPOCH = ("latents.safetensors", "poses.safetensors", "classes.safetensors")
FIELD = "field.safetensors"
OF_USER = {
    "views": "*.safetensors",
    "selections": "*.safetensors",
    "columns": "*.safetensors",
    "trajectories": "*.json",
}
SOURCE = "source"  # the folder in a copy for the user's own particle file
_TABLES = (".star", ".cs")
_BLOCK = 2**20

Listing = dict[str, Path]


def source_of(run: Path) -> Path:
    """The user's particle file of a run."""
    record = json.loads(RunPaths(run).data.read_text(encoding="utf-8"))
    return run / record["source"]


def served(run: Path) -> Listing:
    """Every file that may be had, by its name in a copy of the run.

    Links that lead out of the run are left out. The particle file, with the passthrough files of a
    .cs, is named by the run itself.
    """
    paths, home = RunPaths(run), run.resolve()
    inside = [run / name for name in SINGLE]
    for number in paths.epoch_numbers():
        inside += [paths.epoch(number) / name for name in OF_EPOCH]
    for folder, pattern in OF_USER.items():
        inside += sorted((run / folder).glob(pattern))
    found = {
        path.relative_to(run).as_posix(): path
        for path in inside
        if path.is_file() and not path.name.startswith(".") and path.resolve().is_relative_to(home)
    }
    for path in _tables(source_of(run)):
        found[f"{SOURCE}/{path.name}"] = path
    return found


def is_served(name: str) -> bool:
    """Whether a name is one of those that a server may give, whatever a server says.

    A client asks this before it writes a file of that name.
    """
    parts = name.split("/")
    if any(not part or part.startswith(".") or set(part) & set("\\:\0") for part in parts):
        return False
    if len(parts) == 1:
        return name in SINGLE
    if len(parts) == 2:
        folder, file = parts
        if folder == SOURCE:
            return PurePosixPath(file).suffix.lower() in _TABLES
        return folder in OF_USER and PurePosixPath(file).match(OF_USER[folder])
    return len(parts) == 3 and parts[0] == "epochs" and _is_epoch(parts[1]) and parts[2] in OF_EPOCH


def _is_epoch(folder: str) -> bool:
    """Whether it is the folder's only name: another would be another file here."""
    return folder.isascii() and folder.isdecimal() and folder == f"{int(folder[:9]):04d}"


def decoders(run: Path) -> list[int]:
    """Numbers of the epochs that can be decoded."""
    paths = RunPaths(run)
    return [one for one in paths.epoch_numbers() if (paths.epoch(one) / FIELD).is_file()]


def stamp(path: Path) -> list[int]:
    """Size and time of change: another stamp is another file."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def hashed(file: BinaryIO, size: int) -> str:
    """SHA-256 of the first `size` bytes; the file stands at its begin again."""
    digest = hashlib.sha256()
    for block in blocks(file, size):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


def blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Read the first `size` bytes in pieces."""
    left = size
    while left and (block := file.read(min(left, _BLOCK))):
        left -= len(block)
        yield block


def _tables(source: Path) -> list[Path]:
    if source.suffix.lower() not in _TABLES or not source.is_file():
        return []
    beside = source.parent.glob("*passthrough*.cs") if source.suffix.lower() == ".cs" else ()
    return [source, *sorted(path for path in beside if path != source)]
