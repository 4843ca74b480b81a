"""A run for other programs: latents, a STAR file with poses and classes, and a map a class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_cryodeco.atomic import refuse_existing, replacing_folder, write_text
from napari_cryodeco.data.star_export import pose_columns
from napari_cryodeco.explore import landscape, subset
from napari_cryodeco.explore.landscape import Clustering
from napari_cryodeco.explore.volumes import VolumeDecoder, VolumeRequest
from napari_cryodeco.runs.checkpoint import Epoch
from napari_cryodeco.runs.prior_record import read_record
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import write_mrc

Progress = Callable[[int, int], None]


def export_run(
    run: Run, out: Path | str, progress: Progress | None = None, overwrite: bool = False
) -> Path:
    """Write the newest epoch of a run into the new folder `out`; row i is row i of the input.

    ``latents.npy`` ``(n, d)``; ``particles.star``, the user's rows with poses, ``rlnClassNumber``
    from 1 (0: unassigned) and its posterior as ``rlnMaxValueProbDistribution``;
    ``maps/class_NNN.mrc`` at the mean z of each class; ``README.txt``. The classes are the
    clustering made last; a run that has none is clustered first. The folder appears when everything
    in it is written.

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
        (part / "maps").mkdir()
        decoder = VolumeDecoder(epoch.field_path, "auto")
        _fill_maps(decoder, classes.centres, part / "maps", lambda i, _: tell(2 + i, steps))
        write_text(part / "README.txt", _describe(run, epoch, classes, decoder, written.warnings))
    return out


def export_maps(
    run: Run,
    centres: np.ndarray,
    out: Path | str,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the maps at `centres` ``(k, d)`` as ``class_001.mrc``, … into the new folder `out`."""
    out = Path(out)
    decoder = VolumeDecoder(run.epoch().field_path, "auto")
    with replacing_folder(out, overwrite) as part:
        names = _fill_maps(decoder, centres, part, progress or (lambda done, of: None))
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


def _fill_maps(
    decoder: VolumeDecoder, centres: np.ndarray, folder: Path, tell: Progress
) -> list[str]:
    names = []
    for number, centre in enumerate(centres, 1):
        volume = decoder.decode(VolumeRequest(centre))
        names.append(f"class_{number:03d}.mrc")
        write_mrc(folder / names[-1], volume.data, volume.voxel_size)
        tell(number, len(centres))
    return names


def _write_particles(run: Run, epoch: Epoch, classes: Clustering, path: Path) -> subset.Written:
    columns = pose_columns(epoch.poses()) | {
        "rlnClassNumber": classes.labels + 1,
        "rlnMaxValueProbDistribution": classes.posteriors.max(1).astype(float),
    }
    return subset.write(np.arange(len(run.particles)), run.particles, path, columns)


def _describe(
    run: Run, epoch: Epoch, classes: Clustering, decoder: VolumeDecoder, warnings: tuple[str, ...]
) -> str:
    geometry, count = decoder.geometry, len(run.particles)
    lines = [
        f"Exported by napari-cryodeco from {run.path.resolve()}, epoch {epoch.number}.",
        f"Particles: {count}, in the order of {run.particles.source}.",
        *([record.sentence] if (record := read_record(run.path)) is not None else []),
        "",
        f"latents.npy        ({count}, {decoder.latent_dim}) float32, row i is particle i",
        "particles.star     all columns of the input; orientations, origins, rlnClassNumber and",
        "                   rlnMaxValueProbDistribution (posterior of the class) set",
        f"maps/class_NNN.mrc decoded at the mean z of the class: {geometry.box}³ voxels of",
        f"                   {geometry.pixel_size:.6g} Å, Fourier radius {geometry.radius}"
        f" ({geometry.resolution(geometry.radius):.3g} Å)",
        "",
        "Classes: one, this run has no z."
        if run.config.rigid
        else f"Classes: {classes.method}, seed {classes.seed}, numbered along the tree of their"
        " centres.",
    ]
    for number, members in enumerate(classes.counts, 1):
        lines.append(f"  class {number:3d}: {members:8d} particles ({members / count:.1%})")
    if classes.unassigned:
        share = f"{classes.unassigned / count:.1%}"
        lines.append(f"  unassigned: {classes.unassigned:7d} particles ({share}), rlnClassNumber 0")
    return "\n".join([*lines, *("", *warnings)]) + "\n"
