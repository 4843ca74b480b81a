"""The names of a run's files; the only place that knows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunPaths:
    """Where everything of the run in the directory `root` lies."""

    root: Path

    @property
    def config(self) -> Path:
        """Settings, written once."""
        return self.root / "run.yaml"

    @property
    def data(self) -> Path:
        """Source, its fingerprint, stacks and box."""
        return self.root / "data.json"

    @property
    def particles(self) -> Path:
        """CTF, image references and poses of the source, row i = particle i."""
        return self.root / "particles.safetensors"

    @property
    def geometry(self) -> Path:
        """Working box, pixel size and scale, known when the images are prepared."""
        return self.root / "geometry.json"

    @property
    def prior(self) -> Path:
        """Which prior was used."""
        return self.root / "prior.json"

    @property
    def origin(self) -> Path:
        """Where adopted latents came from."""
        return self.root / "origin.json"

    @property
    def mirrored(self) -> Path:
        """Which machine a copy is from, with the token that is asked for there."""
        return self.root / "remote.json"

    @property
    def address(self) -> Path:
        """Address and token of the server that serves this run, readable by its user only."""
        return self.root / "serve.txt"

    @property
    def species(self) -> Path:
        """What speaks for the map of each species, known when ab initio is done."""
        return self.root / "species.json"

    @property
    def again(self) -> Path:
        """Which species of which run was tried again, of a run that goes on with its new map."""
        return self.root / "again.json"

    @property
    def latent_size(self) -> Path:
        """How many numbers z has, and why, known when the linear start is done."""
        return self.root / "latent_size.json"

    @property
    def images(self) -> Path:
        """Working coefficients of all images."""
        return self.root / "images.npy"

    @property
    def status(self) -> Path:
        """What the run does now."""
        return self.root / "status.json"

    @property
    def metrics(self) -> Path:
        """Numbers along the way, one JSON record a line."""
        return self.root / "metrics.jsonl"

    @property
    def log(self) -> Path:
        """Output and tracebacks of the job."""
        return self.root / "log.txt"

    @property
    def stop(self) -> Path:
        """The request to stop: the run ends at its next step when this file is there."""
        return self.root / "stop"

    @property
    def script(self) -> Path:
        """Script that was handed to a batch system."""
        return self.root / "submit.sh"

    @property
    def job(self) -> Path:
        """What the batch system answered."""
        return self.root / "job.json"

    @property
    def lock(self) -> Path:
        """Which process trains this run."""
        return self.root / "lock.json"

    @property
    def epochs(self) -> Path:
        """Finished epochs."""
        return self.root / "epochs"

    @property
    def session(self) -> Path:
        """How the explorer was left."""
        return self.root / "session.json"

    @property
    def views(self) -> Path:
        """Projections and clusterings."""
        return self.root / "views"

    @property
    def selections(self) -> Path:
        """Named selections."""
        return self.root / "selections"

    @property
    def columns(self) -> Path:
        """Columns that the user brought."""
        return self.root / "columns"

    @property
    def trajectories(self) -> Path:
        """Paths in z."""
        return self.root / "trajectories"

    @property
    def volumes(self) -> Path:
        """Decoded maps."""
        return self.root / "volumes"

    @property
    def codebook(self) -> Path:
        """Small maps all over the landscape."""
        return self.root / "codebook.safetensors"

    @property
    def movies(self) -> Path:
        """Movies."""
        return self.root / "movies"

    @property
    def stages(self) -> Path:
        """States of the stages."""
        return self.root / "stages"

    def stage(self, name: str) -> Path:
        """State of a stage after its last finished unit."""
        return self.stages / f"{name}.safetensors"

    def epoch(self, number: int) -> Path:
        """Folder of one epoch."""
        return self.epochs / f"{number:04d}"

    def epoch_numbers(self) -> list[int]:
        """Finished epochs in order; half-written ones begin with a dot and do not count."""
        if not self.epochs.is_dir():
            return []
        return sorted(int(entry.name) for entry in self.epochs.iterdir() if entry.name.isdigit())
