"""What speaks for the map of each species of a run, as its ``species.json`` says.

Standard library only: the window reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_cryodeco.runs.json_file import read_record, write_json
from napari_cryodeco.runs.paths import RunPaths

ENOUGH_SIDES = 0.8
"""Share of Fourier space under which a map is drawn out; a missing cone of 37° leaves this."""

ENOUGH_EXPLAINED = 0.92
"""Share of the signal under which particles differ from their map. Right maps of one species
explain 0.93 and more, wrong ones and those that two species share 0.76 – 0.91."""


@dataclass(frozen=True)
class SpeciesRecord:
    """How far a species of ab initio can be trusted.

    `images` that it has in the end; `again`: another start from nothing found its map, too;
    `agreement` of the two (mean FSC of the first shells, 0 where it was not tried); `sides`: share
    of the directions of Fourier space that its images measure; `resolution` in Å of its half-maps,
    which share their poses; `explained`: share of its images' signal that its map explains, None
    where they are too few, or an older version made the run.
    """

    images: int
    again: bool
    agreement: float
    sides: float
    resolution: float
    explained: float | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing speaks against its map."""
        return self.again and self.sides >= ENOUGH_SIDES and self.alike

    @property
    def alike(self) -> bool:
        """Whether its particles look like its map, as far as that is known."""
        return self.explained is None or self.explained >= ENOUGH_EXPLAINED

    @property
    def verdict(self) -> str:
        """A few words for people."""
        if not self.images:
            return "empty: no particle chose it"
        said = []
        if not self.again:
            said.append("no second start found this map: it may be wrong")
        if self.sides < ENOUGH_SIDES:
            said.append(f"seen from few sides ({self.sides:.0%} of Fourier space): drawn out")
        if not self.alike:
            said.append(
                f"explains {self.explained:.0%} of its particles' signal: they move, are several "
                "species or lie wrong"
            )
        return "; ".join(said) or "found again from nothing, seen from all sides"


def read_species(run: Path) -> tuple[SpeciesRecord, ...]:
    """Read the records of the run in the folder `run`, species 1 first; empty: none (yet).

    Raises
    ------
    ValueError
        If the file was damaged.
    """

    def make(rows: list[dict[str, Any]]) -> tuple[SpeciesRecord, ...]:
        return tuple(SpeciesRecord(**row) for row in rows)

    return read_record(RunPaths(run).species, make, "delete it and train again") or ()


def write_species(run: Path, records: Sequence[SpeciesRecord]) -> None:
    """Write the records."""
    write_json(RunPaths(run).species, [asdict(record) for record in records])


def share(value: float | None) -> str:
    """A share for a table; a dash where it is not known."""
    return "–" if value is None else f"{value:.0%}"


def summary(records: Sequence[SpeciesRecord]) -> str:
    """One sentence for people; empty without records."""
    if not records:
        return ""
    sound = sum(record.sound for record in records)
    doubts = ", ".join(str(n) for n, record in enumerate(records, 1) if not record.sound)
    said = f"Species: {sound} of {len(records)} found again, seen from all sides and of one kind"
    return f"{said}; do not trust {doubts} yet." if doubts else f"{said}."
