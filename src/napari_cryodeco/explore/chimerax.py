"""A script that shows maps in ChimeraX as they are shown here.

ChimeraX runs a script in the folder that it lies in, so maps are named from there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_cryodeco.explore.render import View
from napari_cryodeco.explore.volumes import Volume

_FIRST = 501  # number of the first model: smaller ones may be taken
_HALF_FIELD = math.radians(15)  # ChimeraX's field of view is 30°


@dataclass(frozen=True)
class ShownMap:
    """A map of a script: its file from the script's folder, a name, level and ``#RRGGBB``.

    `level` in the units of the map.
    """

    file: str
    name: str
    level: float
    colour: str


def level_in_map(volume: Volume, level: float, sigma: float) -> float:
    """A level in σ above the mean, in the units of the map."""
    return float(volume.data.mean()) + level * sigma


def script(maps: Sequence[ShownMap], view: View | None = None, volume: Volume | None = None) -> str:
    """Commands that open the maps as surfaces, the first one shown.

    Parameters
    ----------
    view, volume
        The camera, and one of the maps for its box; None: ChimeraX looks at all of it.
    """
    lines = ["# Written by napari-cryodeco. Open it with ChimeraX: it opens the maps beside it."]
    for number, shown in enumerate(maps, _FIRST):
        name = shown.name.replace('"', "'")
        lines += [
            f'open "{shown.file}" id {number} name "{name}"',
            f"volume #{number} style surface step 1 level {shown.level:.6g} color {shown.colour}",
        ]
    lines += [f"hide #{number} models" for number in range(_FIRST + 1, _FIRST + len(maps))]
    lines += ["set bgColor white", "lighting soft"]
    if view is None or volume is None:
        return "\n".join([*lines, "view"]) + "\n"
    return "\n".join([*lines, _camera(view, volume)]) + "\n"


def _camera(view: View, volume: Volume) -> str:
    """Where the camera stands: its axes right, up, towards the viewer, and its place in Å."""
    box = len(volume.data)
    extent = view.extent or box * volume.voxel_size
    centre = np.asarray(view.centre) + (box // 2) * volume.voxel_size
    place = centre + view.rotation[2] * extent / 2 / math.tan(_HALF_FIELD)
    matrix = np.column_stack([view.rotation.T, place])
    return "view matrix camera " + ",".join(f"{value:.5g}" for value in matrix.ravel())
