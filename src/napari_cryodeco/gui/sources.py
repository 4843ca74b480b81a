"""What two maps may be of: a group, a frame of the path, a map in the viewer. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_cryodeco.gui.comparing import NO_RUN, RIGID, group_called, group_names
from napari_cryodeco.gui.decoding import display_box, open_decoder
from napari_cryodeco.gui.viewer_maps import maps_in

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.explore.volumes import Volume
    from napari_cryodeco.gui.background import Report
    from napari_cryodeco.gui.map_filter import MapFilter
    from napari_cryodeco.gui.session import Session
    from napari_cryodeco.gui.snapshot import Snapshot

FRAMES = ("path: first frame", "path: marked frame", "path: last frame")
_LAYER = "layer: "


@dataclass(frozen=True, eq=False)
class Source:
    """Particles whose mean z is decoded, or a point ``(d,)`` that is, or a map that is there.

    Parameters
    ----------
    name
        For people.
    rows, z, volume
        One of the three.
    """

    name: str
    rows: np.ndarray | None = None
    z: np.ndarray | None = None
    volume: Volume | None = None


@dataclass(frozen=True, eq=False)
class Laid:
    """A map in σ units ``(z, y, x)`` with its voxel size in Å and its name."""

    name: str
    data: np.ndarray
    voxel_size: float

    def volume_at(self, level: float) -> float:
        """Å³ above a level in σ."""
        return float(np.count_nonzero(self.data > level)) * self.voxel_size**3


@dataclass(frozen=True, eq=False)
class Pair:
    """Two maps to look at together, and whether they share one σ."""

    first: Laid
    second: Laid
    one_sigma: bool


def source_names(session: Session, viewer: Viewer) -> list[str]:
    """What may be chosen."""
    frames = FRAMES if session.path is not None else ()
    layers = [_LAYER + name for name in maps_in(viewer)]
    return [*group_names(session), *frames, *layers]


def source_called(session: Session, viewer: Viewer, name: str) -> Source:
    """The source of a name that `source_names` gave.

    Raises
    ------
    ValueError
        One sentence, when it is no longer there or there is none yet.
    """
    if not name:
        raise ValueError(NO_RUN)
    if name in group_names(session):  # first: a cluster may have any name
        group = group_called(session, name)
        return Source(group.name, rows=group.rows)
    if name in FRAMES and session.path is not None:
        last = len(session.path) - 1
        at = (0, min(round(session.path_position), last), last)[FRAMES.index(name)]
        return Source(f"frame {at + 1} of the path", z=session.path[at])
    if name.startswith(_LAYER):
        return _layer(viewer, name.removeprefix(_LAYER))
    raise ValueError(f"{name} is no longer there: choose another map.")


def _layer(viewer: Viewer, name: str) -> Source:
    from napari_cryodeco.explore.volumes import Volume  # torch: not when the window starts

    found = maps_in(viewer).get(name)
    if found is None:
        raise ValueError(f"The layer {name} is no longer there: choose another map.")
    return Source(name, volume=Volume(np.asarray(found[0], np.float32), found[1]))


def lay_out(
    snapshot: Snapshot | None,
    first: Source,
    second: Source,
    map_filter: MapFilter,
    report: Report,
) -> Pair:
    """Decode what must be decoded; for a thread.

    Two decoded maps are of one scale and take their common σ; a map of a file takes its own.
    """
    from napari_cryodeco.explore.volumes import common_sigma

    volumes = []
    for done, source in enumerate((first, second)):
        report(done, 2)
        volumes.append(source.volume or _decoded(snapshot, source, map_filter))
    report(2, 2)
    decoded = first.volume is None and second.volume is None
    sigma = common_sigma(volumes) if decoded else None
    laid = [
        Laid(source.name, volume.in_sigma(sigma), volume.voxel_size)
        for source, volume in zip((first, second), volumes, strict=True)
    ]
    return Pair(laid[0], laid[1], decoded)


def _decoded(snapshot: Snapshot | None, source: Source, map_filter: MapFilter) -> Volume:
    from napari_cryodeco.explore.volumes import VolumeRequest

    if snapshot is None:
        raise ValueError(NO_RUN)
    if snapshot.run.config.rigid:
        raise ValueError(RIGID)
    decoder = open_decoder(snapshot.run, snapshot.epoch)
    z = source.z if source.rows is None else snapshot.latents[source.rows].mean(0)
    if z is None:
        raise ValueError(f"{source.name} is no map: choose another one.")
    return decoder.decode(map_filter.on(VolumeRequest(z, box=display_box(decoder))))
