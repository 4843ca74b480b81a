"""The main job on a sample that is made on the spot: no data, no GPU and no display needed.

Simulate, reconstruct, project, cluster, export particles, maps and a movie: of a mixture ab initio,
or of one molecule that moves, with the poses that a consensus refinement would give.
The sample's truth is known, so the demo says how well it did; else only these poses come from it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.ground_truth import Recipe
from napari_cryodeco.data.molecule import Molecule, load_beads, swing
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.data.simulate import simulate
from napari_cryodeco.explore.exporting import export_run
from napari_cryodeco.explore.landscape import cluster, pca, save, umap
from napari_cryodeco.explore.movie import write_pc_movie
from napari_cryodeco.explore.scores import rand_index
from napari_cryodeco.explore.subset import write as write_subset
from napari_cryodeco.imaging.poses import PoseAlignment, align
from napari_cryodeco.runs.estimate import Estimate
from napari_cryodeco.runs.progress import Status
from napari_cryodeco.runs.run import Run
from napari_cryodeco.stage_config import AbinitioConfig, DataConfig, FieldConfig, RefineConfig
from napari_cryodeco.train.reconstruct import reconstruct


@dataclass(frozen=True)
class Sample:
    """What the demo is of: change the species, their number or the images here.

    Parameters
    ----------
    structures
        Names of shipped bead models.
    recipe
        How their images are made.
    abinitio, refine, network
        Settings of the reconstruction: fewer epochs and a smaller network than by default.
    hinge
        States of the motion of the one structure, whose poses are given then; 0: a mixture.
    clusters
        Number of clusters to look for.
    """

    structures: tuple[str, ...] = ("1wcm", "2buk", "3wip")
    recipe: Recipe = field(default_factory=lambda: Recipe(count=250, snr=0.1, seed=1))
    abinitio: AbinitioConfig = field(default_factory=lambda: AbinitioConfig(classes=3))
    refine: RefineConfig = field(default_factory=lambda: RefineConfig(epochs=4))
    network: FieldConfig = field(default_factory=lambda: FieldConfig(width=128))
    hinge: int = 0
    clusters: int = 3

    def molecules(self) -> list[Molecule]:
        """The species, or the snapshots of the motion."""
        found = [load_beads(name) for name in self.structures]
        return swing(found[0], self.hinge)[0] if self.hinge else found

    def angles(self) -> np.ndarray | None:
        """The hinge's angle in each snapshot, degrees; None of a mixture."""
        return swing(load_beads(self.structures[0]), self.hinge)[1] if self.hinge else None


SAMPLE = Sample()
MOTION = Sample(
    structures=("1wcm",), recipe=Recipe(count=100, snr=0.1, seed=1, pooled=True), hinge=10
)

# Expected share of the time of each step: only the estimate of the time left depends on it.
WEIGHTS = {
    "Simulate": 8.0,
    "Train": 180.0,
    "Project": 25.0,
    "Cluster": 2.0,
    "Export": 8.0,
    "Movie": 15.0,
}


@dataclass(frozen=True)
class DemoStatus:
    """What the demo does: `step`, `share` (0…1) of the whole, `eta_s` seconds left or None."""

    step: str
    share: float
    eta_s: float | None
    message: str = ""


@dataclass(frozen=True)
class SpeciesResult:
    """One species: its `title`, images, and its poses compared with the true ones."""

    title: str
    count: int
    poses: PoseAlignment


@dataclass(frozen=True)
class MotionResult:
    """How well a motion was found.

    `follows`: |Spearman| of the first principal component with the hinge's true angle; `clusters`:
    images and mean angle in degrees of each cluster.
    """

    follows: float
    clusters: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Outcome:
    """What the demo made and how near it came to the truth.

    A mixture has `ari` and `species`, a motion `motion`.
    """

    folder: Path
    seconds: float
    places: dict[str, Path]
    ari: float | None = None
    species: tuple[SpeciesResult, ...] = ()
    motion: MotionResult | None = None

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.places["run"]


