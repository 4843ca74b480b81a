"""From particles of a run to the rows of another file of the same particles: un-binned, say.

Rows are matched by uid, then by the name of the image (or of the image it was made of, or the file
that the name leads to), then by micrograph and coordinates. Where uids match at all they decide
alone. What has no partner, or two, is counted and never dropped in silence.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.data.locate import find_real
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.data.row_keys import Places, RowKeys
from napari_cryodeco.data.star_export import pose_columns
from napari_cryodeco.explore import subset
from napari_cryodeco.explore.subset import Written
from napari_cryodeco.runs.run import Run

_NONE, _TWO = -1, -2
Keys = Sequence[Hashable]


@dataclass(frozen=True, eq=False)
class MapBack:
    """Where particles of a run lie in another file.

    Parameters
    ----------
    original
        The other file.
    rows
        ``(m,)`` rows of the run, ascending.
    found
        ``(m,)`` their rows in `original`, −1 where there is none that is certain.
    ambiguous
        ``(m,)`` whether more than one came into question.
    by
        Kinds of keys, each with the number of rows that it matched.
    """

    original: Path
    rows: np.ndarray
    found: np.ndarray
    ambiguous: np.ndarray
    by: tuple[tuple[str, int], ...]

    @property
    def matched(self) -> int:
        """Particles that were found."""
        return int((self.found >= 0).sum())

    @property
    def unmatched(self) -> int:
        """Particles without any partner."""
        return int(((self.found < 0) & ~self.ambiguous).sum())

    @property
    def complete(self) -> bool:
        """Whether every particle was found."""
        return self.matched == len(self.rows)

    def only(self, rows: np.ndarray) -> MapBack:
        """What was found of some of the rows ``(m,)``; whose keys matched is not counted again.

        Raises
        ------
        ValueError
            For a row that was not looked for.
        """
        rows = np.unique(np.asarray(rows, np.int64))
        place = np.searchsorted(self.rows, rows)
        known = place < len(self.rows)
        known[known] = self.rows[place[known]] == rows[known]
        if not known.all():
            raise ValueError(f"Row {int(rows[~known][0])} was not looked for in {self.original}.")
        return MapBack(self.original, rows, self.found[place], self.ambiguous[place], ())

    @property
    def sentence(self) -> str:
        """The counts, for people."""
        by = ", ".join(f"{count:,} by {kind}" for kind, count in self.by if count)
        return (
            f"{self.original}: {self.matched:,} of {len(self.rows):,} particles matched"
            f"{f' ({by})' if by else ''}, {self.unmatched:,} unmatched, "
            f"{int(self.ambiguous.sum()):,} ambiguous"
        )


def map_back(run: Run, rows: np.ndarray, original: Path | str, within: float = 1.0) -> MapBack:
    """Find particles of a run in another STAR or .cs file.

    A name alone is not believed where both files have coordinates and these differ.

    Parameters
    ----------
    rows
        ``(m,)`` of the run.
    within
        Pixels of the micrograph by which coordinates may differ.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is not there or has changed, or the two have no kind of key in common.
    """
    original = Path(os.path.abspath(original))
    if original.suffix.lower() not in (".star", ".cs"):
        raise ValueError(f"{original}: particles are mapped to a .star or .cs file; give one.")
    run.check_source()
    rows = np.unique(np.asarray(rows, np.int64))
    if not len(rows):
        raise ValueError(f"No particle of {run.path} is selected: select at least one.")
    here, there = RowKeys(run.particles.source), RowKeys(original)
    found, ambiguous = np.full(len(rows), _NONE), np.zeros(len(rows), dtype=bool)
    places = _both_places(here, there, rows)
    counts: dict[str, int] = {}
    for kind, own, offered in _key_pairs(run, here, there, rows):
        left = np.flatnonzero(found < 0)
        partners = _partners([own[i] for i in left.tolist()], offered)
        if kind != "uid" and places is not None:
            partners[~_near(*places, left, partners, within)] = _NONE
        _take(found, ambiguous, left, partners)
        counts[kind] = counts.get(kind, 0) + int((partners >= 0).sum())
        if kind == "uid" and (partners != _NONE).any():
            places = None  # files that share uids: whose uid is missing is not there
            break
    if places is not None:
        left = np.flatnonzero(found < 0)
        partners = _nearest(_some(places[0], left), places[1], within)
        _take(found, ambiguous, left, partners)
        counts["coordinates"] = int((partners >= 0).sum())
    if not counts:
        raise ValueError(
            f"{original} and {run.particles.source} have no uid, image name or coordinates in "
            "common to match by; give the file that the particles were made of."
        )
    return _each_once(MapBack(original, rows, found, ambiguous, tuple(counts.items())))


def write_mapped(
    mapped: MapBack,
    out: Path | str,
    datadir: Path | None = None,
    poses_of: Run | None = None,
    partial: bool = False,
    overwrite: bool = False,
) -> Written:
    """Write the rows that were found as a subset of the original file, all its columns kept.

    Parameters
    ----------
    datadir
        Folder of the original's stacks, where they are not near it.
    poses_of
        Set orientations and shifts of the newest epoch of this run (STAR only); None: leave those
        of the original.
    partial
        Write even if particles are missing; their number is then a warning.

    Raises
    ------
    FileExistsError, FileNotFoundError, ValueError
        With one sentence that names the cure.
    """
    some = mapped.found >= 0
    if not some.any() or not (mapped.complete or partial):
        first = int(mapped.rows[~some][0])
        cure = ", or --partial to leave these out" if some.any() else ""
        raise ValueError(
            f"{mapped.sentence} (row {first} is the first that is missing): give the file that "
            f"the particles were made of{cure}."
        )
    particles = read_particles(mapped.original, datadir)
    columns = None
    if poses_of is not None:
        columns = pose_columns(poses_of.epoch().poses()[torch.from_numpy(mapped.rows[some])])
    written = subset.write(mapped.found[some], particles, out, columns, overwrite)
    if mapped.complete:
        return written
    return Written(written.path, written.count, (*written.warnings, f"{mapped.sentence}."))


def _key_pairs(
    run: Run, here: RowKeys, there: RowKeys, rows: np.ndarray
) -> Iterator[tuple[str, Keys, Keys]]:
    """Kinds of keys that both files have: those of `rows`, and those of the original's rows."""
    own, offered = here.uids(), there.uids()
    if own is not None and offered is not None:
        yield "uid", own[rows].tolist(), offered.tolist()
    images = there.images()
    if images is None:
        return
    for kind, mine in (("image name", here.images()), ("image name", here.original_images())):
        if mine is not None:
            names, places = mine
            some = [names[row] for row in rows.tolist()], places[rows]
            yield kind, _names(*some), _names(*images)
    real = find_real(images[0], there.source)
    index = torch.from_numpy(rows)
    stacks = run.particles.real_stacks(index)
    slices = run.particles.slice_of[index].tolist()
    files = [real[name] for name in images[0]]
    yield (
        "image name",
        list(zip(stacks, slices, strict=True)),
        list(zip(files, images[1].tolist(), strict=True)),
    )


