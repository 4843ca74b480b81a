"""Which particles are exported, and one sentence that says so before anything is written. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_cryodeco.explore.palette import category

if TYPE_CHECKING:
    from napari_cryodeco.explore.figure import Group
    from napari_cryodeco.gui.session import Session


NO_CLUSTERS = "There are no clusters yet: make them in the Explorer first."


class Which(StrEnum):
    """The particles to export."""

    SELECTION = "selected particles"
    OTHERS = "all but the selected ones"
    CLUSTERS = "clusters, by number"
    ALL = "all particles"
    EACH_CLUSTER = "each cluster for itself"
    EACH_NAMED = "each named selection for itself"

    @property
    def several(self) -> bool:
        """Whether groups are meant that stay apart."""
        return self in (Which.EACH_CLUSTER, Which.EACH_NAMED)


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
        chosen = np.ones(n, bool)
        chosen[selected] = False
        selected = np.flatnonzero(chosen)
    if len(selected) == 0:
        raise ValueError("No particle is meant: select some in the Explorer first.")
    return selected


def _rows_of_clusters(session: Session, labels: str) -> np.ndarray:
    clustering = session.clustering
    if clustering is None:
        raise ValueError(NO_CLUSTERS)
    texts = labels.replace(";", ",").split(",")
    try:
        numbers = sorted({int(text) for text in texts if text.strip()})
    except ValueError:
        raise ValueError(f"'{labels}': write numbers separated by commas, as 1,3.") from None
    if not numbers:
        raise ValueError(f"Clusters: write their numbers, from 1 to {len(clustering.centres)}.")
    return clustering.members(numbers)


def chosen_groups(session: Session, which: Which, labels: str = "") -> tuple[Group, ...]:
    """The particles meant, as groups with the names and colours that the window shows them in.

    Raises
    ------
    ValueError
        As `chosen_rows`, and when there is no cluster or named selection.
    """
    from napari_cryodeco.explore.figure import Group  # torch, which an open run has loaded

    session.loaded()
    if which is Which.EACH_NAMED:
        if not session.named:
            raise ValueError("No selection is named yet: save one in the Explorer first.")
        return tuple(
            Group(one.name, one.rows, one.colour or category(place))
            for place, one in enumerate(session.named)
            if len(one)
        )
    if which is Which.EACH_CLUSTER:
        return clusters_as_groups(session)
    rows = chosen_rows(session, which, labels)
    if which is not Which.CLUSTERS:
        return (Group(_SHORT[which], rows, category(0)),)
    first = int(labels.replace(";", ",").replace(",", " ").split()[0])
    return (Group(f"clusters {labels.strip()}", rows, category(first - 1)),)


def clusters_as_groups(session: Session) -> tuple[Group, ...]:
    """Each cluster that has particles, in its colour."""
    from napari_cryodeco.explore.figure import cluster_groups

    if session.clustering is None:
        raise ValueError(NO_CLUSTERS)
    return cluster_groups(session.clustering)


_SHORT = {Which.SELECTION: "selected", Which.OTHERS: "others", Which.ALL: "all"}


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
