"""Which stages a run goes through, made from its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.stack import ParticleStack
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.preprocess import encoder_view
from napari_cryodeco.model import precision
from napari_cryodeco.model.encoder import VitEncoder
from napari_cryodeco.runs.run import Run
from napari_cryodeco.train.abinit import AbinitStage, Looks, search_radius
from napari_cryodeco.train.device import choose_box
from napari_cryodeco.train.features import FeatureStage, classical_features, prior_features
from napari_cryodeco.train.joint import JointStage
from napari_cryodeco.train.linear_stage import SubspaceStage
from napari_cryodeco.train.parity import ParityStage
from napari_cryodeco.train.prepare import PrepareStage
from napari_cryodeco.train.refine import RefineStage
from napari_cryodeco.train.stages import Finished, Reporter, Stage, Step
from napari_cryodeco.train.subspace import Observations

LINEAR_RADIUS = 16
"""Fourier radius of the linear start: up to here the field begins from noise-free maps."""

AnyStage = TypeVar("AnyStage")


def steps(run: Run, device: torch.device) -> list[Step]:
    """List the stages of a run in their order, with their expected shares of the time."""
    return _Plan(run, device).steps()


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
            if self._config.poses == "abinitio":
                makers |= {
                    "features": self._features,
                    "abinit": self._abinit,
                    "joint": self._joint,
                }
            makers |= {"subspace": self._subspace, "refine": self._refine}
        seconds = self._seconds()
        return [Step(name, seconds[name], make) for name, make in makers.items()]

    def _seconds(self) -> dict[str, float]:
        """Expected durations, measured on two busy cores: of use as ratios, for the estimate."""
        settings, n = self._config.abinitio, len(self._run.particles)
        species = 3 if settings.classes == "auto" else settings.classes
        refine, parity = self._config.refine, self._config.parity
        points = (self._box() / 2) ** 2
        return {
            "prepare": 5e-3 * n,
            "features": 9e-3 * n,
            "abinit": 65.0 * species * settings.restarts,
            "joint": 0.08 * n * species,
            "subspace": 0.025 * n,
            "refine": 0.25 * refine.warmup + 4e-4 * points * n * refine.epochs,
            "parity": 4e-4 * points * n * parity.epochs + 5.0 * parity.search_images,
        }

    def _box(self) -> int:
        return choose_box(self._config.data.box, self._run.particles.box, self._device)

    def _prepare(self, finished: Finished) -> Stage:
        return PrepareStage(self._run, self._box())

    def _features(self, finished: Finished) -> Stage:
        classes, seed = self._config.abinitio.classes, self._config.seed
        run, prior = self._run, self._config.encoder.prior
        count = len(run.particles)

        def classical(report: Reporter) -> Tensor:
            return classical_features(run.images(), run.particles.ctf, run.geometry, report)

        def pretrained(report: Reporter) -> Tensor:
            assert prior is not None
            return prior_features(embedding(prior, self._views(), self._device), count, report)

        compute = classical if prior is None else pretrained
        return FeatureStage(compute, count, None if classes == "auto" else classes, seed)

    def _looks(self) -> Looks:
        geometry = self._run.geometry
        radius = search_radius(geometry)
        return Looks(self._run.images(), self._run.particles.ctf, geometry, radius, self._device)

    def _abinit(self, finished: Finished) -> Stage:
        posteriors = _get(finished, "features", FeatureStage).posteriors
        # starts run side by side, one thread each; a GPU takes them one by one
        threads = torch.get_num_threads() if self._device.type == "cpu" else 1
        return AbinitStage(
            self._looks(), posteriors, self._config.abinitio, self._config.seed, threads
        )

    def _joint(self, finished: Finished) -> Stage:
        volumes = _get(finished, "abinit", AbinitStage).volumes
        return JointStage(
            self._looks(), volumes, precision.choose(self._config.precision, self._device)
        )

    def _subspace(self, finished: Finished) -> Stage:
        geometry = self._run.geometry
        seen = Observations(
            self._images(),
            self._run.particles.ctf.to(self._device),
            self._poses(finished).to(self._device),
            geometry,
            min(LINEAR_RADIUS, geometry.radius),
        )
        posteriors = self._posteriors(finished)
        return SubspaceStage(seen, self._config.latent_size, self._config.seed, posteriors)

    def _refine(self, finished: Finished) -> Stage:
        return RefineStage(
            self._config,
            self._images(),
            self._run.particles.ctf,
            self._poses(finished),
            self._run.geometry,
            _get(finished, "subspace", SubspaceStage).model,
            self._views(),
            self._posteriors(finished),
            self._device,
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
        )

    def _images(self) -> Tensor:
        images = self._run.images()
        return images if self._device.type == "cpu" else images.to(self._device)

    def _poses(self, finished: Finished) -> Poses:
        if self._config.poses == "abinitio":
            return _get(finished, "joint", JointStage).assignment().poses
        poses = self._run.particles.poses
        assert poses is not None  # Run.create made sure
        return poses

    def _posteriors(self, finished: Finished) -> Tensor | None:
        if self._config.poses == "abinitio":
            return _get(finished, "joint", JointStage).assignment().posteriors
        return None

    def _views(self) -> Callable[[Tensor], Tensor]:
        """What a large encoder sees: the stored images, not the working copy."""
        stack, device = ParticleStack(self._run.particles), self._device
        return lambda rows: encoder_view(stack.read(rows.cpu()).to(device))


def embedding(
    prior: str, views: Callable[[Tensor], Tensor], device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Give class tokens of rows, by a pretrained encoder that is not changed."""
    encoder = VitEncoder.from_prior(prior, 1).to(device).eval()

    def embed(rows: Tensor) -> Tensor:
        with torch.no_grad():
            return encoder.features(views(rows))

    return embed


def _reproducible(config: TrainConfig) -> TrainConfig:
    """Choose no number type by its speed where every run must give the same bits."""
    if config.deterministic and config.precision == "auto":
        return config.model_copy(update={"precision": "fp32"})
    return config


def _get(finished: Finished, name: str, kind: type[AnyStage]) -> AnyStage:
    stage = finished[name]
    assert isinstance(stage, kind)
    return stage