Listener = Callable[[DemoStatus], None]


class _Steps:
    """One progress and one estimate over everything the demo does."""

    def __init__(self, listener: Listener | None) -> None:
        self._estimate, self._listener = Estimate(WEIGHTS), listener
        self._name, self._begun = "", 0.0

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Do one step; the block gets a progress to call with (done, of)."""
        self._name, self._begun = name, time.monotonic()
        self.tell(0.0)
        yield lambda done, of: self.tell(done / max(of, 1))
        self.tell(1.0)

    def tell(self, share: float, message: str = "") -> None:
        """Tell that this share of the present step is done."""
        self._estimate.observe(self._name, share, time.monotonic() - self._begun)
        if self._listener is not None:
            whole, left = self._estimate.share(), self._estimate.remaining()
            self._listener(DemoStatus(self._name, whole, left, message))

    def train(self, status: Status) -> None:
        """Follow a reconstruction."""
        self.tell(status.share, status.stage)


def demo(
    out: Path | str | None = None, listener: Listener | None = None, sample: Sample = SAMPLE
) -> Outcome:
    """Do the whole job on the sample.

    Parameters
    ----------
    out
        Folder to make; None: `demo-run` here, or the first of `demo-run-2`, … that is free.
    listener
        Called with each new status.
    sample
        What it is done on.

    Raises
    ------
    FileExistsError
        `out` is there already.
    """
    begun = time.monotonic()
    folder = free_folder() if out is None else Path(out)
    if folder.exists():
        raise FileExistsError(f"{folder} exists already: choose another name with -o.")
    steps, places = _Steps(listener), {}
    with steps.step("Simulate") as progress:
        where, angles = folder / "sample", sample.angles()
        star = simulate(sample.molecules(), sample.recipe, where, angles, progress)
        places["particles"] = star
    with steps.step("Train"):
        run = _train(star, folder / "run", sample, steps)
        places["run"] = run.path
    labels = _explore(run, sample, steps, places)
    truth = star.parent / "gt" / "ground_truth.npz"
    spent = time.monotonic() - begun
    if sample.hinge:
        return Outcome(folder, spent, places, motion=follow(run, labels, truth))
    ari, species = compare(run, labels, truth, sample.molecules())
    return Outcome(folder, spent, places, ari, species)


def free_folder() -> Path:
    """Find a name here that nothing has yet."""
    names = ["demo-run", *(f"demo-run-{number}" for number in range(2, 1000))]
    return next(path for path in map(Path, names) if not path.exists())


def _train(star: Path, path: Path, sample: Sample, steps: _Steps) -> Run:
    where = star.parent
    if sample.hinge:
        star = where / "gt" / "particles_gt.star"
    config = TrainConfig(
        data=DataConfig(source=star, datadir=where),
        poses="file" if sample.hinge else "abinitio",
        abinitio=sample.abinitio,
        refine=sample.refine,
        field=sample.network,
        seed=sample.recipe.seed,
    )
    run = Run.create(path, read_particles(star, where), config)
    reconstruct(run, steps.train)
    return run


def _explore(run: Run, sample: Sample, steps: _Steps, places: dict[str, Path]) -> np.ndarray:
    """Project, cluster, export and film; return the labels ``(n,)``."""
    epoch, folder = run.epoch(), run.path.parent
    latents = epoch.latents()
    with steps.step("Project") as progress:
        save(pca(latents, epoch.number), run.paths.views)
        save(umap(latents, progress=progress, epoch=epoch.number), run.paths.views)
    with steps.step("Cluster"):
        clusters = cluster(latents, sample.clusters, epoch=epoch.number)
        save(clusters, run.paths.views)
    with steps.step("Export") as progress:
        places["export"] = folder / "export"
        export_run(run, folder / "export", progress=progress)
        places["maps"] = folder / "export" / "maps"
        places["subsets"] = folder / "subsets"
        for number in range(len(clusters.centres)):
            rows = np.flatnonzero(clusters.labels == number)
            write_subset(rows, run.particles, folder / "subsets" / f"cluster_{number + 1:03d}.star")
    with steps.step("Movie") as progress:
        places["movie"] = folder / ("pc1.mp4" if find_spec("imageio_ffmpeg") else "pc1.gif")
        write_pc_movie(run, places["movie"], component=1, progress=progress)
    return clusters.labels


def compare(
    run: Run, labels: np.ndarray, truth_file: Path, molecules: Sequence[Molecule]
) -> tuple[float, tuple[SpeciesResult, ...]]:
    """Adjusted Rand index of `labels` ``(n,)`` and pose errors of each species, given the truth.

    Pose errors are modulo the species' symmetry, after the best global rotation, either hand.
    """
    with np.load(truth_file, allow_pickle=False) as file:
        true_labels, rotations = file["label"], torch.from_numpy(file["rotation"])
    found = run.epoch().poses().rotations
    results = []
    for number, molecule in enumerate(molecules):
        rows = torch.from_numpy(np.flatnonzero(true_labels == number))
        symmetry = torch.from_numpy(molecule.symmetry)
        poses = align(found[rows], rotations[rows], symmetry)
        results.append(SpeciesResult(molecule.title, len(rows), poses))
    return rand_index(true_labels, labels), tuple(results)


def follow(run: Run, labels: np.ndarray, truth_file: Path) -> MotionResult:
    """How PC1 of z and the clusters `labels` ``(n,)`` lie along the true angles."""
    from scipy.stats import spearmanr

    with np.load(truth_file, allow_pickle=False) as file:
        angles = file["latent"].ravel()
    epoch = run.epoch()
    first = pca(epoch.latents(), epoch.number).coordinates[:, 0]
    clusters = [angles[labels == number] for number in range(int(labels.max()) + 1)]
    means = tuple((len(own), float(own.mean())) for own in clusters)
    return MotionResult(abs(float(spearmanr(first, angles).statistic)), means)


def describe(outcome: Outcome) -> str:
    """What was made, where it lies and how good it is, for a terminal."""
    lines = [f"Done in {outcome.seconds / 60:.1f} minutes. Everything lies in {outcome.folder}:"]
    lines += [f"  {name:<10} {path}" for name, path in outcome.places.items()]
    lines += _motion(outcome.motion) if outcome.motion else _mixture(outcome)
    lines.append(f"Explore it: {' '.join(explorer_command(outcome.run))}")
    return "\n".join(lines)


def _motion(found: MotionResult) -> list[str]:
    lines = [f"PC1 against the true angle: |Spearman| {found.follows:.3f} (1 = in the same order)"]
    for number, (count, angle) in enumerate(found.clusters, 1):
        lines.append(f"  cluster {number}: {count} images, {angle:+.0f}° on average")
    return lines


def _mixture(outcome: Outcome) -> list[str]:
    lines = [
        f"Clusters against the truth: adjusted Rand index {outcome.ari:.3f}"
        " (1 = all right, 0 = chance)"
    ]
    for species in outcome.species:
        lines.append(
            f"  {species.title}: {species.count} images, median pose error"
            f" {species.poses.median_degrees:.1f}°,"
            f" {100 * species.poses.share_within(15):.0f} % within 15°"
        )
    return lines


def explorer_command(run: Path) -> list[str]:
    """Open a run in napari's explorer."""
    return [sys.executable, "-m", "napari", "--plugin", "napari-cryodeco", str(run)]


def has_display() -> bool:
    """Tell whether a window can be opened here."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show(outcome: Outcome) -> int:
    """Open the explorer and wait until it is closed; return its exit status."""
    return subprocess.run(explorer_command(outcome.run), check=False).returncode
