"""A free-energy landscape as files: its minima as JSON, the landscape as PNG and SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_cryodeco.atomic import refuse_existing, replacing_folder
from napari_cryodeco.explore.figure import Figure, write_png, write_svg
from napari_cryodeco.explore.free_energy import CAVEAT, OF_UMAP, FreeEnergy
from napari_cryodeco.explore.palette import category
from napari_cryodeco.explore.projection import Projection
from napari_cryodeco.runs.json_file import write_json

_SIDE = 1440
_DEEP, _HIGH = np.array([28, 52, 100]), np.array([238, 243, 250])  # colours at 0 kT and at the rim


def write_landscape(
    found: FreeEnergy,
    view: Projection,
    axes: tuple[int, int],
    depth: float,
    out: Path,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write ``landscape.json``, ``.png`` and ``.svg`` into the new folder `out`.

    Parameters
    ----------
    found, view, axes
        The landscape, the view it is of, and which axes of that, from 0.
    depth
        kT that its minima were asked to be deep.

    Returns
    -------
    dict
        What the JSON file holds.
    """
    refuse_existing(out, overwrite)
    names = axis_names(view, axes)
    caveats = [CAVEAT, *([OF_UMAP] if view.method == "umap" else [])]
    record = {
        "epoch": view.epoch,
        "axes": list(names),
        "depth_kT": depth,
        "unit": "kT",
        "particles": int(np.isfinite(view.coordinates[:, 0]).sum()),
        "minima": found.record(),
        "caveats": caveats,
    }
    with replacing_folder(out, overwrite) as part:
        write_json(part / "landscape.json", record)
        figure = drawn(found, names)
        write_png(figure, part / "landscape.png")
        write_svg(figure, part / "landscape.svg")
    return record


def axis_names(view: Projection, axes: tuple[int, int]) -> tuple[str, str]:
    """Names of two axes of a view; of one that is not there, nothing."""
    prefix = {"pca": "PC", "umap": "UMAP "}.get(view.method, f"{view.method} ")
    there = view.coordinates.shape[1]
    one, other = (f"{prefix}{axis + 1}" if axis < there else "" for axis in axes)
    return one, other


def drawn(found: FreeEnergy, names: tuple[str, str]) -> Figure:
    """The landscape in colour with lines 1 kT apart and numbered minima."""
    ends = (found.x[0], found.x[-1]), (found.y[0], found.y[-1])
    x = np.linspace(*ends[0], _SIDE)
    y = np.linspace(*ends[1], _SIDE)[::-1]
    across, down = np.meshgrid(x, y)
    energy = found.at(across.ravel(), down.ravel()).reshape(_SIDE, _SIDE)
    highest = max(float(np.nanmax(energy)), 1e-6)
    share = np.nan_to_num(energy / highest)[..., None]
    plot = (_DEEP + share * (_HIGH - _DEEP)).astype(np.uint8)
    plot[~np.isfinite(energy)] = 255
    picture = Image.fromarray(plot)
    pen = ImageDraw.Draw(picture)

    def pixels(places: np.ndarray) -> list[tuple[float, float]]:
        right = (places[:, 0] - ends[0][0]) / (ends[0][1] - ends[0][0]) * _SIDE
        under = (ends[1][1] - places[:, 1]) / (ends[1][1] - ends[1][0]) * _SIDE
        return list(zip(right.tolist(), under.tolist(), strict=True))

    for _, line in found.contours():
        pen.line(pixels(line), fill=(110, 120, 140), width=2)
    font = ImageFont.load_default(26)
    for number, one in enumerate(found.minima, 1):
        ((right, under),) = pixels(np.array([[one.x, one.y]]))
        colour = category(number - 1)
        pen.ellipse((right - 18, under - 18, right + 18, under + 18), fill=colour, outline="white")
        pen.text((right, under), str(number), fill="black", font=font, anchor="mm")
    legend = [
        (f"{number}: {one.energy:.1f} kT, {one.share:.1%}", category(number - 1))
        for number, one in enumerate(found.minima, 1)
    ]
    words = (f"lines 1 kT apart, to {highest:.1f}", "#6E788C")
    return Figure(np.asarray(picture), *ends, names, (*legend, words))
