"""Clusters changed by hand: merged, split, cut out of a selection, named. The computed ones stay.

Each act makes a new `Clustering`; numbers close up in order: a merged cluster stands where the
first of them stood, the parts of a split one after the other, a cluster cut out of others after the
one that gave most. What is done twice, merged and cut apart again by the old members, is as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_cryodeco.explore.cluster_edit import Edit
from napari_cryodeco.explore.clustering import features_of, fit
from napari_cryodeco.explore.partition import Clustering
from napari_cryodeco.explore.projection import checked
from napari_cryodeco.explore.recipe import Step, pack, unpack
from napari_cryodeco.explore.replay import replay

if TYPE_CHECKING:
    from napari_cryodeco.explore.epoch_columns import EpochColumns

LONGEST_NAME = 40
# what else stands in lists of groups beside clusters
RESERVED = (
    "unassigned",
    "other",
    "selected particles",
    "all but the selected ones",
    "all particles",
)


@dataclass(frozen=True, eq=False)
class _Groups:
    """Clusters in the making, each of which is what some old ones (from 0) became.

    `labels` ``(n,)``, `posteriors` ``(n, k)``, `source` the old cluster whose centre each of the k
    keeps, or −1 where it is another one now, and the `names`.
    """

    labels: np.ndarray
    posteriors: np.ndarray
    source: tuple[int, ...]
    names: tuple[str, ...]


def edited(
    clusters: Clustering, edit: Edit, latents: np.ndarray, space: np.ndarray | None = None
) -> Clustering:
    """Do one act on clusters of latents ``(n, d)``.

    Parameters
    ----------
    space
        ``(n, c)`` where the clusters were sought, in which a split is sought, too; None: z.

    Raises
    ------
    ValueError
        When there is no such cluster, the name is taken, or nothing would change.
    """
    _check_numbers(clusters, edit)
    if edit.kind == "merge":
        made = _merged(clusters, edit)
    elif edit.kind == "split":
        made = _split(clusters, edit, checked(latents if space is None else space))
    elif edit.kind == "take":
        made = _taken(clusters, edit, unpack(edit.packed, len(clusters.labels)))
    else:
        made = _renamed(clusters, edit)
    _check_names(made.names)
    centres, rows = _centres(clusters, made, latents)
    return replace(
        clusters,
        labels=made.labels,
        posteriors=made.posteriors,
        centres=centres,
        rows=rows,
        names=made.names if any(made.names) else (),
        edits=(*clusters.edits, edit),
        before=clusters.fingerprint,
        computed=clusters.computed or len(clusters.centres),
    )


def done_again(
    clusters: Clustering, edits: Iterable[Edit], columns: EpochColumns, space: np.ndarray
) -> Iterator[Clustering]:
    """Do all acts again on other clusters: of another epoch, of a run trained anew; yield each.

    Parameters
    ----------
    columns
        Of that epoch; selections that were cut out are selected again in them.
    """
    for edit in edits:
        if edit.kind == "take" and edit.steps:
            mask = replay(edit.steps, replace(columns, clustering=clusters))
            if not mask.any():
                raise ValueError(f"{edit.words()}: the selection is empty here.")
            edit = take(mask, edit.name, edit.steps)
        clusters = edited(clusters, edit, columns.latents, space)
        yield clusters


def take(mask: np.ndarray, name: str = "", steps: tuple[Step, ...] = ()) -> Edit:
    """The act that makes particles ``(n,)`` bool, selected by `steps`, a cluster of their own."""
    if not mask.any():
        raise ValueError("Nothing is selected: select the particles of the new cluster first.")
    return Edit("take", name=name, packed=pack(mask), steps=steps)


def _check_numbers(clusters: Clustering, edit: Edit) -> None:
    k = len(clusters.centres)
    for number in edit.clusters:
        if not 1 <= number <= k:
            raise ValueError(f"There is no cluster {number}: they are numbered from 1 to {k}.")
    wanted = {"merge": range(2, k + 1), "take": range(1)}.get(edit.kind, range(1, 2))
    if len(set(edit.clusters)) not in wanted:
        raise ValueError(
            "Merge takes two clusters or more." if edit.kind == "merge" else "Name one cluster."
        )


def _check_names(names: tuple[str, ...]) -> None:
    given = [name for name in names if name]
    for name in given:
        if len(name) > LONGEST_NAME or not name.isprintable() or name != name.strip():
            raise ValueError(f"'{name}': a name has at most {LONGEST_NAME} plain characters.")
        if name.isdigit() or name.lower().startswith("cluster "):
            raise ValueError(
                f"'{name}' is what a cluster without a name is called: choose another."
            )
        if name.lower() in RESERVED:
            raise ValueError(f"'{name}' is the name of other particles: choose another.")
        if given.count(name) > 1:
            raise ValueError(f"A cluster is named '{name}' already: choose another name.")


def _begun(clusters: Clustering) -> _Groups:
    k = len(clusters.centres)
    return _Groups(
        clusters.labels, clusters.posteriors, tuple(range(k)), clusters.names or ("",) * k
    )


def _merged(clusters: Clustering, edit: Edit) -> _Groups:
    start = _begun(clusters)
    old = sorted({number - 1 for number in edit.clusters})
    given = [start.names[one] for one in old if start.names[one]]
    name = edit.name or (given[0] if len(given) == 1 else "")
    rank = np.arange(len(start.source) + 1)
    rank[-1] = -1  # of the unassigned
    kept = [one for one in range(len(start.source)) if one not in old[1:]]
    for place, one in enumerate(kept):
        rank[one] = place
    rank[old] = rank[old[0]]
    posteriors = start.posteriors[:, kept].copy()
    posteriors[:, rank[old[0]]] = start.posteriors[:, old].sum(1)
    source = tuple(-1 if one == old[0] else one for one in kept)
    names = tuple(name if one == old[0] else start.names[one] for one in kept)
    return _Groups(rank[start.labels], posteriors, source, names)


def _split(clusters: Clustering, edit: Edit, space: np.ndarray) -> _Groups:
    start, old = _begun(clusters), edit.clusters[0] - 1
    members = np.flatnonzero(start.labels == old)
    if not 2 <= edit.parts <= len(members):
        raise ValueError(
            f"Cluster {old + 1} has {len(members):,} particles and cannot be split into "
            f"{edit.parts} parts."
        )
    features = features_of(space[members], edit.parts, edit.method)
    labels, share, _ = fit(features, edit.parts, edit.method, edit.seed)
    if len(np.unique(labels)) < edit.parts:
        raise ValueError(
            f"Cluster {old + 1} does not fall into {edit.parts} parts: try fewer, or k-means."
        )
    order = np.argsort([features[labels == one, 0].mean() for one in range(edit.parts)])
    rank = np.argsort(order)
    centres = np.stack([space[members[labels == one]].mean(0) for one in order])
    shares = _nearest(space, centres)
    shares[members] = share[:, order]
    new = start.labels + (edit.parts - 1) * (start.labels > old)
    new[members] = old + rank[labels]
    parts = start.posteriors[:, old : old + 1] * shares
    before, after = start.posteriors[:, :old], start.posteriors[:, old + 1 :]
    posteriors = np.concatenate([before, parts, after], 1).astype(np.float32)
    first = edit.name or start.names[old]
    named = [f"{first} {letter + 1}" if first else "" for letter in range(edit.parts)]
    return _Groups(
        new,
        posteriors,
        (*range(old), *[-1] * edit.parts, *range(old + 1, len(start.source))),
        (*start.names[:old], *named, *start.names[old + 1 :]),
    )


def _nearest(space: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """``(n, k)`` 1 for the nearest centre: what others may have of the split cluster goes there."""
    distance = np.stack([((space - centre) ** 2).sum(1) for centre in centres], 1)
    shares: np.ndarray = np.eye(len(centres))[distance.argmin(1)]
    return shares


def _taken(clusters: Clustering, edit: Edit, mask: np.ndarray) -> _Groups:
    start = _begun(clusters)
    k = len(start.source)
    given = np.bincount(start.labels[mask] + 1, minlength=k + 1)[1:]
    whole = (given > 0) & (given == clusters.counts)
    if whole.sum() == 1 and given.sum() == mask.sum() == given[whole][0]:
        raise ValueError(f"The selection is cluster {int(whole.argmax()) + 1} already: name that.")
    after = int(given.argmax()) if given.any() else k - 1
    # What a particle had of its old cluster is what it now has of the new one; of the others
    # nothing is known beyond their own posteriors.
    old = start.labels[mask]
    rows = np.flatnonzero(mask)[old >= 0]
    posteriors = np.insert(start.posteriors, after + 1, 0, axis=1)
    places = np.arange(k) + (np.arange(k) > after)
    moved = places[old[old >= 0]]
    posteriors[rows, after + 1] = posteriors[rows, moved]
    posteriors[rows, moved] = 0
    labels = np.where(start.labels >= 0, places[np.maximum(start.labels, 0)], -1)
    labels[mask] = after + 1
    touched = tuple(-1 if given[one] else one for one in range(k))
    source = (*touched[: after + 1], -1, *touched[after + 1 :])
    names = (*start.names[: after + 1], edit.name, *start.names[after + 1 :])
    made = _Groups(labels, posteriors, source, names)
    return _without(made, places[np.flatnonzero(whole)], after + 1)


def _without(made: _Groups, gone: np.ndarray, heir: int) -> _Groups:
    """Without clusters that gave all their particles; what is left of their posteriors goes too."""
    if not len(gone):
        return made
    kept = [one for one in range(len(made.source)) if one not in gone]
    posteriors = made.posteriors.copy()
    posteriors[:, heir] += posteriors[:, gone].sum(1)
    rank = np.full(len(made.source) + 1, -1)
    rank[kept] = np.arange(len(kept))
    source = tuple(made.source[one] for one in kept)
    names = tuple(made.names[one] for one in kept)
    return _Groups(rank[made.labels], posteriors[:, kept], source, names)


def _renamed(clusters: Clustering, edit: Edit) -> _Groups:
    start, place = _begun(clusters), edit.clusters[0] - 1
    if edit.name == start.names[place]:
        raise ValueError(f"Cluster {place + 1} is named so already.")
    names = (*start.names[:place], edit.name, *start.names[place + 1 :])
    return replace(start, names=names)


def _centres(
    clusters: Clustering, made: _Groups, latents: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Centres ``(k, d)`` and nearest rows ``(k,)``; those of untouched clusters are kept."""
    z = checked(latents)
    centres = np.empty((len(made.source), z.shape[1]), np.float32)
    rows = np.empty(len(made.source), np.int64)
    for place, old in enumerate(made.source):
        if old >= 0:
            centres[place], rows[place] = clusters.centres[old], clusters.rows[old]
            continue
        members = np.flatnonzero(made.labels == place)
        if not len(members):
            raise ValueError("These clusters have no particles: there is nothing to merge.")
        centre = z[members].mean(0)
        centres[place] = centre
        rows[place] = members[((z[members] - centre) ** 2).sum(1).argmin()]
    return centres, rows
