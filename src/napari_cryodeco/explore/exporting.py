"""A run for other programs: latents, a STAR file with poses and classes, and a map a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from napari_cryodeco.atomic import refuse_existing, replacing_folder, write_text
from napari_cryodeco.data.star_export import pose_columns
from napari_cryodeco.explore import landscape, subset
from napari_cryodeco.explore.backprojection import FEWEST, back_project
from napari_cryodeco.explore.decoders import open_decoder
from napari_cryodeco.explore.landscape import Clustering
from napari_cryodeco.explore.volumes import Volume, VolumeDecoder, VolumeRequest
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.runs.checkpoint import Epoch
from napari_cryodeco.runs.prior_record import read_record
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import write_mrc

Progress = Callable[[int, int], None]
Maps = Iterator[tuple[int, Volume]]

MAPS_DECODED = "maps/class_NNN.mrc decoded at the mean z of the class:"
MAPS_OF_PARTICLES = (
    "maps/class_NNN.mrc made of the particles of the class themselves (back-projection), for\n"
    f"                   there is no decoder; not of classes of fewer than {FEWEST} particles:"
)
MAPS_NONE = "maps/              empty: no decoder, and no orientations or images to make maps of"


def export_run(
    run: Run, out: Path | str, progress: Progress | None = None, overwrite: bool = False
) -> Path:
    """Write the newest epoch of a run into the new folder `out`; row i is row i of the input.

    ``latents.npy`` ``(n, d)``; ``particles.star``, the user's rows with poses, ``rlnClassNumber``
    from 1 (0: unassigned) and its posterior as ``rlnMaxValueProbDistribution``;
    ``maps/class_NNN.mrc`` at the mean z of each class; ``README.txt``. The classes are the
    clustering made last; a run that has none is clustered first. The folder appears when everything
    in it is written. Of adopted latents, which have no decoder, the maps are those of the particles
    of each class; without orientations or images there are none.

    Raises
    ------
    FileExistsError
        When `out` is there and may not be replaced.
    ValueError, FileNotFoundError
        When the run has no finished epoch, or its particle file has changed.
    """
    out = Path(out)
    refuse_existing(out, overwrite)
    run.check_source()
    epoch = run.epoch()
    classes = clusters_of(run, epoch)
    steps = 2 + len(classes.centres)
    tell = progress or (lambda done, of: None)
    with replacing_folder(out, overwrite) as part:
        with (part / "latents.npy").open("wb") as file:
            np.save(file, epoch.latents(), allow_pickle=False)
        tell(1, steps)
        written = _write_particles(run, epoch, classes, part / "particles.star")
        tell(2, steps)
        if epoch.has_decoder:
            maps = _decoded(open_decoder(epoch), classes.centres)
            told = MAPS_DECODED
        else:
            maps, told = _of_particles(run, epoch, classes)
        (part / "maps").mkdir()
        _fill_maps(maps, part / "maps", lambda i: tell(2 + i, steps))
        write_text(part / "README.txt", _describe(run, epoch, classes, told, written.warnings))
    return out


def export_maps(
    run: Run,
    centres: np.ndarray,
    out: Path | str,
    progress: Progress | None = None,
    overwrite: bool = False,
    epoch: int | None = None,
) -> list[Path]:
    """Write the maps at `centres` ``(k, d)`` as ``class_001.mrc``, … into the new folder `out`.

    `centres` are of that epoch; None: of the newest.
    """
    out = Path(out)
    refuse_existing(out, overwrite)
    decoder = open_decoder(run.epoch(epoch))
    with replacing_folder(out, overwrite) as part:
        tell = progress or (lambda done, of: None)
        names = _fill_maps(_decoded(decoder, centres), part, lambda i: tell(i, len(centres)))
    return [out / name for name in names]


def clusters_of(run: Run, epoch: Epoch) -> Clustering:
    """Find the clustering of an epoch made last, or make and keep one.

    A mixture of as many clusters as the run has species, or as fit best; of a run without z, all
    particles are one class.
    """
    if run.config.rigid:
        n = len(run.particles)
        zero, whole = np.zeros(n, np.int64), np.ones((n, 1), np.float32)
        return Clustering(zero, whole, np.zeros((1, 0), np.float32), zero[:1], "rigid")
    found = landscape.latest_clustering(run.paths.views, epoch.number)
    if found is not None:
        return found
    latents, posteriors, seed = epoch.latents(), epoch.class_posteriors(), run.config.seed
    species = None if posteriors is None else posteriors.shape[1]
    space = landscape.kept_space(run.paths.views, latents, epoch.number, seed)
    k = species or landscape.suggest(latents, seed=seed, space=space).suggested
    made = landscape.cluster(latents, k, "gmm", seed, epoch.number, space)
    landscape.save(made, run.paths.views)
    return made


def _decoded(decoder: VolumeDecoder, centres: np.ndarray) -> Maps:
    """The map at each centre, by the number of its class from 1."""
    for number, centre in enumerate(centres, 1):
        yield number, decoder.decode(VolumeRequest(centre))


def _of_particles(run: Run, epoch: Epoch, classes: Clustering) -> tuple[Maps, str]:
    """The map of the particles of each class that has enough, and what to say of them."""
    if not epoch.has_poses or not run.paths.geometry.is_file():
        return iter(()), MAPS_NONE

    def maps() -> Maps:
        for number in range(1, len(classes.centres) + 1):
            members = classes.members([number])
            if len(members) >= FEWEST:
                yield number, back_project(run, members, None, epoch.number, "auto").whole

    return maps(), MAPS_OF_PARTICLES


def _fill_maps(maps: Maps, folder: Path, tell: Callable[[int], None]) -> list[str]:
    names = []
    for number, volume in maps:
        names.append(f"class_{number:03d}.mrc")
        write_mrc(folder / names[-1], volume.data, volume.voxel_size)
        tell(number)
    return names


def _write_particles(run: Run, epoch: Epoch, classes: Clustering, path: Path) -> subset.Written:
    columns = (pose_columns(epoch.poses()) if epoch.has_poses else {}) | {
        "rlnClassNumber": classes.labels + 1,
        "rlnMaxValueProbDistribution": classes.own.astype(float),
    }
    return subset.write(np.arange(len(run.particles)), run.particles, path, columns)


def _describe(
    run: Run, epoch: Epoch, classes: Clustering, maps: str, warnings: tuple[str, ...]
) -> str:
    count, size = len(run.particles), epoch.latents().shape[1]
    lines = [
        f"Exported by napari-cryodeco from {run.path.resolve()}, epoch {epoch.number}.",
        f"Particles: {count}, in the order of {run.particles.source}.",
        *([record.sentence] if (record := read_record(run.path)) is not None else []),
        *([run.origin.sentence] if run.origin is not None else []),
        "",
        f"latents.npy        ({count}, {size}) float32, row i is particle i",
        "particles.star     all columns of the input; orientations, origins, rlnClassNumber and",
        "                   rlnMaxValueProbDistribution (posterior of the class) set",
        maps,
        *([_sizes(run.geometry)] if maps != MAPS_NONE else []),
        "",
        "Classes: one, this run has no z."
        if run.config.rigid
        else f"Classes: {classes.method}, seed {classes.seed}, numbered along the tree of their"
        " centres.",
        *(f"  then by hand: {edit.words()}" for edit in classes.edits),
    ]
    names = classes.names or ("",) * len(classes.counts)
    for number, (members, name) in enumerate(zip(classes.counts, names, strict=True), 1):
        share = f"({members / count:.1%})"
        lines.append(f"  class {number:3d}: {members:8d} particles {share} {name}".rstrip())
    if classes.unassigned:
        share = f"{classes.unassigned / count:.1%}"
        lines.append(f"  unassigned: {classes.unassigned:7d} particles ({share}), rlnClassNumber 0")
    return "\n".join([*lines, *("", *warnings)]) + "\n"


def _sizes(geometry: Geometry) -> str:
    finest = geometry.resolution(geometry.radius)
    return (
        f"                   {geometry.box}³ voxels of {geometry.pixel_size:.6g} Å, "
        f"Fourier radius {geometry.radius} ({finest:.3g} Å)"
    )
