"""Maps of several groups side by side: one camera, one level, each in its colour, with its size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from napari_cryodeco.atomic import refuse_existing, replacing
from napari_cryodeco.explore.figure import Group
from napari_cryodeco.explore.labels import annotate
from napari_cryodeco.explore.render import Style, View, framing, suggest_level, surface
from napari_cryodeco.explore.volumes import Volume, common_sigma


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture ``(h, w, 3)`` uint8 of a group's map, its caption, and Å per pixel."""

    group: Group
    caption: str
    picture: np.ndarray
    pixel_size: float


def tiles(
    groups: Sequence[Group],
    volumes: Iterable[Volume],
    total: int,
    level: float | None = None,
    view: View | None = None,
) -> Iterator[Tile]:
    """Draw the map of each group.

    Parameters
    ----------
    groups, volumes
        In the same order; the volumes are all taken before the first tile: they share σ and zoom.
    total
        Particles of the run, of which each group is a share.
    level
        σ above the mean; None: one that suits the maps.
    view
        Direction and size; the zoom is fitted to what all maps show at the level.
    """
    found = list(volumes)
    sigma = common_sigma(found)
    level = suggest_level(found, sigma) if level is None else level
    view = framing(found, level, view or View(size=(220, 220)), sigma)
    for group, volume in zip(groups, found, strict=True):
        red, green, blue = ImageColor.getrgb(group.colour)[:3]
        picture = surface(volume, level, view, replace(Style(), colour=(red, green, blue)), sigma)
        share = f"{100 * len(group.rows) / max(1, total):.1f} %"
        yield Tile(group, f"{group.name}: {share}", picture, view.pixel_size(volume))


def arranged(pictures: Sequence[np.ndarray], across: int | None = None) -> np.ndarray:
    """Pictures ``(h, w, 3)`` uint8 of one size as one, row by row on white; a square by default."""
    across = across or math.ceil(math.sqrt(len(pictures)))
    height, width = pictures[0].shape[:2]
    down = math.ceil(len(pictures) / across)
    whole = np.full((down * height, across * width, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        y, x = height * (place // across), width * (place % across)
        whole[y : y + height, x : x + width] = picture
    return whole


def write_png(shown: Sequence[Tile], path: Path, overwrite: bool = False) -> None:
    """Write the tiles with captions and scale bars as one PNG.

    Raises
    ------
    FileExistsError
        When `path` is there and may not be replaced.
    """
    refuse_existing(path, overwrite)
    pictures = [annotate(tile.picture, tile.caption, tile.pixel_size) for tile in shown]
    with replacing(path) as part:
        Image.fromarray(arranged(pictures)).save(part, "PNG")
