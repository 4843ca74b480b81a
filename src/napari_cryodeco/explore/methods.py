"""What was done in a run, in words for a paper, with the versions of what did it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from napari_cryodeco.explore.clustering import Clustering
from napari_cryodeco.runs.latent_size import read_latent_size
from napari_cryodeco.runs.prior_record import read_record
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.species import read_species

CITATION = (
    "napari-cryodeco: sort mixed cryo-EM particles into structures and motions. "
    "https://github.com/napari-cryodeco/napari-cryodeco",
    "Y. Yan, Y. Xi, S. Fan, Y. Wang, Z. Tang, F. Yuan, H. Shen. CryoDECO: Deconstructing Extreme "
    "Compositional and Conformational Heterogeneity in Cryo-EM via Foundation Model Priors.",
)
_PACKAGES = ("napari-cryodeco", "torch", "numpy", "scipy", "scikit-learn", "umap-learn")


def methods(run: Run, epoch: int, clusters: Clustering | None, maps: str) -> str:
    """Sentences on data, reconstruction, clusters and `maps`; versions; what to cite."""
    sentences = [*_data(run), *_reconstruction(run, epoch), *_clusters(run, clusters), maps]
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return "\n".join(
        [
            "Methods",
            "",
            *sentences,
            "",
            f"Versions: {versions}; Python {platform.python_version()}, {platform.system()}.",
            "All settings: settings/run.yaml.",
            "",
            "Please cite:",
            *(f"  {line}" for line in CITATION),
            "",
        ]
    )


def _data(run: Run) -> list[str]:
    particles, found = run.particles, []
    found.append(
        f"{len(particles):,} particle images of {particles.box} px at {particles.pixel_size:.4g} Å "
        f"per pixel were read from {particles.source.name}."
    )
    if run.paths.geometry.is_file():
        made = run.geometry
        cropped = f"Fourier-cropped to {made.box} px of {made.pixel_size:.4g} Å and "
        found.append(f"They were {cropped if made.box < particles.box else ''}whitened.")
    return found


def _reconstruction(run: Run, epoch: int) -> list[str]:
    config, found = run.config, []
    if config.poses == "file":
        begun = "Orientations and shifts were those of the file"
        begun += ", refined further" if config.refine_poses else ""
    else:
        begun = "Orientations, shifts and species were found ab initio"
    z = "no latent space" if config.rigid else f"{run.epoch(epoch).latent_size()} latent dimensions"
    if (size := read_latent_size(run.path)) is not None and size.estimated:
        z += f" ({size.confirmed} directions confirmed by cross-validation, the others to spare)"
    found.append(
        f"{begun}; a neural field in Hartley space with {z} was refined (effort {config.effort}, "
        f"epoch {epoch}, seed {config.seed})."
    )
    if (record := read_record(run.path)) is not None:
        found.append(record.sentence)
    if species := read_species(run.path):
        sound = sum(record.sound for record in species)
        found.append(
            f"Of {len(species)} species {sound} were found again from nothing, are seen from all "
            "sides and explain their particles."
        )
    return found


def _clusters(run: Run, clusters: Clustering | None) -> list[str]:
    if clusters is None or run.config.rigid:
        return []
    names = {
        "gmm": "a Gaussian mixture with full covariances",
        "kmeans": "k-means",
        "hdbscan": "HDBSCAN",
    }
    sorted_into = clusters.computed or len(clusters.centres)
    said = [
        f"Particles were sorted into {sorted_into} clusters of z by "
        f"{names.get(clusters.method, clusters.method)} (seed {clusters.seed})."
    ]
    if clusters.edits:
        acts = "; ".join(edit.words() for edit in clusters.edits)
        said.append(f"Then by hand: {acts}; {len(clusters.centres)} clusters came of it.")
    return said


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed as a package)"
