"""Movies of a path through the latents: decode, draw at one scale and level, write.

`progress(done, of)` is told after each map and each picture; raising in it, or a `stop()` that
answers True, ends the work and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from napari_cryodeco.atomic import refuse_existing, replacing_folder
from napari_cryodeco.explore.decoders import open_decoder
from napari_cryodeco.explore.frames import (
    Progress,
    fill_series,
    have_ffmpeg,
    write,
    write_pngs,
    write_series,
    writer_for,
)
from napari_cryodeco.explore.labels import annotate
from napari_cryodeco.explore.render import Style, View, framing, suggest_level, surface
from napari_cryodeco.explore.trajectory import Trajectory, pc_traverse, support
from napari_cryodeco.explore.volumes import Volume, VolumeRequest, common_sigma
from napari_cryodeco.runs.checkpoint import Epoch
from napari_cryodeco.runs.run import Run

__all__ = [
    "MovieFile",
    "MovieOptions",
    "Stopped",
    "draw",
    "film",
    "have_ffmpeg",
    "there_and_back",
    "write",
    "write_movie",
    "write_pc_movie",
    "write_series",
]

UNSUPPORTED = "few particles here"


class Stopped(Exception):
    """The user stopped the work; nothing was written."""


@dataclass(frozen=True, eq=False)
class MovieOptions:
    """How a movie looks.

    Parameters
    ----------
    level
        Surface level in σ, the same for all frames; None: between solvent and molecule.
    loop
        ``"once"``, or ``"ping-pong"``: there and back.
    low_pass, b_factor
        Å or None, and Å² (negative sharpens), as in a `VolumeRequest`.
    view, style
        Camera and colours; a view without an extent is fitted to what the frames show.
    device
        Where maps are decoded.
    """

    level: float | None = None
    loop: Literal["once", "ping-pong"] = "ping-pong"
    low_pass: float | None = None
    b_factor: float = 0.0
    view: View = field(default_factory=View)
    style: Style = field(default_factory=Style)
    device: str = "auto"


@dataclass(frozen=True)
class MovieFile:
    """What was written: the path, its frames, and which of them no particles support."""

    path: Path
    frames: int
    unsupported: tuple[int, ...]


def write_pc_movie(
    run: Run,
    path: Path | str,
    component: int = 1,
    low: float = 5.0,
    high: float = 95.0,
    frames: int = 20,
    fps: float = 10.0,
    options: MovieOptions | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    overwrite: bool = False,
) -> MovieFile:
    """Walk a principal component of the newest epoch from percentile `low` to `high`, and film it.

    `path` ends in .mp4 or .gif; without a suffix it becomes a folder with a picture and a map
    (``frame_000.png``, ``frame_000.mrc``) for each frame.
    """
    epoch = run.epoch()
    walk = pc_traverse(epoch.latents(), component, low, high, frames)
    return write_movie(epoch, path, walk, fps, options, progress, stop, overwrite)


def write_movie(
    epoch: Epoch,
    path: Path | str,
    walk: Trajectory,
    fps: float = 10.0,
    options: MovieOptions | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    overwrite: bool = False,
) -> MovieFile:
    """Film any trajectory through the latents of an epoch, as :func:`write_pc_movie` does."""
    path, options = Path(path), options or MovieOptions()
    writer_for(path)  # a wrong suffix must not cost the decoding of all frames
    refuse_existing(path, overwrite)
    count = len(walk)
    tell = _stoppable(progress, stop)
    decoder = open_decoder(epoch, options.device, "auto")
    volumes = []
    requests = [
        VolumeRequest(z, low_pass=options.low_pass, b_factor=options.b_factor) for z in walk.points
    ]
    for volume in decoder.decode_many(requests):
        volumes.append(volume)
        tell(len(volumes), 2 * count)
    near = support(walk.points, epoch.latents())

    def drawn(done: int, of: int) -> None:
        tell(count + done, count + of)

    film(path, volumes, walk, near.supported, fps, options, drawn, overwrite)
    return MovieFile(path, count, near.unsupported)


def film(
    path: Path | str,
    volumes: Sequence[Volume],
    walk: Trajectory,
    supported: np.ndarray | None = None,
    fps: float = 10.0,
    options: MovieOptions | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> None:
    """Draw decoded maps of a path, and write them as :func:`write_pc_movie` does.

    `supported` ``(t,)`` bool: frames without particles are marked.
    """
    path, options = Path(path), options or MovieOptions()
    pictures = []
    for picture in draw(volumes, walk, supported, options):
        pictures.append(picture)
        if progress is not None:
            progress(len(pictures), len(volumes))
    if path.suffix:
        if options.loop == "ping-pong":
            pictures = [pictures[i] for i in there_and_back(len(pictures))]
        write(path, pictures, fps, overwrite)
        return
    with replacing_folder(path, overwrite) as part:
        write_pngs(part, pictures)
        fill_series(part, volumes)


def draw(
    volumes: Sequence[Volume],
    walk: Trajectory,
    supported: np.ndarray | None = None,
    options: MovieOptions | None = None,
) -> Iterator[np.ndarray]:
    """Draw each map at the same σ, level and camera, with its caption and a scale bar."""
    options = options or MovieOptions()
    sigma = common_sigma(volumes)
    level = options.level or suggest_level(volumes, sigma)
    view = options.view
    if view.extent is None:
        view = framing(volumes, level, view, sigma)
    for index, volume in enumerate(volumes):
        picture = surface(volume, level, view, options.style, sigma)
        caption = walk.captions[index] if walk.captions else ""
        bare = supported is not None and not supported[index]
        yield annotate(picture, caption, view.pixel_size(volume), UNSUPPORTED if bare else "")


def there_and_back(count: int) -> list[int]:
    """Frame numbers of a loop without a halt at either end: 0 1 2 3 2 1."""
    return [*range(count), *range(count - 2, 0, -1)]


def _stoppable(progress: Progress | None, stop: Callable[[], bool] | None) -> Progress:
    """Join the two callbacks."""

    def tell(done: int, of: int) -> None:
        if progress is not None:
            progress(done, of)
        if stop is not None and stop():
            raise Stopped("The movie was stopped; nothing was written.")

    return tell
