"""The last stage: the field fitted to the images, together with z and, if asked, the poses."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.stored_images import Images
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.model import precision
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.model.weights import Weights
from napari_cryodeco.train import distributed, shards
from napari_cryodeco.train.distil import distil, make_field
from napari_cryodeco.train.fitting import Fitting, Seen
from napari_cryodeco.train.latent_source import as_table, make_source
from napari_cryodeco.train.linear_model import LinearModel
from napari_cryodeco.train.shell_sums import ShellSums
from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.steadiness import Steadiness
from napari_cryodeco.train.views import Sight, Views

_LAST = ", the last epoch: clusters and orientations no longer change"


class RefineStage:
    """Fits the field; one unit is one epoch. Several processes may share the particles.

    Parameters
    ----------
    config
        All settings.
    images
        ``(n, p)`` float16 working coefficients on ``Ball(geometry.radius, 2)``, noise about 1.
    ctf, poses
        Of the particles; rotations and shifts are moved only when poses are refined. Images, CTF
        and poses are those of this process's particles, ``distributed.share`` of all.
    geometry
        Sizes and scale.
    start
        Linear model: first latents, and what the field learns before it sees an image.
    views
        Rows of this process to ViT views ``(b, 1, 224, 224)``; only a ViT needs them.
    posteriors
        ``(n, K)`` class memberships to keep with each epoch, if there are classes.
    device
        Where to compute.
    weights
        Of the prior; a "cnn" or a "vit" starts from them where they are of its kind.
    """

    name = "refine"

    def __init__(
        self,
        config: TrainConfig,
        images: Images,
        ctf: Ctf,
        poses: Poses,
        geometry: Geometry,
        start: LinearModel,
        views: Views | None = None,
        posteriors: Tensor | None = None,
        device: torch.device | str = "cpu",
        weights: Weights | None = None,
    ) -> None:
        self._config, self._settings = config, config.refine
        self._device = torch.device(device)
        self._seen, self._begin = Seen(images, ctf, geometry), poses.to(self._device)
        self._start = start.to(self._device)
        self._views, self._weights, self._posteriors = views, weights, posteriors
        self._moves_poses = config.refine_poses or config.poses == "abinitio"
        self._fit: Fitting | None = None
        self._state: dict[str, Tensor] | None = None
        self._steadiness = Steadiness(config.seed)

    def units(self) -> int:
        """Count the epochs: fewer than asked for, once nothing changes any more."""
        ends = self._steadiness.ends if self._settings.early_stop else None
        return min(ends or self._settings.epochs, self._settings.epochs)

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Make field, latents and optimiser, and take up their state."""
        drawn = generator(self._config.seed, "refine-start", 0)
        geometry, settings = self._seen.geometry, self._settings
        field = make_field(self._config.field, self._start, geometry.radius, drawn)
        field.compute = precision.choose(self._config.precision, self._device)
        z = self._start.coordinates[distributed.share(len(self._start.coordinates))]
        sight = Sight(
            self._seen.images, self._seen.ctf, geometry, self._device, self._views, self._weights
        )
        rates = settings.latent_rate, settings.encoder_rate
        with torch.random.fork_rng():
            torch.manual_seed(drawn.initial_seed())
            latents = make_source(self._config.encoder, z, sight, rates, tensors)
        variance = _prior_variance(self._start.coordinates)
        self._fit = Fitting(
            self._seen, field.to(self._device), latents, self._begin, settings, variance
        )
        if tensors is not None:
            self._fit.load(shards.own(tensors))
            self._steadiness.load(tensors)
        self._state = tensors

    def advance(self, unit: int, report: Reporter) -> None:
        """One pass over all particles."""
        drawn = generator(self._config.seed, self.name, unit)
        if unit == 0:
            self._warm_up(drawn, report)
        fit, after = self._fitting, self._config.encoder.table_after
        if after is not None and unit >= after:
            fit.latents = as_table(fit.latents, self._settings.latent_rate)
        count = len(self._start.coordinates)
        batches = shards.batches(count, self._settings.batch, drawn)
        radius = self._radius(unit)
        candidates = fit.half[fit.half < fit.disc.count(radius)]
        kept = max(1, round(self._settings.point_fraction * len(candidates)))
        sums = ShellSums(self._seen.geometry.radius, self._device)
        told = f"radius {radius}{_LAST if self._ending(unit) else ''}"
        for index, (rows, weight) in enumerate(batches):
            points = candidates
            if kept < len(candidates):
                points = candidates[torch.randperm(len(candidates), generator=drawn)[:kept]]
            share = self._share(unit, index / len(batches))
            fit.step(rows, points, share, sums, self._moves_poses, weight)
            report.step(index + 1, len(batches), told)
        fit.latents.settle()
        sums.report(report, self._seen.geometry.length)
        self._state = shards.whole(fit.tensors())
        if self._settings.early_stop and not self._steadiness.ends:
            if distributed.rank() == 0:  # it alone has the rows of all
                self._look(unit + 1, radius, self._state, report)
            self._steadiness.end_after(int(distributed.from_first([self._steadiness.ends or 0])[0]))

    def _look(self, epoch: int, radius: int, state: dict[str, Tensor], report: Reporter) -> None:
        """See whether z and poses still change; if not, the next epoch is the last."""
        rotations = state["poses.rotations"] if self._moves_poses else None
        change = self._steadiness.look(epoch, state["latents.values"], rotations)
        if change is None:
            return
        if change.moved is not None:
            report.metric("changed clusters", change.moved)
        if change.turned is not None:
            report.metric("turned", math.degrees(change.turned))
        if change.steady and radius == self._seen.geometry.radius:
            self._steadiness.end_after(epoch + 1)

    def _ending(self, unit: int) -> bool:
        """Whether this is the last epoch, before all are done."""
        return unit + 1 == self.units() < self._settings.epochs

    def _share(self, unit: int, done: float) -> float:
        """Share of the full rates when so much (0…1) of an epoch is done: it falls to a twentieth.

        The last epoch of a refinement that ends early goes the rest of the way.
        """
        share = 1 - (unit + done) / self._settings.epochs
        if self._ending(unit):
            share = (1 - unit / self._settings.epochs) * (1 - done)
        return max(0.05, share)

    def _warm_up(self, drawn: torch.Generator, report: Reporter) -> None:
        def tell(done: int, of: int) -> None:
            report.step(done, of, "linear model into field")

        fit = self._fitting
        error = distil(fit.field, self._start, self._settings.warmup, drawn, tell)
        report.metric("warm-up error", error)
        distributed.copy_first_(fit.field.state_dict().values())  # GPUs need not agree to the bit
        fit.latents.begin(drawn, lambda done, of: report.step(done, of, "encoder"))

    def _radius(self, unit: int) -> int:
        """Fourier radius of an epoch: never under that of the linear model."""
        full = self._seen.geometry.radius
        first = min(full, max(self._settings.start_radius, self._start.radius))
        rise = self._settings.march * self._settings.epochs
        grown = 1.0 if rise == 0 else min(1.0, (unit + 1) / rise)
        return first + math.ceil(grown * (full - first))

    @property
    def _fitting(self) -> Fitting:
        if self._fit is None:
            raise RuntimeError("Call load() before the first epoch.")
        return self._fit

    @property
    def field(self) -> FieldDecoder:
        """The field after the last epoch."""
        return self._fitting.field

    @property
    def latents(self) -> Tensor:
        """``(n, d)`` latents after the last epoch, of this process's particles."""
        return self._fitting.latents.values

    @property
    def poses(self) -> Poses:
        """Poses after the last epoch, of this process's particles."""
        return self._fitting.poses.poses

    def tensors(self) -> dict[str, Tensor]:
        """Field, latents, poses, moments, the last look; of all particles at the first process."""
        state = self._fitting.tensors() if self._state is None else self._state
        return state | self._steadiness.tensors()

    def epoch_files(self, folder: Path) -> None:
        """Write field, latents, poses, classes, encoder and the consensus map of the last epoch."""
        self._fitting.write(folder, self._posteriors, self.tensors())


def _prior_variance(z: Tensor) -> Tensor:
    """Variance ``(d,)``: an axis that the start leaves empty may grow to a tenth of the widest."""
    if not z.shape[1]:
        return z.new_zeros(0)
    return z.std(0).clamp_min(0.1 * float(z.std(0).max())) ** 2
