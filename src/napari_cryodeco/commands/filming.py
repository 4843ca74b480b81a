"""``cryodeco movie``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_cryodeco.atomic import refuse_existing
from napari_cryodeco.commands.common import Output, clusters_of, open_run, warn_of_unsupported
from napari_cryodeco.explore.route import Spacing
from napari_cryodeco.explore.turning import Axis, Turn
from napari_cryodeco.terminal import Bar, say

if TYPE_CHECKING:
    import numpy as np

    from napari_cryodeco.explore.trajectory import Trajectory
    from napari_cryodeco.runs.run import Run

_SIDES = (96, 4096)  # pixels


def movie(
    run: Path,
    /,
    *,
    output: Output,
    pc: int = 1,
    from_: Annotated[float, Parameter(name="--from")] = 5.0,
    to: float = 95.0,
    spacing: Spacing = "linear",
    frames: int = 20,
    fps: float = 10.0,
    ping_pong: bool = False,
    spin: float = 0.0,
    wiggle: float = 0.0,
    axis: Axis = "vertical",
    inset: Annotated[bool, Parameter(negative="")] = False,
    side: int = 480,
    low_pass: float | None = None,
    b_factor: float = 0.0,
    path: Path | None = None,
    tour: Annotated[bool, Parameter(negative="")] = False,
    overwrite: bool = False,
) -> None:
    """Film the motion along one principal component of z, or along a saved path.

    Parameters
    ----------
    run
        Run directory.
    output
        FILE.mp4, FILE.gif, FILE.mrc for all maps in one 4-D file, or a folder for pictures and MRC
        maps.
    pc
        Principal component, from 1.
    from_
        Percentile of the particles where it begins.
    to
        Percentile where it ends.
    spacing
        linear: equal steps of the component; percentile: equal numbers of particles between frames.
    frames
        Number of maps.
    fps
        Frames per second.
    ping_pong
        Go there and back.
    spin
        Degrees that the molecule turns over the movie while it moves; negative: the other way.
    wiggle
        In place of a spin, degrees from one side to the other, once there and back.
    axis
        Of the turn: vertical (upright in the picture), horizontal, or sight (the line of sight).
    inset
        A small map of the latents in each picture, with the path and where the picture is on it.
    side
        Height and width of the pictures in pixels.
    low_pass
        Resolution in Å to filter the maps to.
    b_factor
        Å²; amplitudes are multiplied by exp(−B s²/4): negative sharpens, as in RELION.
    path
        JSON file of a path (`cryodeco path`, or Save path in the window), in place of a component;
        its own frames are filmed.
    tour
        In place of a component: halt at the centre of each cluster, 12 frames each, named with its
        share of the particles; best with --spin 360 --inset.
    overwrite
        Replace a file or folder of this name.
    """
    refuse_existing(output, overwrite)
    if spin and wiggle:
        raise ValueError("--spin turns round and --wiggle to either side: give one of them.")
    if not _SIDES[0] <= side <= _SIDES[1]:
        raise ValueError(f"--side {side}: choose {_SIDES[0]} to {_SIDES[1]} pixels.")
    turn = Turn(spin or wiggle, axis, bool(wiggle))
    if tour and path is not None:
        raise ValueError("--tour goes to the clusters and --path along a file: give one of them.")
    opened = open_run(run)
    epoch = opened.epoch()
    from napari_cryodeco.explore import movie as film
    from napari_cryodeco.explore import trajectory
    from napari_cryodeco.explore.render import View

    latents = epoch.latents()
    if tour:
        walk = _tour(opened, latents)
    elif path is None:
        walk = trajectory.pc_traverse(latents, pc, from_, to, frames, spacing)
    else:
        walk = trajectory.load_for(opened.path, path, latents.shape[1])
    options = film.MovieOptions(
        loop="ping-pong" if ping_pong else "once",
        low_pass=low_pass,
        b_factor=b_factor,
        view=View(size=(side, side)),
        turn=turn,
        inset=film.LatentMap.of(latents, walk.points) if inset else None,
    )
    with Bar("movie") as bar:
        written = film.write_movie(
            epoch, output, walk, fps, options, progress=bar.count, overwrite=overwrite
        )
    say(f"{output}: {written.frames} frames")
    warn_of_unsupported(written.unsupported)


def _tour(run: Run, latents: np.ndarray) -> Trajectory:
    """From cluster to cluster."""
    from napari_cryodeco.explore.paths import trace
    from napari_cryodeco.explore.tour import tour_of

    return trace(tour_of(clusters_of(run)), latents)
