"""``cryodeco regroup``: clusters merged, split, cut out and named by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from napari_cryodeco.commands.common import chosen_rows, clusters_of, open_run, say_clusters
from napari_cryodeco.terminal import Bar, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_cryodeco.explore.cluster_edit import Edit
    from napari_cryodeco.explore.landscape import Clustering
    from napari_cryodeco.runs.run import Run

_FLAG = Parameter(negative="")


def regroup(
    run: Path,
    /,
    *,
    merge: str | None = None,
    split: int | None = None,
    take: str | None = None,
    rename: int | None = None,
    name: str = "",
    into: int = 2,
    method: Literal["gmm", "kmeans"] = "gmm",
    seed: int = 0,
    undo: Annotated[bool, _FLAG] = False,
    again: Path | None = None,
    epoch: int | None = None,
) -> None:
    """Change the newest clusters by hand; the computed ones stay, and --undo goes back to them.

    Parameters
    ----------
    run
        Run directory.
    merge
        Numbers of clusters, from 1, as 2,3: they become one.
    split
        Number of a cluster that falls into --into parts.
    take
        Name of a selection kept with the run: it becomes a cluster of its own.
    rename
        Number of a cluster that gets the name --name; an empty name takes its name away.
    name
        Of the cluster that comes of it.
    into
        Parts of a split.
    method
        Of a split: Gaussian mixture or k-means.
    seed
        Of a split.
    undo
        Take back what was done last.
    again
        File of clusters changed by hand, of this or another run
        (RUN/views/NNNN-METHOD-K-handN.safetensors): all that was done to them is done to the newest
        clusters here.
    epoch
        Number of an epoch; the newest where not given.
    """
    acts = (merge, split, take, rename, again)
    if sum(act is not None for act in acts) + undo != 1:
        raise ValueError(
            "regroup needs one of --merge 2,3, --split I, --take NAME, --rename I, --undo and "
            "--again FILE."
        )
    opened = open_run(run)
    from napari_cryodeco.explore import landscape

    views, number = opened.paths.views, opened.epoch(epoch).number
    if undo:
        say_clusters(landscape.undo_edit(views, number))
        return
    clusters = clusters_of(opened, number)
    if again is not None:
        edits = _edits_of(again, clusters)
    elif merge is not None:
        edits = (_edit("merge", clusters=_numbers(merge), name=name),)
    elif split is not None:
        edits = (
            _edit("split", clusters=(split,), name=name, parts=into, method=method, seed=seed),
        )
    elif rename is not None:
        edits = (_edit("rename", clusters=(rename,), name=name),)
    else:
        edits = (_take(opened, str(take), name),)
    for made in _done(opened, number, clusters, edits):  # each is kept, so that each is undone
        say(f"{landscape.save(made, views)}: {made.edits[-1].words()}")
        clusters = made
    say_clusters(clusters)


def _edit(kind: Literal["merge", "split", "rename"], **values: object) -> Edit:
    from napari_cryodeco.explore.cluster_edit import Edit

    return Edit(kind, **values)  # type: ignore[arg-type]  # checked by cyclopts


def _numbers(text: str) -> tuple[int, ...]:
    numbers = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() for part in numbers):
        raise ValueError(f"--merge {text}: write numbers of clusters, as 2,3.")
    return tuple(int(part) for part in numbers)


def _take(run: Run, selection: str, name: str) -> Edit:
    import numpy as np

    from napari_cryodeco.explore.regroup import take
    from napari_cryodeco.explore.shelf import load_all

    rows, _ = chosen_rows(run, "regroup", None, None, selection)
    mask = np.zeros(len(run.particles), bool)
    mask[rows] = True
    steps = next(s.recipe.steps for s in load_all(run.paths.selections) if s.name == selection)
    return take(mask, name, steps)


def _edits_of(file: Path, clusters: Clustering) -> tuple[Edit, ...]:
    """What was done by hand in a file, if these clusters are as many as those were."""
    from napari_cryodeco.explore.landscape import Clustering, load

    found = load(file)
    if not isinstance(found, Clustering) or not found.edits:
        raise ValueError(f"{file}: nothing was done by hand to clusters in this file.")
    if len(clusters.centres) != found.computed:
        raise ValueError(
            f"{file} began with {found.computed} clusters, but the newest here are "
            f"{len(clusters.centres)}: run `cryodeco cluster` for {found.computed} first."
        )
    return found.edits


def _done(
    run: Run, epoch: int, clusters: Clustering, edits: tuple[Edit, ...]
) -> Iterator[Clustering]:
    from napari_cryodeco.explore import landscape, regroup
    from napari_cryodeco.explore.epoch_columns import EpochColumns

    columns = EpochColumns.of_run(run, epoch)
    space = columns.latents
    if any(edit.kind == "split" for edit in edits):
        with Bar("UMAP") as bar:
            views = run.paths.views
            space = landscape.kept_space(views, columns.latents, epoch, clusters.seed, bar.count)
    return regroup.done_again(clusters, edits, columns, space)
