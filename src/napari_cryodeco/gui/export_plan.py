"""What an export would write, said before it writes: files, counts, warnings. No Qt."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_cryodeco.gui.export_choice import CRYOSPARC, NO_CLUSTERS, NUMBERS, STAR, Format

if TYPE_CHECKING:
    from napari_cryodeco.explore.bundle import BundleOptions
    from napari_cryodeco.explore.figure import Group
    from napari_cryodeco.explore.landscape import Clustering
    from napari_cryodeco.explore.mapback import MapBack
    from napari_cryodeco.gui.background import Report
    from napari_cryodeco.gui.snapshot import Snapshot
    from napari_cryodeco.runs.checkpoint import Epoch


class What(StrEnum):
    """What is written."""

    PARTICLES = "particles"
    BUNDLE = "bundle: particles, maps, figure, methods"
    MAPS = "map of each cluster"
    RUN = "the whole run, for other programs"


@dataclass(frozen=True, eq=False)
class Order:
    """An export as the user asked for it.

    Parameters
    ----------
    what, groups
        What is written, and of which particles; `groups` is empty for `What.MAPS` and `What.RUN`.
    apart
        Whether groups are written as files of their own in a folder.
    target
        File or folder to write.
    kind
        Of particle files.
    with_images
        Beside a STAR file a float32 copy of the images.
    onto, mapped
        Another file of the same particles whose rows are written, and where they lie in it once
        that was looked up (all particles of the run).
    datadir
        Folder of the stacks of that other file, where they are not near it.
    partial
        Leave out what that file has not.
    replace
        Replace what is there under that name.
    options
        Of a bundle.
    """

    what: What
    target: Path
    groups: tuple[Group, ...] = ()
    apart: bool = False
    kind: Format = STAR
    with_images: bool = False
    onto: Path | None = None
    mapped: MapBack | None = None
    datadir: Path | None = None
    partial: bool = False
    replace: bool = False
    options: BundleOptions | None = None


@dataclass(frozen=True)
class Entry:
    """A file that will be written, and what it holds."""

    name: str
    holds: str


@dataclass(frozen=True)
class Plan:
    """What will be written, in a sentence and file by file.

    Parameters
    ----------
    sentence
        What, of what, where to.
    entries
        Every file.
    warnings
        What the user should know before.
    obstacle
        Why it cannot be written now, with the cure; empty when it can.
    """

    sentence: str
    entries: tuple[Entry, ...] = ()
    warnings: tuple[str, ...] = field(default=())
    obstacle: str = ""


def make_plan(order: Order, snapshot: Snapshot) -> Plan:
    """Say what an order would write; nothing is written, and no large file read.

    Raises
    ------
    ValueError
        One sentence, where the order has no meaning for this run.
    """
    entries = tuple(_ENTRIES[order.what](order, snapshot))
    warnings = [*_missing(order), *_shared(order.groups), *_left_over(order, snapshot)]
    warnings += _elsewhere(order, snapshot)
    obstacle = _obstacle(order) or _images_elsewhere(order, snapshot)
    return Plan(_sentence(order, snapshot, entries), entries, tuple(warnings), obstacle)


def carry_out(order: Order, snapshot: Snapshot, report: Report) -> str:
    """Write what `make_plan` said; return what to say. Takes seconds to minutes."""
    from napari_cryodeco.explore import batch, exporting, subset  # torch
    from napari_cryodeco.explore.bundle import write_bundle
    from napari_cryodeco.explore.mapback import write_mapped

    run, target = snapshot.run, order.target
    run.check_source()
    if order.what is What.RUN:
        exporting.export_run(run, target, report, order.replace)
        return f"{target}: latents.npy, particles.star and maps of the whole run written."
    if order.what is What.MAPS:
        centres = _clusters(snapshot).centres
        made = exporting.export_maps(run, centres, target, report, order.replace, snapshot.epoch)
        return f"{target}: {len(made)} maps written."
    if order.what is What.BUNDLE:
        bundle = write_bundle(
            run, order.groups, target, order.options, snapshot.epoch, order.replace, report
        )
        return "\n".join([f"{bundle.path}: {bundle.files} files written.", *bundle.warnings])
    rows = order.groups[0].rows
    if order.apart:
        written = batch.write_each(
            run.particles,
            order.groups,
            target,
            order.kind.suffix,
            order.mapped,
            order.partial,
            order.replace,
            report,
            order.datadir,
        )
    elif order.mapped is not None:
        mapped = order.mapped.only(rows)
        written = write_mapped(mapped, target, order.datadir, None, order.partial, order.replace)
    elif order.with_images:
        written = subset.write_with_images(rows, run.particles, target, None, order.replace, report)
    else:
        written = subset.write(rows, run.particles, target, None, order.replace)
    said = f"{written.path}: {written.count:,} particles written and read back."
    return "\n".join([said, *written.warnings])


# ---- files


def _particle_files(order: Order, snapshot: Snapshot) -> list[Entry]:
    source = order.onto or snapshot.run.particles.source
    if order.kind is CRYOSPARC and source.suffix.lower() != ".cs":
        raise ValueError(f"{source.name} has no .cs fields: choose STAR.")
    if order.onto is not None and order.kind is NUMBERS:
        raise ValueError(
            "Row numbers are those of the run's own file: choose STAR or .cs for rows of another."
        )
    if order.apart:
        return [
            Entry(f"{name}{order.kind.suffix}", _particles(order, group))
            for group, name in _named(order)
        ]
    if order.target.suffix.lower() != order.kind.suffix:
        raise ValueError(
            f"{order.target.name}: a file of this format ends in {order.kind.suffix}; choose such "
            "a name or another format."
        )
    found = [Entry(order.target.name, _particles(order, order.groups[0]))]
    if order.with_images:
        count = len(order.groups[0].rows)
        images = Entry(order.target.with_suffix(".mrcs").name, f"{count:,} images, float32")
        return [*found, images]
    return found


def _bundle_files(order: Order, snapshot: Snapshot) -> list[Entry]:
    from napari_cryodeco.explore.backprojection import FEWEST
    from napari_cryodeco.explore.bundle import suffixes

    epoch, options = _decodable(snapshot), order.options
    if not epoch.has_poses:
        raise ValueError(
            "These latents came without orientations, which a bundle needs: write the particles "
            "alone."
        )
    found = []
    for group, name in _named(order):
        for suffix in suffixes(order.onto or snapshot.run.particles.source):
            found.append(Entry(f"particles/{name}{suffix}", _particles(order, group)))
        found.append(Entry(f"maps/{name}.mrc", "decoded map at the mean z"))
        found += [Entry(f"cards/{name}{s}", "go, careful or no-go") for s in (".txt", ".json")]
        if options is not None and options.half_maps and len(group.rows) >= FEWEST:
            for kind in ("half_map_1.mrc", "half_map_2.mrc", "map.mrc", "fsc.json"):
                found.append(Entry(f"half_maps/{name}_{kind}", "of the particles themselves"))
    if not snapshot.run.config.rigid:
        found += [Entry(f"view{s}", "the plot with the groups") for s in (".png", ".svg")]
    words = {
        "open.cxc": "opens the maps in ChimeraX: this camera, level and colours",
        "methods.txt": "what was done, versions, citation",
        "settings/run.yaml": "all settings",
        "README.txt": "what each file is, with counts",
        "SHA256SUMS": "checksums",
    }
    return [*found, *(Entry(name, holds) for name, holds in words.items())]


def _map_files(order: Order, snapshot: Snapshot) -> list[Entry]:
    clustering = _clusters(snapshot)
    _decodable(snapshot)
    counts = enumerate(clustering.counts.tolist(), 1)
    return [Entry(f"class_{n:03d}.mrc", f"map at the mean z of {c:,} particles") for n, c in counts]


def _run_files(order: Order, snapshot: Snapshot) -> list[Entry]:
    n, size = snapshot.latents.shape
    return [
        Entry("latents.npy", f"({n:,}, {size}) float32, row i is particle i"),
        Entry("particles.star", f"{n:,} particles with orientations and classes"),
        Entry("maps/class_NNN.mrc", "a map of each class, in Å"),
        Entry("README.txt", "what each file is, with counts"),
    ]


_ENTRIES = {
    What.PARTICLES: _particle_files,
    What.BUNDLE: _bundle_files,
    What.MAPS: _map_files,
    What.RUN: _run_files,
}


def _named(order: Order) -> list[tuple[Group, str]]:
    from napari_cryodeco.explore.batch import file_names

    return list(zip(order.groups, file_names(order.groups), strict=True))


def _particles(order: Order, group: Group) -> str:
    count = len(group.rows)
    if order.mapped is None:
        return f"{count:,} particles"
    there = order.mapped.only(group.rows).matched
    return f"{there:,} of {count:,} particles" if there < count else f"{count:,} particles"


def _together(groups: tuple[Group, ...]) -> np.ndarray:
    """Rows of any of the groups, each once."""
    if len(groups) == 1:
        return groups[0].rows
    return np.unique(np.concatenate([group.rows for group in groups]))


def _clusters(snapshot: Snapshot) -> Clustering:
    if snapshot.clustering is None:
        raise ValueError(NO_CLUSTERS)
    return snapshot.clustering


def _decodable(snapshot: Snapshot) -> Epoch:
    epoch = snapshot.run.epoch(snapshot.epoch)
    if not epoch.has_decoder:
        raise ValueError(
            "These latents came without a decoder, so there are no decoded maps to write: write "
            "the particles, or maps of the particles (Evidence)."
        )
    return epoch


# ---- words


def _sentence(order: Order, snapshot: Snapshot, entries: tuple[Entry, ...]) -> str:
    n = len(snapshot.latents)
    files = "1 file" if len(entries) == 1 else f"{len(entries)} files"
    if order.what in (What.MAPS, What.RUN):
        files = "maps and files" if order.what is What.RUN else files
        return f"{files} of epoch {snapshot.epoch}, into the new folder {order.target}."
    count = len(_together(order.groups))
    share = f"{100 * count / max(n, 1):.1f} %"
    source = (order.onto or snapshot.run.particles.source).name
    kept = f", {order.kind.kept}" if order.what is What.PARTICLES else ""
    folder = order.apart or order.what is What.BUNDLE
    place = f"{files}, in the folder {order.target}" if folder else f"to {order.target}"
    return f"{count:,} of {n:,} particles ({share}) of {source}{kept}: {place}."


def _missing(order: Order) -> list[str]:
    """What the other file has not, over all groups."""
    if order.mapped is None or not order.groups:
        return []
    found = order.mapped.only(_together(order.groups))
    if found.complete:
        return []
    what = "are left out" if order.partial else "have no certain row"
    ambiguous = int(found.ambiguous.sum())
    return [
        f"{found.unmatched + ambiguous:,} particles {what} in {found.original.name}: "
        f"{found.unmatched:,} unmatched, {ambiguous:,} ambiguous."
    ]


def _shared(groups: tuple[Group, ...]) -> list[str]:
    if len(groups) < 2:
        return []
    twice = sum(len(group.rows) for group in groups) - len(_together(groups))
    return [f"{twice:,} times a particle is in a second group, too."] if twice else []


def _left_over(order: Order, snapshot: Snapshot) -> list[str]:
    if not order.apart:
        return []
    rest = len(snapshot.latents) - len(_together(order.groups))
    return [f"{rest:,} particles are in no group and in no file."] if rest else []


def _elsewhere(order: Order, snapshot: Snapshot) -> list[str]:
    """Where names of images lead, of a run on another machine."""
    mirrored, maps = snapshot.run.mirrored, order.what is What.MAPS
    if mirrored is None or maps or order.kind is NUMBERS:
        return []
    return [
        f"Images are named as they lie on {mirrored.host}: take the particle files there to use "
        "them."
    ]


def _images_elsewhere(order: Order, snapshot: Snapshot) -> str:
    mirrored = snapshot.run.mirrored
    half_maps = order.options is not None and order.options.half_maps
    if mirrored is None or not (order.with_images or half_maps):
        return ""
    return mirrored.no_images


def _obstacle(order: Order) -> str:
    if order.onto is not None and order.mapped is None:
        return f"Press Match first: where the particles lie in {order.onto.name} is not known yet."
    if order.mapped is not None and order.groups:
        found = order.mapped.only(_together(order.groups))
        if not found.matched:
            return f"None of these particles is in {found.original.name}: choose the right file."
        if not found.complete and not order.partial:
            return "Tick 'leave these out' to write the others, or choose the right file."
    taken = [order.target, *([order.target.with_suffix(".mrcs")] if order.with_images else [])]
    for path in taken:
        if path.exists() and not order.replace:
            return f"{path} exists already: choose another name, or tick 'replace it'."
    return ""
