"""Pictures and maps to files: MP4, GIF, a folder of PNG, a folder of MRC, one 4-D MRC.

Every file appears under its name only when it is whole.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from napari_cryodeco.atomic import refuse_existing, replacing, replacing_folder
from napari_cryodeco.explore.volumes import Volume
from napari_cryodeco.runs.store import write_mrc, write_volume_stack

Progress = Callable[[int, int], None]
Writer = Callable[[Path, Iterable[np.ndarray], float], None]


def write(
    path: Path | str, frames: Iterable[np.ndarray], fps: float = 10.0, overwrite: bool = False
) -> None:
    """Write pictures ``(h, w, 3)`` uint8 as .mp4, .gif, or (no suffix) a folder of .png.

    Raises
    ------
    ValueError
        When the suffix is none of these, there are no frames, or MP4 support is not installed.
    FileExistsError
        When `path` is there and may not be replaced.
    """
    path = Path(path)
    writer = writer_for(path)
    if path.suffix:
        refuse_existing(path, overwrite)
        with replacing(path) as part:
            writer(part, _counted(frames), fps)
    else:
        with replacing_folder(path, overwrite) as part:
            writer(part, _counted(frames), fps)


def write_series(
    folder: Path | str,
    volumes: Sequence[Volume],
    progress: Progress | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write maps as ``frame_000.mrc``, … with their voxel size; raising in `progress` cancels."""
    with replacing_folder(folder, overwrite) as part:
        fill_series(part, volumes, progress)
    return [Path(folder) / f"frame_{index:03d}.mrc" for index in range(len(volumes))]


def fill_series(folder: Path, volumes: Sequence[Volume], progress: Progress | None = None) -> None:
    """Write ``frame_000.mrc``, … into a folder that is there."""
    for index, volume in enumerate(volumes):
        write_mrc(folder / f"frame_{index:03d}.mrc", volume.data, volume.voxel_size)
        if progress is not None:
            progress(index + 1, len(volumes))


def write_frames(
    path: Path | str,
    volumes: Sequence[Volume],
    progress: Progress | None = None,
    overwrite: bool = False,
) -> None:
    """Write maps as one 4-D MRC file with their voxel size; raising in `progress` cancels.

    Raises
    ------
    FileExistsError
        When `path` is there and may not be replaced.
    """
    refuse_existing(Path(path), overwrite)

    def told() -> Iterator[np.ndarray]:
        for index, volume in enumerate(volumes):
            yield volume.data
            if progress is not None:
                progress(index + 1, len(volumes))

    write_volume_stack(path, told(), len(volumes), volumes[0].voxel_size)


def is_4d(path: Path) -> bool:
    """Whether a movie of this name is one file of maps, without pictures."""
    return path.suffix.lower() == ".mrc"


def have_ffmpeg() -> bool:
    """Tell whether .mp4 can be written here."""
    return importlib.util.find_spec("imageio_ffmpeg") is not None


def writer_for(path: Path) -> Writer:
    """Choose how to write a movie by the suffix of its path; ValueError when there is no way."""
    writers = {".mp4": _write_mp4, ".gif": _write_gif, "": write_pngs}
    suffix = path.suffix.lower()
    if suffix not in writers:
        raise ValueError(
            f"{path}: a movie ends in .mp4 or .gif, or in .mrc (maps, 4-D), or is a folder without "
            "a suffix."
        )
    if suffix == ".mp4" and not have_ffmpeg():
        raise ValueError(
            f"{path}: MP4 needs `pip install 'napari-cryodeco[all]'`; "
            f"{path.with_suffix('.gif').name} works without."
        )
    return writers[suffix]


def _counted(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Pass frames on; complain if there is none."""
    empty = True
    for frame in frames:
        empty = False
        yield frame
    if empty:
        raise ValueError("A movie needs at least one frame.")


def _write_mp4(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    import imageio.v2 as imageio  # with ffmpeg, the optional part

    file: Any = imageio.get_writer(
        path, fps=fps, codec="libx264", quality=8, pixelformat="yuv420p", macro_block_size=2
    )
    with closing(file):  # its own `with` leaves ffmpeg writing after an error
        for frame in frames:
            file.append_data(_even(frame))


def _even(frame: np.ndarray) -> np.ndarray:
    """Repeat the last row or column where a side is odd: players want even sizes."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _write_gif(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures = [picture.quantize(128, dither=Image.Dither.NONE) for picture in pictures]
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0
    )


def write_pngs(path: Path, frames: Iterable[np.ndarray], fps: float = 0.0) -> None:
    """Write ``frame_000.png``, … into a folder; a folder has no pace, so `fps` goes unused."""
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"frame_{index:03d}.png")
