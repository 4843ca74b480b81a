"""Movies of a path through the latents: decode, draw at one scale and level, write.

`progress(done, of)` is told after each map and each picture; raising in it, or a `stop()` that
answers True, ends the work and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from napari_cryodeco.atomic import refuse_existing, replacing_folder
from napari_cryodeco.explore.decoders import open_decoder
from napari_cryodeco.explore.frames import (
    Progress,
    fill_series,
    have_ffmpeg,
    is_4d,
    write,
    write_frames,
    write_pngs,
    write_series,
    writer_for,
)
from napari_cryodeco.explore.inset import OFFSET, ROOM, Inset, LatentMap, side_of
from napari_cryodeco.explore.labels import annotate
from napari_cryodeco.explore.render import (
    Style,
    View,
    framing,
    framing_turned,
    suggest_level,
    surface,
)
from napari_cryodeco.explore.trajectory import Trajectory, pc_traverse, support
from napari_cryodeco.explore.turning import Shot, Turn, shots, there_and_back
from napari_cryodeco.explore.volumes import Volume, VolumeRequest, common_sigma
from napari_cryodeco.runs.checkpoint import Epoch
from napari_cryodeco.runs.run import Run

__all__ = [
    "LatentMap",
    "MovieFile",
    "MovieOptions",
    "Shot",
    "Stopped",
    "Turn",
    "draw",
    "film",
    "have_ffmpeg",
    "shots",
    "there_and_back",
    "write",
    "write_frames",
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
    turn
        How the camera turns over the movie; place and zoom stay.
    inset
        A map of the latents for the corner of each picture, or None.
    device
        Where maps are decoded.
    """

    level: float | None = None
    loop: Literal["once", "ping-pong"] = "ping-pong"
    low_pass: float | None = None
    b_factor: float = 0.0
    view: View = field(default_factory=View)
    style: Style = field(default_factory=Style)
    turn: Turn = field(default_factory=Turn)
    inset: LatentMap | None = None
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

    `path` ends in .mp4 or .gif, or in .mrc for all maps in one 4-D file; without a suffix it
    becomes a folder with a picture and a map (``frame_000.png``, ``frame_000.mrc``) for each frame.
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
    if not is_4d(path):
        writer_for(path)  # a wrong suffix must not cost the decoding of all frames
    refuse_existing(path, overwrite)
    count = len(walk)
    pictures = count if is_4d(path) else len(_distinct(path, walk, options))
    tell = _stoppable(progress, stop)
    decoder = open_decoder(epoch, options.device, "auto")
    volumes = []
    points, frames = np.unique(walk.points, axis=0, return_inverse=True)  # a tour halts
    order = dict.fromkeys(frames.reshape(-1).tolist())
    requests = [
        VolumeRequest(points[i], low_pass=options.low_pass, b_factor=options.b_factor)
        for i in order
    ]
    maps, decoded = decoder.decode_many(requests), dict[int, Volume]()
    for frame in frames.reshape(-1).tolist():
        if frame not in decoded:
            decoded[frame] = next(maps)
        volumes.append(decoded[frame])
        tell(len(volumes), count + pictures)
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
    if is_4d(path):
        write_frames(path, volumes, progress, overwrite)
        return
    wanted = _distinct(path, walk, options)
    pictures: dict[Shot, np.ndarray] = {}
    for shot, picture in zip(wanted, draw(volumes, walk, supported, options, wanted), strict=True):
        pictures[shot] = picture
        if progress is not None:
            progress(len(pictures), len(wanted))
    if path.suffix:
        order = _shots(path, walk, options)
        write(path, (pictures[shot] for shot in order), fps, overwrite)
        return
    with replacing_folder(path, overwrite) as part:
        write_pngs(part, list(pictures.values()))
        fill_series(part, volumes)


def draw(
    volumes: Sequence[Volume],
    walk: Trajectory,
    supported: np.ndarray | None = None,
    options: MovieOptions | None = None,
    wanted: Sequence[Shot] | None = None,
) -> Iterator[np.ndarray]:
    """Draw shots (each map once, where none are given) at the same σ, level, place and zoom.

    Each has its caption, a scale bar, and the inset if the options have one.
    """
    options = options or MovieOptions()
    if wanted is None:
        wanted = shots(len(volumes), options.turn)
    sigma = common_sigma(volumes)
    level = options.level or suggest_level(volumes, sigma)
    view = _camera(volumes, wanted, options, level, sigma)
    inset = None
    if options.inset is not None:
        side = side_of(view.size)
        inset = Inset(options.inset, side, options.style.background, supported)
    for index, angle in wanted:
        volume = volumes[index]
        seen = replace(view, rotation=options.turn.rotation(angle) @ view.rotation)
        picture = surface(volume, level, seen, options.style, sigma)
        caption = walk.captions[index] if walk.captions else ""
        bare = supported is not None and not supported[index]
        corner = None if inset is None else inset.picture(index)
        words = UNSUPPORTED if bare else ""
        yield annotate(picture, caption, view.pixel_size(volume), words, corner)


def _shots(path: Path, walk: Trajectory, options: MovieOptions) -> list[Shot]:
    """The pictures of a movie; a folder has one a frame, and no way back."""
    back = bool(path.suffix) and options.loop == "ping-pong"
    return shots(len(walk), options.turn, back, walk.closed)


def _distinct(path: Path, walk: Trajectory, options: MovieOptions) -> list[Shot]:
    """The same without those that come again: on the way back, if nothing turns."""
    return list(dict.fromkeys(_shots(path, walk, options)))


def _camera(
    volumes: Sequence[Volume],
    wanted: Sequence[Shot],
    options: MovieOptions,
    level: float,
    sigma: float,
) -> View:
    """The view of the first picture, fitted to what all pictures show beside the inset."""
    if options.view.extent is not None:
        return options.view
    turn = options.turn
    if turn.degrees:
        shown = [
            (volume, [turn.rotation(angle) for frame, angle in wanted if frame == index])
            for index, volume in enumerate(volumes)
        ]
        view = framing_turned(shown, level, options.view, sigma)
    else:
        view = framing(volumes, level, options.view, sigma)
    if options.inset is None or view.extent is None:
        return view
    return replace(view, extent=ROOM * view.extent, offset=OFFSET)


def _stoppable(progress: Progress | None, stop: Callable[[], bool] | None) -> Progress:
    """Join the two callbacks."""

    def tell(done: int, of: int) -> None:
        if progress is not None:
            progress(done, of)
        if stop is not None and stop():
            raise Stopped("The movie was stopped; nothing was written.")

    return tell
