"""A copy of a run that lies on another machine: which, and where its decoder answers.

Standard library only: the window reads it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_cryodeco.atomic import write_private
from napari_cryodeco.runs.json_file import read_record
from napari_cryodeco.runs.paths import RunPaths

POINTER = "decoder.json"  # in an epoch of a copy: the decoder is on the other machine


@dataclass(frozen=True)
class Mirrored:
    """Where a copy is from.

    `host` and `path` name the run there; `address` is what ``cryodeco serve`` printed, the token
    in it; `identity` names the run wherever it is served.
    """

    host: str
    path: str
    address: str
    identity: str

    @property
    def name(self) -> str:
        """The run's name there."""
        return Path(self.path).name

    @property
    def no_images(self) -> str:
        """One sentence for what needs images."""
        return (
            f"The images of this run stay on {self.host}: do this there, on the run {self.path} "
            "(`cryodeco backproject` for maps of particles; Export writes the row numbers)."
        )


def read_mirrored(run: Path) -> Mirrored | None:
    """Read where the run in the folder `run` is a copy from; None: it is no copy.

    Raises
    ------
    ValueError
        If the file was damaged.
    """
    return read_record(RunPaths(run).mirrored, _made, "open the address of the run again")


def write_mirrored(run: Path, mirrored: Mirrored) -> None:
    """Write it so that nobody else can read the token."""
    write_private(RunPaths(run).mirrored, json.dumps(asdict(mirrored), indent=1) + "\n")


def refuse_mirror(run: Path) -> None:
    """Raise ValueError if a run is a copy: it is trained where its images are."""
    if (mirrored := read_mirrored(run)) is not None:
        raise ValueError(
            f"{run} is a copy of {mirrored.path} on {mirrored.host} without its images: do this "
            "there."
        )


def _made(told: dict[str, Any]) -> Mirrored:
    return Mirrored(**told)
