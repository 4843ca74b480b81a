"""Files into napari layers: maps, image stacks and run directories.

Each ``get_*`` function answers at once whether it can read a path: napari asks all plugins about
every folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np

from napari_cryodeco.runs.paths import RunPaths

LayerData = tuple[Any, ...]
Reader = Callable[[str | Sequence[str]], list[LayerData]]

FRAME_AXES = ("frame", "z", "y", "x")
NOTHING_TO_SHOW: list[LayerData] = [(None,)]  # napari's word for "read, but it makes no layer"


def get_map_reader(path: str | Sequence[str]) -> Reader | None:
    """Reader of ``.mrc`` and ``.map`` volumes, or None."""
    return read_mrc_files if _all_end(path, (".mrc", ".map", ".mrcs")) else None


def get_run_reader(path: str | Sequence[str]) -> Reader | None:
    """Reader of a run directory (or of its ``run.yaml``), or None for any other path."""
    return read_run if isinstance(path, str) and is_run(run_folder(path)) else None


def get_latents_reader(path: str | Sequence[str]) -> Reader | None:
    """Reader of latents of other programs, told by names alone, or None."""
    return read_latents if isinstance(path, str) and is_foreign(Path(path)) else None


def is_foreign(path: Path) -> bool:
    """Whether a file or folder is named as another program names its latents."""
    from napari_cryodeco.data.foreign import cryodrgn, recovar  # numpy only

    if path.is_dir():
        return bool(cryodrgn.latent_files(path) or recovar.result_files(path))
    return cryodrgn.is_latents(path) or path.suffix.lower() == ".cs"


def read_latents(path: str | Sequence[str]) -> list[LayerData]:
    """Show the panel that opens them; it asks for what their folder does not say."""
    from napari_cryodeco.gui.contributions import open_foreign

    open_foreign(Path(path if isinstance(path, str) else path[0]))
    return NOTHING_TO_SHOW


def run_folder(path: str) -> Path:
    """The folder meant by a dropped folder or by the ``run.yaml`` inside it."""
    return Path(path).parent if Path(path).name == "run.yaml" else Path(path)


def is_run(path: Path) -> bool:
    """Whether a folder is a run: two file names are looked up, nothing is opened."""
    paths = RunPaths(path)
    return paths.config.is_file() and paths.data.is_file()


def read_mrc_files(path: str | Sequence[str]) -> list[LayerData]:
    """One Image layer per file, raw values, scale in Å.

    Maps come as a 3-D layer at an isosurface of 3 σ, stacks as 2-D images under a slider, and 4-D
    files as maps under a slider. The values stay on disk until they are looked at.

    Raises
    ------
    ValueError
        If a file is no MRC file.
    """
    paths = [path] if isinstance(path, str) else list(path)
    return [_read_mrc(Path(one)) for one in paths]


def read_run(path: str | Sequence[str]) -> list[LayerData]:
    """Maps of a run's newest epoch as layers, while the Explorer opens on it.

    They stand where the Explorer's decoded map stands (centre at the origin), hidden behind it. A
    run that has no map yet makes no layer.
    """
    from napari_cryodeco.gui.contributions import open_explorer

    folder = run_folder(path if isinstance(path, str) else path[0])
    open_explorer(folder)
    layers = [_read_mrc(one, name=f"{folder.name} {one.stem}") for one in newest_maps(folder)]
    for data, options, _ in layers:
        steps = zip(data.shape, options["scale"], strict=True)
        options["translate"] = tuple(-(side // 2) * step for side, step in steps)
        options["visible"] = False
    return layers or NOTHING_TO_SHOW


def newest_maps(run: Path) -> list[Path]:
    """Map files of the newest epoch of a run directory, consensus first."""
    paths = RunPaths(run)
    newest = paths.epoch_numbers()[-1:]
    maps = [file for number in newest for file in paths.epoch(number).glob("*.mrc")]
    return sorted(maps, key=lambda file: (file.stem != "consensus", file.name))


def _all_end(path: str | Sequence[str], suffixes: tuple[str, ...]) -> bool:
    paths = [path] if isinstance(path, str) else path
    return bool(paths) and all(str(one).lower().endswith(suffixes) for one in paths)


def _read_mrc(path: Path, name: str | None = None) -> LayerData:
    try:
        with mrcfile.mmap(path, mode="r") as mrc:
            data, step = mrc.data, float(mrc.voxel_size.x)
            is_stack = mrc.is_image_stack() or path.suffix.lower() == ".mrcs" or data.ndim == 2
    except ValueError as error:
        raise ValueError(
            f"{path}: this is no readable MRC file ({error}); check that it is not truncated."
        ) from None
    if step <= 0:
        step = 1.0
    name = name or path.name
    if is_stack:
        spacing = (1.0,) * (data.ndim - 2) + (step, step)
        return data, {"name": name, "scale": spacing, "units": _units(data.ndim)}, "image"
    if data.ndim == 4:
        return data, frames_options(data, step, name), "image"
    return data, map_options(data, step, name), "image"


def frames_options(data: np.ndarray, voxel_size: float, name: str) -> dict[str, Any]:
    """How an Image layer shows maps ``(t, z, y, x)``: as one map, level of the middle one."""
    options = map_options(data[len(data) // 2], voxel_size, name)
    ahead = {"scale": 1.0, "units": "pixel"}
    options |= {key: (value, *options[key]) for key, value in ahead.items()}
    return options | {"axis_labels": FRAME_AXES}


def map_options(data: np.ndarray, voxel_size: float, name: str) -> dict[str, Any]:
    """How an Image layer shows a map ``(z, y, x)``: raw values, Å, isosurface at 3 σ.

    Below a level of about 0.3 vispy's isosurface shader refines at every step and draws ten times
    slower (it compares with the level minus 0.2), so faint maps come as projections.
    """
    sample = np.asarray(data, dtype=np.float32)
    low, high = float(sample.min()), float(sample.max())
    level = float(sample.mean() + 3 * sample.std())
    return {
        "name": name,
        "scale": (voxel_size,) * 3,
        "units": ("Å",) * 3,
        "contrast_limits": (low, high if high > low else low + 1.0),
        "iso_threshold": level,
        "rendering": "iso" if level > 0.3 else "mip",
        "depiction": "volume",
    }


def _units(ndim: int) -> tuple[str, ...]:
    return ("pixel",) * (ndim - 2) + ("Å", "Å")
