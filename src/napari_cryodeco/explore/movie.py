"""Movies of a path through the latents: decode, draw at one scale and level, write.

`progress(done, of)` is told after each map and each picture; when `stop()` answers True the work
ends in :class:`Stopped` and nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from napari_cryodeco.atomic import refuse_existing, replacing_folder
from napari_cryodeco.explore.frames import write, write_pngs, write_series, writer_for
from napari_cryodeco.explore.labels import annotate
from napari_cryodeco.explore.render import Style, View, framing, surface
from napari_cryodeco.explore.trajectory import Support, Trajectory, pc_traverse, support
from napari_cryodeco.explore.volumes import Volume, VolumeDecoder, VolumeRequest, common_sigma
from napari_cryodeco.runs.checkpoint import Epoch
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import write_mrc

__all__ = [
    "MovieFile",
    "MovieOptions",
    "Stopped",
    "draw",
    "there_and_back",
    "write",
    "write_movie",
    "write_pc_movie",
    "write_series",
]

Progress = Callable[[int, int], None]
Thing = TypeVar("Thing")
Loop = Literal["once", "ping-pong"]

UNSUPPORTED = "few particles here"


class Stopped(Exception):
    """The user stopped the work; nothing was written."""


@dataclass(frozen=True)
class MovieOptions:
    """How a movie looks.

    Parameters
    ----------
    level
        Surface level in σ, the same σ for all frames.
    fps
        Frames per second.
    loop
        ``"once"``, or ``"ping-pong"``: there and back.
    low_pass
        Å, or None.
    view, style
        Camera and colours; a view without an extent is fitted to what the frames show.
    device
        Where maps are decoded.
    """

    level: float = 3.0
    fps: float = 10.0
    loop: Loop = "ping-pong"
    low_pass: float | None = None
    view: View = field(default_factory=View)
    style: Style = field(default_factory=Style)
    device: str = "cpu"


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
    return write_movie(epoch, path, walk, options, progress, stop, overwrite)


def write_movie(
    epoch: Epoch,
    path: Path | str,
    walk: Trajectory,
    options: MovieOptions | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    overwrite: bool = False,
) -> MovieFile:
    """Film any trajectory through the latents of an epoch, as :func:`write_pc_movie` does."""
    path, options = Path(path), options or MovieOptions()
    writer_for(path)  # a wrong suffix must not cost the decoding of all frames
    refuse_existing(path, overwrite)
    tick = _Ticker(2 * len(walk), progress, stop)
    decoder = VolumeDecoder(epoch.field_path, options.device)
    requests = [VolumeRequest(z, low_pass=options.low_pass) for z in walk.points]
    volumes = list(tick.after_each(decoder.decode_many(requests)))
    backing = support(walk.points, epoch.latents())
    pictures = list(tick.after_each(draw(volumes, walk, backing, options)))
    order = there_and_back(len(pictures)) if options.loop == "ping-pong" else range(len(pictures))
    if path.suffix:
        write(path, (pictures[i] for i in order), options.fps, overwrite)
    else:
        with replacing_folder(path, overwrite) as part:
            write_pngs(part, pictures)
            for index, volume in enumerate(volumes):
                write_mrc(part / f"frame_{index:03d}.mrc", volume.data, volume.voxel_size)
    bare = tuple(int(i) for i in np.flatnonzero(~backing.supported))
    return MovieFile(path, len(pictures), bare)


def draw(
    volumes: Sequence[Volume], walk: Trajectory, backing: Support | None, options: MovieOptions
) -> Iterator[np.ndarray]:
    """Draw each map at the same σ, level and camera, with its caption and a scale bar."""
    sigma = common_sigma(volumes)
    view = options.view
    if view.extent is None:
        view = framing(volumes, options.level, view, sigma)
    for index, volume in enumerate(volumes):
        picture = surface(volume, options.level, view, options.style, sigma)
        caption = walk.captions[index] if walk.captions else ""
        bare = backing is not None and not backing.supported[index]
        pixel = view.pixel_size(volume)
        yield annotate(picture, caption, pixel, UNSUPPORTED if bare else "")


def there_and_back(count: int) -> list[int]:
    """Frame numbers of a loop without a halt at either end: 0 1 2 3 2 1."""
    return [*range(count), *range(count - 2, 0, -1)]


class _Ticker:
    """Counts steps, tells them, and ends the work when asked to."""

    def __init__(
        self, total: int, progress: Progress | None, stop: Callable[[], bool] | None
    ) -> None:
        self._done, self._total = 0, total
        self._progress, self._stop = progress, stop

    def after_each(self, things: Iterable[Thing]) -> Iterator[Thing]:
        """Pass things on, counting."""
        for thing in things:
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._total)
            if self._stop is not None and self._stop():
                raise Stopped("The movie was stopped; nothing was written.")
            yield thing
