"""A motion as a picture and as a folder of maps and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor

from napari_cryodeco.atomic import replacing_folder
from napari_cryodeco.explore.domains import Domain
from napari_cryodeco.explore.labels import annotate, colour_bar
from napari_cryodeco.explore.motion import Motion
from napari_cryodeco.explore.palette import UNCLEAR, far_ramp
from napari_cryodeco.explore.render import View, framing, surface
from napari_cryodeco.runs.json_file import write_json
from napari_cryodeco.runs.store import write_mrc


def picture(motion: Motion, caption: str = "", view: View | None = None) -> np.ndarray:
    """Draw the middle map coloured by how far its density moves, with the bar of colours in Å.

    What is unclear is blue. A view without an extent is fitted.

    Returns
    -------
    numpy.ndarray
        ``(h, w, 3)`` uint8.
    """
    view = view or View(size=(600, 600))
    if view.extent is None:
        view = framing([motion.middle], motion.level, view, motion.sigma)
    most = scale_of(motion)
    share = np.clip(motion.placed(motion.travel) / most, 0, 1)
    paint = far_ramp()[np.round(255 * share).astype(int)]
    paint[motion.placed(motion.unclear) > 0] = ImageColor.getrgb(UNCLEAR)[:3]
    drawn = surface(motion.middle, motion.level, view, None, motion.sigma, paint)
    named = annotate(drawn, caption, view.pixel_size(motion.middle))
    return colour_bar(named, far_ramp(), most)


def scale_of(motion: Motion) -> float:
    """Å at the upper end of the colours: the most, and a voxel at least (the least is no news)."""
    return max(motion.most, motion.middle.voxel_size)


def write_motion(
    motion: Motion,
    domains: Sequence[Domain],
    least: float,
    out: Path,
    name: str = "",
    view: View | None = None,
    overwrite: bool = False,
) -> None:
    """Write a motion into the new folder `out`.

    ``middle.mrc`` (the map in which places are given) and ``mean.mrc``; on the same grid
    ``motion.mrc`` in Å (0 away from density) and ``spread.mrc`` in σ; ``motion.png``;
    ``motion.json``.

    Parameters
    ----------
    domains, least
        What moves more than `least` Å.
    name
        What the maps are along, for the picture and the numbers.

    Raises
    ------
    FileExistsError
        When `out` is there and may not be replaced.
    """
    voxel = motion.middle.voxel_size
    maps = {
        "middle": motion.middle.data,
        "mean": motion.mean.data,
        "motion": motion.placed(motion.travel),
        "spread": motion.spread,
    }
    drawn = picture(motion, name, view)
    with replacing_folder(out, overwrite) as part:
        for stem, data in maps.items():
            write_mrc(part / f"{stem}.mrc", data, voxel)
        Image.fromarray(drawn).save(part / "motion.png")
        write_json(part / "motion.json", record(motion, domains, least, name))


def record(motion: Motion, domains: Sequence[Domain], least: float, name: str) -> dict[str, Any]:
    """What is in ``motion.json``; Å, Å³, degrees, and places in Å from voxel 0."""
    return {
        "along": name,
        "maps": len(motion.frames),
        "voxel_size_A": motion.middle.voxel_size,
        "level_sigma": motion.level,
        "density_A3": motion.volume,
        "most_A": motion.most,
        "median_A": float(np.median(motion.travel)),
        "explained_by_movement": motion.explained,
        "unclear": float(motion.unclear.mean()),
        "unreached_A3": motion.unreached,
        "moving_more_than_A": least,
        "domains": [domain.record() for domain in domains],
        "said": list(motion.sentences),
    }
