"""Which groups are compared, and the work itself, for a thread. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cryodeco.explore.palette import category
from napari_cryodeco.gui.decoding import display_box, open_decoder
from napari_cryodeco.gui.export_choice import Which, chosen_groups, clusters_as_groups

if TYPE_CHECKING:
    from napari_cryodeco.explore.figure import Group
    from napari_cryodeco.explore.map_difference import MapDifference
    from napari_cryodeco.explore.mosaic import Tile
    from napari_cryodeco.explore.render import View
    from napari_cryodeco.explore.volumes import Volume
    from napari_cryodeco.gui.background import Report
    from napari_cryodeco.gui.map_filter import MapFilter
    from napari_cryodeco.gui.session import Session
    from napari_cryodeco.gui.snapshot import Snapshot

_WHOLE = (Which.SELECTION, Which.OTHERS, Which.ALL)
NO_RUN = "Open a run in the Explorer first; then maps of its groups can be compared here."
RIGID = "This run has no z: all particles have one map, and there is nothing to compare."


@dataclass(frozen=True, eq=False)
class Compared:
    """Two groups and the difference of their decoded maps."""

    first: Group
    second: Group
    difference: MapDifference

    @property
    def name(self) -> str:
        """A − B in the words of the window."""
        return f"{self.first.name} − {self.second.name}"


def group_names(session: Session) -> list[str]:
    """What may be compared: the selection, the rest, all, each cluster, each named selection."""
    if session.snapshot is None:
        return []
    clusters = clusters_as_groups(session) if session.clustering is not None else ()
    named = (f"'{one.name}'" for one in session.named if len(one))
    return [*(which.value for which in _WHOLE), *(group.name for group in clusters), *named]


def likely_groups(session: Session) -> list[str]:
    """What two views may be offered first: the clusters, named or not; else all there are."""
    clusters = clusters_as_groups(session) if session.clustering is not None else ()
    names = [group.name for group in clusters]
    return names if len(names) > 1 else group_names(session)


def group_called(session: Session, name: str) -> Group:
    """The group of a name that `group_names` gave.

    Raises
    ------
    ValueError
        When nothing is selected, or the group is no longer there.
    """
    from napari_cryodeco.explore.figure import Group  # torch, which an open run has loaded

    for which in _WHOLE:
        if name == which.value:
            return chosen_groups(session, which)[0]
    clusters = clusters_as_groups(session) if session.clustering is not None else ()
    for group in clusters:
        if group.name == name:
            return group
    for place, one in enumerate(session.named):
        if name == f"'{one.name}'":
            return Group(one.name, one.rows, one.colour or category(place))
    raise ValueError(f"{name} is no longer there: choose another group.")


def subtract(
    snapshot: Snapshot, first: Group, second: Group, map_filter: MapFilter, report: Report
) -> Compared:
    """Decode both groups at their mean z and subtract."""
    from napari_cryodeco.explore.map_difference import difference_of

    if snapshot.run.config.rigid:
        raise ValueError(RIGID)
    decoder = open_decoder(snapshot.run, snapshot.epoch)
    report(0, 1)
    points = [snapshot.latents[group.rows].mean(0) for group in (first, second)]
    made = difference_of(
        decoder,
        points[0],
        points[1],
        display_box(decoder),
        map_filter.low_pass,
        map_filter.b_factor,
    )
    report(1, 1)
    return Compared(first, second, made)


def draw_mosaic(
    snapshot: Snapshot,
    groups: Sequence[Group],
    map_filter: MapFilter,
    level: float | None,
    view: View,
    report: Report,
) -> tuple[Tile, ...]:
    """Decode each group at its mean z and draw it."""
    from napari_cryodeco.explore.mosaic import tiles
    from napari_cryodeco.explore.volumes import VolumeRequest

    if snapshot.run.config.rigid:
        raise ValueError(RIGID)
    decoder, steps = open_decoder(snapshot.run, snapshot.epoch), 2 * len(groups)
    volumes: list[Volume] = []
    for group in groups:
        report(len(volumes), steps)
        request = VolumeRequest(snapshot.latents[group.rows].mean(0))
        volumes.append(decoder.decode(map_filter.on(request)))
    drawn = []
    for tile in tiles(groups, volumes, len(snapshot.latents), level, view):
        drawn.append(tile)
        report(len(groups) + len(drawn), steps)
    return tuple(drawn)


def save_difference(compared: Compared, path: Path, report: Report) -> str:
    """Write A − B as an MRC map; return what to say."""
    from napari_cryodeco.atomic import refuse_existing
    from napari_cryodeco.runs.store import write_mrc

    _need(path, ".mrc")
    refuse_existing(path, overwrite=False)
    volume = compared.difference.volume
    write_mrc(path, volume.data, volume.voxel_size)
    return f"{path}: {compared.name} written, voxels of {volume.voxel_size:.4g} Å."


def save_mosaic(shown: Sequence[Any], path: Path, report: Report) -> str:
    """Write the mosaic as PNG; return what to say."""
    from napari_cryodeco.explore.mosaic import write_png

    _need(path, ".png")
    write_png(shown, path)
    return f"{path}: {len(shown)} maps written."


def _need(path: Path, suffix: str) -> None:
    if path.suffix.lower() != suffix:
        raise ValueError(f"{path.name}: choose a name that ends in {suffix}.")
