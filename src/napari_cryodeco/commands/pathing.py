"""``cryodeco path``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
    from napari_cryodeco.explore.route import Anchor
    from napari_cryodeco.runs.run import Run

_COMMAS = Parameter(consume_multiple=True, negative="")


def path(
    run: Path,
    /,
    *,
    rows: Annotated[list[int] | None, _COMMAS] = None,
    clusters: Annotated[list[int] | None, _COMMAS] = None,
    join: Literal["graph", "dense", "line", "tour"] = "graph",
    loop: Annotated[bool, Parameter(negative="")] = False,
    frames: int = 20,
    again: Path | None = None,
    epoch: int | None = None,
    output: Annotated[Path | None, Parameter(name=["-o", "--output"])] = None,
    overwrite: bool = False,
) -> None:
    """Make a path through z from point to point, for `cryodeco movie --path`.

    It says for each frame how many particles are near: frames without are extrapolated.

    Parameters
    ----------
    run
        Run directory.
    rows
        Particles that it goes through, in this order: rows of the input, from 0.
    clusters
        In place of particles, the centres of clusters, by number from 1.
    join
        graph: the shortest way from particle to neighbouring particle, which follows bent motions;
        dense: such a way that keeps to crowded places; line: straight; tour:
        halt at each point, with nothing between.
    loop
        Back to the first point.
    frames
        Number of points, equally spaced in z.
    again
        A saved path whose recipe is done again, on this epoch.
    epoch
        Number of an epoch; the newest where not given.
    output
        JSON file; a free name under RUN/trajectories where not given.
    overwrite
        Replace a file of this name.
    """
    if output is not None:
        refuse_existing(output, overwrite)
    if sum(choice is not None for choice in (rows, clusters, again)) != 1:
        raise ValueError("path needs one of --rows I J …, --clusters I J … and --again FILE.json.")
    opened = open_run(run)
    from napari_cryodeco.explore import paths, trajectory
    from napari_cryodeco.explore.route import Route

    found = opened.epoch(epoch)
    latents = found.latents()
    if again is not None:
        route = trajectory.load_route(again)
    else:
        anchors = _anchors(opened, found.number, rows, clusters)
        route = Route(join, frames, loop, anchors=anchors)
    with Bar("neighbours in z") as bar:
        made = paths.trace(route, latents, lambda: paths.Graph.of(latents, bar.count))
    recipe = {"route": route.record(), "epoch": found.number}
    if output is None:
        output = trajectory.keep(made, opened.paths.trajectories, recipe)
    else:
        trajectory.save(made, output, recipe)
    support = trajectory.support(made.points, latents)
    for frame, (number, far) in enumerate(zip(support.particles, support.distance, strict=True)):
        say(f"frame {frame}: {number:,} particles within {support.reach:.3g}, nearest {far:.3g}")
    say(str(output))
    warn_of_unsupported(support.unsupported)


def _anchors(
    run: Run, epoch: int, rows: list[int] | None, clusters: list[int] | None
) -> tuple[Anchor, ...]:
    from napari_cryodeco.explore.route import Anchor

    if clusters is not None:
        found = clusters_of(run, epoch)
        centres, titles = found.centres, found.titles
        require_clusters(run, found, clusters)
        return tuple(Anchor.at(titles[n - 1], centres[n - 1]) for n in clusters)
    latents = run.epoch(epoch).latents()
    for row in rows or ():
        if not 0 <= row < len(latents):
            raise ValueError(f"row {row}: {run.path} has rows 0 to {len(latents) - 1}.")
    return tuple(Anchor.at(f"particle {row + 1:,}", latents[row]) for row in rows or ())
