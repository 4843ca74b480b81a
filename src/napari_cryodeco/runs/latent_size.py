"""How many numbers z has and how many species a run began with, and what speaks for either.

Standard library only: the window reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_cryodeco.runs.json_file import read_record, write_json
from napari_cryodeco.runs.paths import RunPaths

SURE = 2.0
"""Standard errors by which a component must help to predict what it has not seen."""

SPARE = 2
"""Fewest numbers beyond those that are needed: what is finer than the linear model, or bent."""


@dataclass(frozen=True)
class Component:
    """One component of the linear start, the strongest first.

    `gain`: log-likelihood per image by which it improves the prediction of one half of the pixels
    of unseen images from the other half, beyond the components before it, and the standard `error`
    of that; `reliability`: share of the variance of its coordinate that is signal; `share` of the
    variance between the maps of the particles.
    """

    gain: float
    error: float
    reliability: float
    share: float

    @property
    def confirmed(self) -> bool:
        """Whether it helps to predict what it has not seen."""
        return self.gain > SURE * self.error


@dataclass(frozen=True)
class LatentSize:
    """What a run knows of the number of directions in which its particles vary.

    `size`: numbers in z; `estimated`: the run chose them, nobody else; `components` that were
    tried, all of them; `species` that z must tell apart, 1 where none were sought; `criterion`: the
    integrated completed likelihood of 1, 2, … clusters of image features, lowest best, empty where
    the number of species was given; `clusters` that the species began with, 0: those where it is
    lowest.
    """

    size: int
    estimated: bool
    components: tuple[Component, ...]
    species: int = 1
    criterion: tuple[float, ...] = ()
    clusters: int = 0

    @property
    def confirmed(self) -> int:
        """Count the components that help to predict what they have not seen."""
        return sum(component.confirmed for component in self.components)


def enough(components: Sequence[Component], species: int) -> int:
    """Numbers that z needs: those confirmed, or what tells `species` apart, and some to spare.

    The count of confirmed components is a lower bound: few images and a low radius confirm fewer.
    So there are half as many again, two at least, which also leaves a plane to look at where
    nothing is confirmed; never more than were tried.
    """
    needed = max(sum(component.confirmed for component in components), species - 1)
    return min(len(components), needed + max(SPARE, (needed + 1) // 2))


def read_latent_size(run: Path) -> LatentSize | None:
    """Read the record of the run in the folder `run`; None where there is none (yet).

    Raises
    ------
    ValueError
        If the file was damaged.
    """

    def make(record: dict[str, Any]) -> LatentSize:
        found = LatentSize(**record)
        components = tuple(Component(**row) for row in record["components"])
        return replace(found, components=components, criterion=tuple(found.criterion))

    return read_record(RunPaths(run).latent_size, make, "delete it and train again")


def write_latent_size(run: Path, record: LatentSize) -> None:
    """Write the record."""
    write_json(RunPaths(run).latent_size, record)


def in_short(record: LatentSize) -> str:
    """How long z is, in one line."""
    asked = "" if record.estimated else ", as asked"
    return f"z: {record.size} numbers{asked}; directions confirmed: {record.confirmed}."


def size_sentence(record: LatentSize) -> str:
    """How long z is, and why, for people."""
    tried, confirmed = len(record.components), record.confirmed
    if not tried:
        return f"z has {record.size} numbers."
    said = f"{confirmed} of {tried} components help to predict unseen pixels"
    if not confirmed:
        said = f"none of {tried} components helps to predict unseen pixels"
    if confirmed + 1 < record.species:
        said += f", {record.species - 1} tell {record.species} species apart"
    sentence = f"z has {record.size} numbers{'' if record.estimated else ', as asked'}: {said}"
    fewer = enough(record.components, record.species)
    if record.estimated:
        sentence += ", the others are to spare" if record.size > confirmed else ""
    elif fewer < record.size:
        sentence += f"; left to the images it would have {fewer}"
    sentence += "."
    if confirmed == tried:
        sentence += " There may be more: ask for a longer z (latent_dim)."
    elif not confirmed and record.species == 1:
        sentence += " One rigid map may do (latent_dim 0)."
    return sentence


def species_sentence(record: LatentSize, left: int) -> str:
    """How many species were estimated, and how, of which `left` are left; empty where given."""
    if not record.criterion:
        return ""
    lowest = min(record.criterion)
    begun = record.clusters or 1 + record.criterion.index(lowest)
    first, own = record.criterion[0], record.criterion[begun - 1]
    return (
        f"{left} species: {begun} clusters of image features (integrated completed likelihood of"
        f" Gaussian mixtures: {first:.0f} with 1 component, {own:.0f} with {begun}, lowest of 1 to"
        f" {len(record.criterion)}: {lowest:.0f}), and those that one map explains as well were"
        " made one."
    )
