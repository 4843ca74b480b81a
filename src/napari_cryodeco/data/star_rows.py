"""The rows of a STAR particle table: image names, and numbers with those of their optics group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from napari_cryodeco.data.document import Block, StarDocument

IMAGE = "rlnImageName"
GROUP = "rlnOpticsGroup"


def particle_block(document: StarDocument) -> Block:
    """Return the loop of particle images.

    Raises
    ------
    ValueError
        If there is none, if it is empty, or if the particles are those of tomograms.
    """
    block = document.block_with(IMAGE)
    if block is None:
        raise ValueError(f"{document.path} has no column {IMAGE}: choose a STAR file of particles.")
    if "rlnTomoName" in block.labels:
        raise ValueError(
            f"{document.path} lists subtomograms; choose a STAR file of single-particle images."
        )
    if not block.row_lines:
        raise ValueError(
            f"{document.path} is empty: its particle table has no rows; choose one with particles."
        )
    return block


def read_rows(
    document: StarDocument, block: Block, labels: Iterable[str]
) -> tuple[list[str], np.ndarray, dict[str, np.ndarray]]:
    """Read stack names (n), places in the stacks ``(n,)`` from 0, and those of `labels` there are.

    A label that the particles lack is taken from the table of optics groups.
    """
    own = [label for label in labels if label in block.labels]
    optics = document.block_named("optics")
    groups = _Groups(document.path, block, optics) if optics is not None else None
    wanted = [IMAGE, *own, *([GROUP] if groups and groups.named else [])]
    names: list[str] = []
    slices = np.zeros(len(block), dtype=np.int64)
    group_of = np.zeros(len(block), dtype=np.int64)
    numbers = {label: np.empty(len(block)) for label in own}
    for start, chunk in block.chunks(wanted, document.path):
        stop = start + len(chunk[IMAGE])
        some, slices[start:stop] = split_names(document.path, chunk[IMAGE], start)
        names += some
        for label in own:
            numbers[label][start:stop] = to_numbers(document.path, label, chunk[label], start)
        if groups and groups.named:
            group_of[start:stop] = groups.places(chunk[GROUP], start)
    if optics is not None:
        shared = [label for label in labels if label in optics.labels and label not in numbers]
        for label, values in optics.columns(shared, document.path).items():
            numbers[label] = to_numbers(document.path, label, values)[group_of]
    return names, slices, numbers


def image_names(document: StarDocument, block: Block) -> tuple[list[str], np.ndarray]:
    """Read stack names and places ``(n,)`` from 0."""
    return split_names(document.path, block.columns([IMAGE], document.path)[IMAGE])


def optics_places(document: StarDocument, block: Block, optics: Block) -> np.ndarray:
    """Row of the optics table that each particle belongs to ``(n,)``."""
    groups, places = _Groups(document.path, block, optics), np.zeros(len(block), dtype=np.int64)
    for start, chunk in block.chunks([GROUP], document.path) if groups.named else ():
        places[start : start + len(chunk[GROUP])] = groups.places(chunk[GROUP], start)
    return places


def split_names(path: Path, values: Sequence[str], start: int = 0) -> tuple[list[str], np.ndarray]:
    """Split ``000001@stack.mrcs`` into stack names and places ``(m,)`` from 0.

    `start` is the row of the first value, to be named in errors.
    """
    known: dict[str, str] = {}  # a million rows share a few names: keep one text of each
    names: list[str] = []
    places = np.zeros(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        number, at, name = value.rpartition("@")
        if at and (not number.isdecimal() or int(number) < 1):
            raise ValueError(
                f"{path}, row {start + row + 1}: {value!r} is no image name; RELION counts from "
                "000001@stack.mrcs."
            )
        name = name.removesuffix(":mrcs")  # RELION's way to say that x.mrc is a stack
        names.append(known.setdefault(name, name))
        places[row] = int(number) - 1 if at else 0
    return names, places


class _Groups:
    """The optics groups that rows refer to; `named` is false where all belong to the only one."""

    def __init__(self, path: Path, block: Block, optics: Block) -> None:
        self.path = path
        self.named = GROUP in block.labels and GROUP in optics.labels
        if not self.named and len(optics) != 1:
            raise ValueError(
                f"{path} has {len(optics)} optics groups but no column {GROUP}; export it again."
            )
        names = optics.columns([GROUP], path)[GROUP] if self.named else []
        self._place = {name: place for place, name in enumerate(names)}

    def places(self, groups: Sequence[str], start: int) -> list[int]:
        """Rows of the optics table of some particles, the first being row `start`."""
        for row, group in enumerate(groups):
            if group not in self._place:
                raise ValueError(
                    f"{self.path}, row {start + row + 1}: optics group {group} is not in the "
                    "optics table; export it again."
                )
        return [self._place[group] for group in groups]


def to_numbers(path: Path, label: str, values: Sequence[str], start: int = 0) -> np.ndarray:
    """Convert text to float64 ``(m,)``; a row that is no finite number raises ValueError."""
    try:
        numbers = np.array(values, dtype=np.float64)
    except ValueError:
        numbers = np.array([_number(value) for value in values])
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"{path}, row {start + row + 1}: {label} is {values[row]!r}, no number; correct or "
            "remove this row."
        )
    return numbers


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
