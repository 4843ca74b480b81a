"""Which prior a run used, as its ``prior.json`` says.

Standard library only: the window reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_cryodeco.runs import json_file
from napari_cryodeco.runs.paths import RunPaths


@dataclass(frozen=True)
class PriorRecord:
    """The prior of a run.

    `name` is what the settings ask for, `kind` "small", "vit" or "none", `sha256` and `path` those
    of the weights (empty without any), `note` one sentence on what it was used for.
    """

    name: str
    kind: str = "none"
    sha256: str = ""
    path: str = ""
    note: str = ""

    @property
    def sentence(self) -> str:
        """One line for people."""
        if self.kind == "none":
            return f"Prior: none. {self.note}".strip()
        title = self.name if self.name == "bundled" else self.path
        return f"Prior: {title} ({self.kind}, SHA-256 {self.sha256[:12]}…). {self.note}".strip()


def read_record(run: Path) -> PriorRecord | None:
    """Read what prior the run in the folder `run` used; None: not said (yet).

    Raises
    ------
    ValueError
        If the file was damaged.
    """
    return json_file.read_record(RunPaths(run).prior, lambda told: PriorRecord(**told), "delete it")


def write_record(run: Path, record: PriorRecord) -> None:
    """Write the record, or see that a run that goes on uses the prior that it began with.

    Raises
    ------
    ValueError
        If the run began with another one.
    """
    old = read_record(run)
    if old is not None and (old.kind, old.sha256) != (record.kind, record.sha256):
        began = old.path or "no prior"
        raise ValueError(
            f"{run} began with {began} (SHA-256 {old.sha256[:12] or '-'}), and "
            f"{record.path or 'no prior'} (SHA-256 {record.sha256[:12] or '-'}) is asked for now: "
            f"put encoder.prior in {RunPaths(run).config} back, or make a new run."
        )
    json_file.write_json(RunPaths(run).prior, record)
