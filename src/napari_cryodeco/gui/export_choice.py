"""Which particles are exported, and one sentence that says so before anything is written. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_cryodeco.gui.session import Session


class Which(StrEnum):
    """The particles to export."""

    SELECTION = "selected particles"
    OTHERS = "all but the selected ones"
    CLUSTERS = "clusters, by number"
    ALL = "all particles"


@dataclass(frozen=True)
class Format:
    """A kind of file: its suffix, name, and what is kept of the user's file."""

    suffix: str
    name: str
    kept: str


STAR = Format(".star", "RELION STAR", "every column and optics group of your file kept")
CRYOSPARC = Format(".cs", "cryoSPARC .cs", "every field and uid of your file kept")
NUMBERS = Format(".txt", "row numbers", "one row number a line, from 0")
FORMATS = (STAR, CRYOSPARC, NUMBERS)


def chosen_rows(session: Session, which: Which, labels: str = "") -> np.ndarray:
    """Rows ``(m,)`` int64 of the particles meant.

    Parameters
    ----------
    labels
        Cluster numbers from 1, separated by commas, for `Which.CLUSTERS`.

    Raises
    ------
    ValueError
        One sentence, when nothing is meant: no run, an empty selection, no such cluster.
    """
    n = len(session.loaded().latents)
    if which is Which.ALL:
        return np.arange(n)
    if which is Which.CLUSTERS:
        return _rows_of_clusters(session, labels)
    selected = session.selected
    if which is Which.OTHERS:
        selected = np.setdiff1d(np.arange(n), selected)
    if len(selected) == 0:
        raise ValueError("No particle is meant: select some in the Explorer first.")
    return selected


def _rows_of_clusters(session: Session, labels: str) -> np.ndarray:
    clustering = session.clustering
    if clustering is None:
        raise ValueError("There are no clusters yet: make them in the Explorer first.")
    texts = labels.replace(";", ",").split(",")
    try:
        numbers = sorted({int(text) for text in texts if text.strip()})
    except ValueError:
        raise ValueError(f"'{labels}': write numbers separated by commas, as 1,3.") from None
    if not numbers:
        raise ValueError(f"Clusters: write their numbers, from 1 to {len(clustering.centres)}.")
    return clustering.members(numbers)


def suitable_format(source: Path) -> Format:
    """The format that loses nothing of this particle file."""
    return CRYOSPARC if source.suffix.lower() == ".cs" else STAR


def suggest_target(folder: Path, name: str, suffix: str) -> Path:
    """A free name in a folder."""
    number, path = 1, folder / f"{name}{suffix}"
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}{suffix}"
    return path


def preview(count: int, total: int, source: Path, kind: Format, target: Path) -> str:
    """What will be written, in one sentence."""
    share = f"{100 * count / max(total, 1):.1f} %"
    return f"{count:,} of {total:,} particles ({share}) of {source.name}, {kind.kept}, to {target}."
