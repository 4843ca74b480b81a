"""``cryodeco motion``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_cryodeco.atomic import refuse_existing
from napari_cryodeco.commands.common import (
    clusters_of,
    open_run,
    require_clusters,
    warn_of_unsupported,
)
from napari_cryodeco.terminal import Bar, say

if TYPE_CHECKING:
    from napari_cryodeco.explore.domains import Domain
    from napari_cryodeco.explore.motion import Motion
    from napari_cryodeco.explore.trajectory import Trajectory
    from napari_cryodeco.runs.run import Run


def motion(
    run: Path,
    /,
    *,
    output: Annotated[Path, Parameter(name=["-o", "--output", "--out"])],
    component: Annotated[int | None, Parameter(name=["--component", "--pc"])] = None,
    from_: Annotated[float, Parameter(name="--from")] = 5.0,
    to: float = 95.0,
    path: Path | None = None,
    clusters: Annotated[
        tuple[int, int] | None, Parameter(consume_multiple=True, negative="")
    ] = None,
    frames: int = 9,
    least: float | None = None,
    level: float | None = None,
    low_pass: float | None = None,
    b_factor: float = 0.0,
    epoch: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Map where the molecule moves along a path through z, and how far, in Å.

    Writes motion.mrc (Å), spread.mrc (σ), middle.mrc, mean.mrc, motion.png and motion.json with the
    domains that move into a new folder.

    Parameters
    ----------
    run
        Run directory.
    output
        Folder to make.
    component
        Principal component, from 1; the first where nothing else is named.
    from_
        Percentile of the particles where it begins.
    to
        Percentile where it ends.
    path
        JSON file of a path (`cryodeco path`, or Save path in the window), with its own frames.
    clusters
        Two clusters, by number from 1: straight from the centre of one to that of the other.
    frames
        Number of maps along a component or between clusters.
    least
        Å: what moves more is a domain; half of the largest motion where not given.
    level
        Height in σ above which there is density; between solvent and molecule where not given.
    low_pass
        Resolution in Å to filter the maps to.
    b_factor
        Å²; amplitudes are multiplied by exp(−B s²/4): negative sharpens, as in RELION.
    epoch
        Number of an epoch; the newest where not given.
    device
        auto, cpu, cuda:0 … or mps.
    overwrite
        Replace a folder of this name.
    """
    refuse_existing(output, overwrite)
    if sum(choice is not None for choice in (component, path, clusters)) > 1:
        raise ValueError("motion takes one of --component I, --path FILE.json and --clusters I J.")
    if frames < 2:
        raise ValueError(f"--frames {frames}: a motion needs at least 2 maps.")
    opened = open_run(run)
    from napari_cryodeco.explore import motion as moving
    from napari_cryodeco.explore import trajectory
    from napari_cryodeco.explore.decoders import open_decoder
    from napari_cryodeco.explore.domains import moving_domains, suggest_least
    from napari_cryodeco.explore.landscape import NO_LATENTS
    from napari_cryodeco.explore.motion_files import write_motion

    if opened.config.rigid:
        raise ValueError(NO_LATENTS)
    found = opened.epoch(epoch)
    latents = found.latents()
    first = 1 if component is None else component
    if path is not None:
        walk = trajectory.load_for(opened.path, path, latents.shape[1])
    elif clusters is not None:
        walk = _between(opened, found.number, clusters, frames)
    else:
        walk = trajectory.pc_traverse(latents, first, from_, to, frames)
    decoder = open_decoder(found, device, "auto")
    with Bar("motion") as bar:
        made = moving.motion_along(decoder, walk.points, low_pass, b_factor, level, bar.count)
    least = suggest_least(made) if least is None else least
    domains = moving_domains(made, least)
    write_motion(made, domains, least, output, walk.name, overwrite=overwrite)
    _say_all(made, domains, least)
    say(str(output))
    warn_of_unsupported(trajectory.support(walk.points, latents).unsupported)


def _between(run: Run, epoch: int, numbers: tuple[int, int], frames: int) -> Trajectory:
    from napari_cryodeco.explore.trajectory import through

    clusters = clusters_of(run, epoch)
    require_clusters(run, clusters, numbers)
    first, second = numbers
    ends = clusters.centres[[first - 1, second - 1]]
    return through(ends, frames, f"cluster {first} to cluster {second}")


def _say_all(made: Motion, domains: tuple[Domain, ...], least: float) -> None:
    for sentence in made.sentences:
        say(sentence)
    if not domains:
        say(f"No connected part moves more than {least:.1f} Å.")
    for number, one in enumerate(domains, 1):
        x, y, z = one.centre
        say(
            f"domain {number}: {one.volume:,.0f} Å³ about ({x:.0f}, {y:.0f}, {z:.0f}) Å move "
            f"{one.mean:.1f} Å on average, {one.most:.1f} Å at most; as a rigid body it turns "
            f"{one.turn:.0f}° and shifts {one.shift:.1f} Å (correlation {one.fit:.2f})."
        )
