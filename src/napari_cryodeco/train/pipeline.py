"""Which stages a run goes through, made from its settings."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.stored_images import Images
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.model import precision
from napari_cryodeco.model.weights import Weights
from napari_cryodeco.runs.latent_size import LatentSize, write_latent_size
from napari_cryodeco.runs.prior_record import PriorRecord, write_record
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.species import write_species
from napari_cryodeco.stage_config import BUNDLED_PRIOR, NO_PRIOR
from napari_cryodeco.train import distributed
from napari_cryodeco.train.abinit import AbinitStage
from napari_cryodeco.train.device import choose_box
from napari_cryodeco.train.features import (
    COMPONENTS,
    PRIOR_COMPONENTS,
    FeatureStage,
    classical_features,
    clusters_of,
    prior_features,
)
from napari_cryodeco.train.held_images import on_device
from napari_cryodeco.train.joint import JointStage
from napari_cryodeco.train.linear_stage import SubspaceStage
from napari_cryodeco.train.looks import Looks, search_radius
from napari_cryodeco.train.motion_stage import MotionStage
from napari_cryodeco.train.observations import Observations
from napari_cryodeco.train.parity import ParityStage
from napari_cryodeco.train.prepare import PrepareStage
from napari_cryodeco.train.prior import Prior, open_prior
from napari_cryodeco.train.refine import RefineStage
from napari_cryodeco.train.stages import Finished, Reporter, Stage, Step
from napari_cryodeco.train.starts import faintness
from napari_cryodeco.train.swing_stage import SAMPLE, SwingStage
from napari_cryodeco.train.views import StoredViews

LINEAR_RADIUS = 16
"""Fourier radius of the linear start: up to here the field begins from noise-free maps."""

AnyStage = TypeVar("AnyStage")


def steps(run: Run, device: torch.device) -> list[Step]:
    """List the stages of a run in their order, with their expected shares of the time."""
    return _Plan(run, device).steps()


def looks_of(run: Run, device: torch.device) -> Looks:
    """The images of a run as the pose search sees them."""
    products = precision.choose_products(_reproducible(run.config).precision, device)
    radius = search_radius(run.geometry)
    return Looks(run.stored_images(), run.particles.ctf, run.geometry, radius, device, products)


class _Plan:
    """Makes the stages of one run, each when those before it are done."""

    def __init__(self, run: Run, device: torch.device) -> None:
        self._run, self._device, self._config = run, device, _reproducible(run.config)

    def steps(self) -> list[Step]:
        """List the stages in their order."""
        makers = {"prepare": self._prepare}
        if self._config.loop == "parity":
            makers |= {"parity": self._parity}
        else:
            if self._sorts_first:
                makers |= {
                    "features": self._features,
                    "abinit": self._abinit,
                    "joint": self._joint,
                    "swing": self._swing,
                    "motion": self._motion,
                }
            makers |= {"subspace": self._subspace, "refine": self._refine}
        seconds = self._seconds()
        shared = {"joint", "refine"} | ({"features"} if self._prior_named else set())
        return [Step(name, seconds[name], make, name in shared) for name, make in makers.items()]

    def _seconds(self) -> dict[str, float]:
        """Expected durations, measured on two quiet cores: of use as ratios, for the estimate."""
        settings, n = self._config.abinitio, len(self._run.particles)
        asked = self._config.species
        species = (3 if asked == "auto" else clusters_of(asked, n)) or 1
        refine, parity = self._config.refine, self._config.parity
        points = (self._box() / 2) ** 2
        return {
            "prepare": 3e-4 * n,
            "features": 4e-3 * n,
            "abinit": 2.5 * species * min(species, 4) * settings.restarts,
            "joint": 6e-3 * n * species + 15.0 * species,
            "swing": 4e-3 * min(n, SAMPLE),
            "motion": (0.02 * n + 0.05 * min(n, SAMPLE)) if species == 1 else 0.0,
            "subspace": 4e-3 * n,
            "refine": 0.03 * refine.warmup + 1.2e-5 * points * n * refine.epochs,
            "parity": 4e-4 * points * n * parity.epochs + 5.0 * parity.search_images,
        }

    def _box(self) -> int:
        return choose_box(self._config.data.box, self._run.particles.box, self._device)

    def _prepare(self, finished: Finished) -> Stage:
        return PrepareStage(self._run, self._box())

    def _features(self, finished: Finished) -> Stage:
        classes, seed = self._config.species, self._config.seed
        run, count = self._run, len(self._run.particles)

        def compute(report: Reporter) -> Tensor:
            if (prior := self._prior) is not None:
                return prior_features(prior.embed, run.particles.ctf, report, prior.batch)
            return classical_features(run.stored_images(), run.particles.ctf, run.geometry, report)

        asked = None if classes == "auto" else classes
        source, trained = self._feature_source(), self._prior is not None
        components = PRIOR_COMPONENTS if trained else COMPONENTS

        def faint() -> float:
            return faintness(self._looks)

        return FeatureStage(compute, count, asked, seed, source, components, trained, faint)

    @cached_property
    def _looks(self) -> Looks:
        return looks_of(self._run, self._device)

    def _abinit(self, finished: Finished) -> Stage:
        posteriors = _get(finished, "features", FeatureStage).posteriors
        return AbinitStage(
            self._looks,
            posteriors,
            self._config.abinitio,
            self._config.seed,
            self._side_by_side,
        )

    @property
    def _side_by_side(self) -> int:
        """How many random starts run at once, one thread each; a GPU takes them one by one."""
        return torch.get_num_threads() if self._device.type == "cpu" else 1

    def _joint(self, finished: Finished) -> Stage:
        volumes = _get(finished, "abinit", AbinitStage).volumes
        return JointStage(
            self._looks,
            volumes,
            _get(finished, "features", FeatureStage).features,
            None if self._config.species == "auto" else self._config.species,
            self._config.seed,
            self._side_by_side,
        )

    def _swing(self, finished: Finished) -> Stage:
        joint = _get(finished, "joint", JointStage)
        one = joint.posteriors.shape[1] == 1 and not self._config.rigid
        poses, asked = joint.assignment().poses, one and not self._went_on
        return SwingStage(self._looks, poses, asked, self._config.seed)

    def _motion(self, finished: Finished) -> Stage:
        swing = _get(finished, "swing", SwingStage)
        asked = swing.something_varies and not swing.follows and not self._went_on
        return MotionStage(self._looks, swing.poses, asked, self._config.seed)

    @property
    def _went_on(self) -> bool:
        """Whether a version without these stages did: such a run keeps its poses."""
        return self._run.paths.stage("subspace").is_file()

    def _subspace(self, finished: Finished) -> Stage:
        if self._sorts_first and not distributed.rank():
            write_species(self._run.path, _get(finished, "joint", JointStage).records())
        geometry = self._run.geometry
        seen = Observations(
            self._images(),
            self._run.particles.ctf.to(self._device),
            self._poses(finished).to(self._device),
            geometry,
            min(LINEAR_RADIUS, geometry.radius),
        )
        size = self._config.latent_size(gpu=self._device.type != "cpu")
        estimated = self._config.latent_dim is None
        posteriors, along = self._posteriors(finished), self._along(finished)
        return SubspaceStage(seen, size, self._config.seed, posteriors, estimated, along)

    def _note_size(self, finished: Finished) -> None:
        """Put on record how long z is, and why; the first of several processes does."""
        start = _get(finished, "subspace", SubspaceStage)
        if distributed.rank() or not start.tried:
            return
        record = LatentSize(
            start.model.coordinates.shape[1],
            self._config.latent_dim is None,
            start.tried,
            start.species,
        )
        if self._sorts_first:
            features = _get(finished, "features", FeatureStage)
            clusters = features.posteriors.shape[1]
            record = replace(record, criterion=features.criterion, clusters=clusters)
        write_latent_size(self._run.path, record)

    def _refine(self, finished: Finished) -> Stage:
        self._note_size(finished)
        mine = distributed.share(len(self._run.particles))
        views = self._views()
        return RefineStage(
            self._config,
            self._images(mine),
            self._run.particles.ctf[mine],
            self._poses(finished)[mine],
            self._run.geometry,
            _get(finished, "subspace", SubspaceStage).model,
            lambda rows: views(rows + mine.start),
            self._posteriors(finished),
            self._device,
            self._weights,
        )

    def _parity(self, finished: Finished) -> Stage:
        particles, given = self._run.particles, self._config.poses == "file"
        return ParityStage(
            self._config,
            self._images(),
            particles.ctf,
            self._run.geometry,
            particles.poses if given else None,
            self._views(),
            self._device,
            self._weights,
        )

    def _images(self, rows: slice = slice(None)) -> Images:
        return on_device(self._run.stored_images(rows), self._device)

    def _poses(self, finished: Finished) -> Poses:
        if self._config.poses == "abinitio":
            return _get(finished, "motion", MotionStage).poses
        poses = self._run.particles.poses
        assert poses is not None  # Run.create made sure
        return poses

    def _posteriors(self, finished: Finished) -> Tensor | None:
        if self._config.poses == "abinitio":
            return _get(finished, "joint", JointStage).posteriors
        return None

    def _along(self, finished: Finished) -> Tensor | None:
        """Where particles lie along a motion that was too large for one map, if there is one."""
        if not self._sorts_first:
            return None
        swing = _get(finished, "swing", SwingStage)
        return swing.along if swing.follows else None

    def _views(self) -> StoredViews:
        return StoredViews(self._run.particles, self._device)

    @cached_property
    def _prior(self) -> Prior | None:
        """The prior, opened and put on the record when a stage first needs it."""
        name = self._config.encoder.prior
        prior = open_prior(name, self._run, self._device)
        source = "its features" if prior else self._feature_source()
        uses = [f"Species from {source}."] if self._sorts_first else []
        uses += ["The encoder starts from it."] if prior and self._starts_encoder else []
        none = PriorRecord(name, note=" ".join(uses))
        if distributed.rank() == 0:
            write_record(self._run.path, prior.record(" ".join(uses)) if prior else none)
        return prior

    @property
    def _weights(self) -> Weights | None:
        prior = self._prior if self._starts_encoder else None
        return None if prior is None else prior.weights

    @property
    def _starts_encoder(self) -> bool:
        """Whether an encoder is trained with the field that a prior may start."""
        encoder = self._config.encoder
        if encoder.kind == "auto":  # a ViT with its own weights, where there is a GPU
            own = encoder.prior not in (BUNDLED_PRIOR, NO_PRIOR)
            return own and self._device.type == "cuda"
        return encoder.kind != "table"

    @property
    def _prior_named(self) -> bool:
        return self._config.encoder.prior != NO_PRIOR

    @property
    def _sorts_first(self) -> bool:
        """Whether classes come before the field: from image features, then."""
        return self._config.loop == "prior-first" and self._config.poses == "abinitio"

    def _feature_source(self) -> str:
        """What the classes come from, for people."""
        name = self._config.encoder.prior
        if not self._prior_named:
            return "classical image features"
        return f"features of the prior '{name}'"


def _reproducible(config: TrainConfig) -> TrainConfig:
    """Choose no number type by its speed where every run must give the same bits."""
    if config.deterministic and config.precision == "auto":
        return config.model_copy(update={"precision": "fp32"})
    return config


def _get(finished: Finished, name: str, kind: type[AnyStage]) -> AnyStage:
    stage = finished[name]
    assert isinstance(stage, kind)
    return stage