def _names(names: Sequence[str], places: np.ndarray) -> Keys:
    plain = {name: os.path.normpath(name) for name in set(names)}
    return [(plain[name], place) for name, place in zip(names, places.tolist(), strict=True)]


def _partners(own: Keys, offered: Keys) -> np.ndarray:
    """Row of each key among those offered ``(m,)``; −1: none, −2: more than one."""
    place: dict[Hashable, int] = {}
    for row, key in enumerate(offered):
        place[key] = _TWO if key in place else row
    return np.array([place.get(key, _NONE) for key in own], dtype=np.int64)


def _take(found: np.ndarray, ambiguous: np.ndarray, left: np.ndarray, partners: np.ndarray) -> None:
    """Enter the partners of the rows `left`: one that is certain ends an earlier doubt."""
    certain = partners >= 0
    found[left[certain]] = partners[certain]
    ambiguous[left[partners == _TWO]] = True
    ambiguous[left[certain]] = False


def _each_once(mapped: MapBack) -> MapBack:
    """Particles of the run that claim one row of the original are ambiguous, all of them."""
    some = mapped.found >= 0
    rows, counts = np.unique(mapped.found[some], return_counts=True)
    claimed = some & np.isin(mapped.found, rows[counts > 1])
    found = np.where(claimed, _NONE, mapped.found)
    return MapBack(mapped.original, mapped.rows, found, mapped.ambiguous | claimed, mapped.by)


def _both_places(here: RowKeys, there: RowKeys, rows: np.ndarray) -> tuple[Places, Places] | None:
    own, offered = here.places(), there.places()
    return None if own is None or offered is None else (_some(own, rows), offered)


def _some(places: Places, rows: np.ndarray) -> Places:
    return Places(places.micrographs[rows], places.xy[rows])


def _near(
    own: Places, offered: Places, left: np.ndarray, partners: np.ndarray, within: float
) -> np.ndarray:
    """Whether partners lie where the particles do; true where there is no partner to ask."""
    rows = np.maximum(partners, 0)
    same = own.micrographs[left] == offered.micrographs[rows]
    close = np.linalg.norm(own.xy[left] - offered.xy[rows], axis=1) <= within
    near: np.ndarray = (same & close) | (partners < 0)
    return near


def _nearest(own: Places, offered: Places, within: float) -> np.ndarray:
    """The one row in the same micrograph within so many pixels; −1: none, −2: more than one."""
    from scipy.spatial import cKDTree  # half a second to import

    if not len(own.xy):
        return np.zeros(0, dtype=np.int64)
    code = {name: place for place, name in enumerate(dict.fromkeys(offered.micrographs.tolist()))}
    apart = 4 * within + 1  # micrographs become layers that no neighbourhood spans
    tables = []
    for places in (offered, own):
        layers = [code.get(name, -2) * apart for name in places.micrographs.tolist()]
        tables.append(np.column_stack([places.xy, layers]))
    distance, rows = cKDTree(tables[0]).query(
        tables[1], k=2, distance_upper_bound=np.nextafter(within, np.inf)
    )
    one, two = np.isfinite(distance).T
    return np.where(two, _TWO, np.where(one, rows[:, 0], _NONE))
