"""``cryodeco project``, ``cluster``, ``stability`` and ``decode``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from napari_cryodeco.atomic import refuse_existing
from napari_cryodeco.commands.common import (
    Output,
    chosen_rows,
    clusters_of,
    open_run,
    require_clusters,
    say_clusters,
)
from napari_cryodeco.runs.progress import one_line
from napari_cryodeco.terminal import Bar, say

if TYPE_CHECKING:
    import numpy as np

    from napari_cryodeco.explore.landscape import ClusterCurve
    from napari_cryodeco.explore.selection import Selection
    from napari_cryodeco.runs.run import Run


def project(
    run: Path,
    /,
    *,
    seed: int = 0,
    epoch: int | None = None,
    space: Annotated[bool, Parameter(negative="")] = False,
    labels: str | None = None,
    rows: Path | None = None,
    selection: str | None = None,
    of: Path | None = None,
    method: Literal["umap", "pca"] = "umap",
) -> None:
    """Project the latents by PCA and UMAP into RUN/views, of all particles or of some alone.

    Parameters
    ----------
    run
        Run directory.
    seed
        Of UMAP.
    epoch
        Number of an epoch; the newest where not given.
    space
        Make only the space in which clusters are sought: a 16-dimensional UMAP, of a z with more
        than 16 dimensions.
    labels
        Only of the particles of these clusters, from 1, as 1,3.
    rows
        Only of the rows in this file, from 0: .txt (one a line) or .npy.
    selection
        Only of a selection kept with the run, by its name.
    of
        Only of the rows in this file of a named selection.
    method
        Of some particles: UMAP or PCA.
    """
    opened = open_run(run)
    from napari_cryodeco.explore import landscape

    found = opened.epoch(epoch)
    latents, views = found.latents(), opened.paths.views
    if any(choice is not None for choice in (labels, rows, selection, of)):
        with Bar(method.upper()) as bar:
            from napari_cryodeco.explore import parts

            chosen = _part_of(opened, labels, rows, selection, of, found.number)
            made = parts.kept_part(
                *(views, latents, found.number, chosen.rows, method, seed),
                *(chosen.recipe.steps, chosen.name, bar.count),
            )
        say(f"{made.title}: {len(chosen):,} particles, view {made.key}")
        return
    with Bar("UMAP") as bar:
        if space:
            landscape.kept_space(views, latents, found.number, seed, bar.count)
            return
        say(str(landscape.save(landscape.pca(latents, found.number), views)))
        view = landscape.umap(latents, seed, bar.count, epoch=found.number)
    say(str(landscape.save(view, views)))


def _part_of(
    run: Run,
    labels: str | None,
    rows: Path | None,
    selection: str | None,
    of: Path | None,
    epoch: int,
) -> Selection:
    """The particles whose own projection is asked for, with how they were selected."""
    from napari_cryodeco.explore.selection import Recipe, Selection, Step
    from napari_cryodeco.explore.shelf import load_all

    if of is not None:
        if (labels, rows, selection) != (None, None, None):
            raise ValueError("project takes one of --labels, --rows, --selection and --of.")
        found = Selection.load(of)
        if len(found) and found.rows[-1] >= len(run.particles):
            raise ValueError(f"{of} names row {found.rows[-1]}: it is of other particles.")
        return found
    chosen, words = chosen_rows(run, "project", labels, rows, selection, epoch)
    if selection is not None:
        return next(kept for kept in load_all(run.paths.selections) if kept.name == selection)
    steps: tuple[Step, ...] = ()
    if labels is not None:
        numbers = tuple(int(number) for number in labels.split(","))
        steps = (Step("labels", axes=("cluster",), labels=numbers),)
    return Selection(Path(words).name, chosen, Recipe(steps))


def cluster(
    run: Path,
    /,
    *,
    k: Annotated[int | None, Parameter(name=["-k", "--clusters"])] = None,
    method: Literal["gmm", "kmeans", "hdbscan"] = "gmm",
    smallest: int | None = None,
    suggest: Annotated[bool, Parameter(negative="")] = False,
    most: int = 10,
    seed: int = 0,
    epoch: int | None = None,
) -> None:
    """Sort the particles of an epoch into clusters, numbered from 1.

    Parameters
    ----------
    run
        Run directory.
    k
        Number of clusters; where not given, the one that fits best. HDBSCAN finds its own.
    method
        Gaussian mixture, k-means, or HDBSCAN: dense regions, what lies between them is unassigned.
    smallest
        HDBSCAN: fewest particles of a cluster; 2 % of all where not given.
    suggest
        Only print BIC and silhouette for each number of clusters, and write them to RUN/views.
    most
        Largest number of clusters to try.
    seed
        Of the starts.
    epoch
        Number of an epoch; the newest where not given.
    """
    if method == "hdbscan" and k is not None:
        raise ValueError("HDBSCAN finds the number of clusters itself: leave -k out.")
    if method != "hdbscan" and smallest is not None:
        raise ValueError(f"--smallest is for --method hdbscan; {method} needs -k.")
    if most < 2:
        raise ValueError(f"--most {most}: give 2 or more.")
    opened = open_run(run)
    from napari_cryodeco.explore import landscape

    found = opened.epoch(epoch)
    latents, views = found.latents(), opened.paths.views
    with Bar("UMAP") as bar:
        space = landscape.kept_space(views, latents, found.number, seed, bar.count)
    if method == "hdbscan" and not suggest:
        made = landscape.cluster_by_density(latents, smallest, seed, found.number, space)
    else:
        if k is None or suggest:
            with Bar("numbers of clusters") as bar:
                tried = range(1, most + 1)
                curve = landscape.suggest(latents, tried, seed, bar.count, space)
            path = landscape.save_curve(curve, views, found.number)
            if suggest:
                _say_curve(curve, path)
                return
            k = curve.suggested
        partition: Literal["gmm", "kmeans"] = "kmeans" if method == "kmeans" else "gmm"
        made = landscape.cluster(latents, k, partition, seed, found.number, space)
    say(str(landscape.save(made, views)))
    say_clusters(made)


def stability(
    run: Path,
    /,
    *,
    trials: int = 5,
    seed: int = 0,
    epoch: int | None = None,
) -> None:
    """Make the newest clusters again from other seeds and parts of the particles, and compare.

    Each trial is fitted on four fifths of the particles. The confidence of each particle is kept:
    it is a column, and `cryodeco select --confident 0.9` goes by it.

    Parameters
    ----------
    run
        Run directory.
    trials
        How many times.
    seed
        Of the first.
    epoch
        Number of an epoch; the newest where not given.
    """
    if trials < 2:
        raise ValueError(f"--trials {trials}: give 2 or more.")
    opened = open_run(run)
    clusters = clusters_of(opened, epoch)
    from napari_cryodeco.explore import landscape
    from napari_cryodeco.explore import stability as steadiness

    found, views = opened.epoch(epoch), opened.paths.views
    space = landscape.kept_space(views, found.latents(), found.number, clusters.seed)
    with Bar("clusters again") as bar:
        made = steadiness.stability(clusters, space, trials, seed, bar.count)
    steadiness.save(made, views, found.number)
    for sentence in made.sentences():
        say(sentence)
    say(f"adjusted Rand index of the trials with the clusters: {made.agreement.mean():.3f}")


def _say_curve(curve: ClusterCurve, path: Path) -> None:
    say(" k            BIC  silhouette")
    for k, bic, silhouette in zip(curve.k, curve.bic, curve.silhouette, strict=True):
        mark = "  lowest BIC" if k == curve.suggested else ""
        say(f"{k:2d}  {bic:13,.1f}  {silhouette:10.3f}{mark}")
    say(str(path))


def decode(
    run: Path,
    /,
    *,
    output: Output,
    cluster: int | None = None,
    row: int | None = None,
    z: Path | None = None,
    box: int | None = None,
    low_pass: float | None = None,
    b_factor: float = 0.0,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Decode one map: of a cluster, of a particle, or of a point z; of a run without z, its map.

    Parameters
    ----------
    run
        Run directory.
    output
        MRC file to write.
    cluster
        Number of a cluster, from 1: its centre.
    row
        Row of a particle in the input, from 0.
    z
        NPY file with one point (d,).
    box
        Side of the map in voxels, over the same width in Å; the working box where not given.
    low_pass
        Resolution in Å to filter to.
    b_factor
        Å²; amplitudes are multiplied by exp(−B s²/4): negative sharpens, as in RELION.
    device
        auto, cpu, cuda:0 … or mps.
    overwrite
        Replace a file of this name.
    """
    if output.suffix.lower() not in (".mrc", ".map"):
        raise ValueError(f"{output}: maps are written as .mrc; choose such a name.")
    refuse_existing(output, overwrite)
    opened = open_run(run)
    choices = sum(choice is not None for choice in (cluster, row, z))
    if choices != 1 and not (opened.config.rigid and choices == 0):
        raise ValueError("decode needs one of --cluster I, --row I and --z FILE.npy.")
    from napari_cryodeco.explore.decoders import open_decoder
    from napari_cryodeco.explore.volumes import VolumeRequest
    from napari_cryodeco.runs.store import write_mrc

    point = _point(opened, cluster, row, z)
    decoder = open_decoder(opened.epoch(), device)
    volume = decoder.decode(VolumeRequest(point, None, box, low_pass, b_factor))
    write_mrc(output, volume.data, volume.voxel_size)
    say(f"{output}: {len(volume.data)}³ voxels of {volume.voxel_size:.4g} Å")


def _point(run: Run, cluster: int | None, row: int | None, z: Path | None) -> np.ndarray:
    """The point in z that one of the three names; the empty point where there is no z."""
    import numpy as np

    if cluster is not None:
        clusters = clusters_of(run)
        require_clusters(run, clusters, [cluster])
        return clusters.centres[cluster - 1]
    if row is not None:
        latents = run.epoch().latents()
        if not 0 <= row < len(latents):
            raise ValueError(f"row {row}: {run.path} has rows 0 to {len(latents) - 1}.")
        return latents[row]
    if z is None:
        return np.zeros(0, np.float32)
    if not z.is_file():
        raise FileNotFoundError(f"{z} is missing: save a point there with numpy.save.")
    try:
        return np.load(z, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{z} is no .npy file of numbers ({one_line(error)}).") from error
