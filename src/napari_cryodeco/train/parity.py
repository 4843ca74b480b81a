"""The published loop: warm-up, hierarchical pose search, gradient descent (algorithm.md §4.2–4.4).

The field comes first and nothing explicit stands beside it: slices of every image and pose are
those of the network at the image's own z. It is the oracle that the quick way is measured against.
"""

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
from napari_cryodeco.imaging.so3 import random_rotations
from napari_cryodeco.model import precision
from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.model.exact_search import exact_search
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.model.weights import Weights
from napari_cryodeco.train.fitting import Fitting, Seen
from napari_cryodeco.train.latent_source import EncoderSource, as_table, make_source
from napari_cryodeco.train.shell_sums import ShellSums
from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.views import Sight, Views

_LATENT_START = 0.1
_ENCODER_FLOOR = 1 / 6  # 1e-5 of 6e-5


class ParityStage:
    """One unit is the warm-up, an epoch of pose search, or an epoch of gradient descent.

    Parameters
    ----------
    config
        All settings; `parity` and the rates of `refine` count here.
    images
        ``(n, p)`` float16 working coefficients on ``Ball(geometry.radius, 2)``, noise about 1.
    ctf, geometry
        Of the particles.
    poses
        From the file; None: they are searched.
    views
        Rows to ViT views ``(b, 1, 224, 224)``; only a ViT needs them.
    device
        Where to compute.
    weights
        Of the prior; a "cnn" or a "vit" starts from them where they are of its kind.
    """

    name = "parity"

    def __init__(
        self,
        config: TrainConfig,
        images: Images,
        ctf: Ctf,
        geometry: Geometry,
        poses: Poses | None = None,
        views: Views | None = None,
        device: torch.device | str = "cpu",
        weights: Weights | None = None,
    ) -> None:
        self._config, self._settings = config, config.parity
        self._seen, self._given = Seen(images, ctf, geometry), poses
        self._views, self._weights = views, weights
        self._device = torch.device(device)
        self._fit: Fitting | None = None

    def units(self) -> int:
        """Count warm-up, search and descent epochs."""
        return 1 + self._searches() + self._settings.epochs

    def _searches(self) -> int:
        if self._given is not None:
            return 0
        return min(6, max(2, round(self._settings.search_images / len(self._seen.images))))

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Make a random field and random latents, or take up their state."""
        n, geometry = len(self._seen.images), self._seen.geometry
        drawn = generator(self._config.seed, "parity-start", 0)
        size = self._config.latent_size(gpu=self._device.type != "cpu")
        if tensors is not None:  # begun where another device may have chosen
            size = tensors["latents.values"].shape[1]
        z = (_LATENT_START * torch.randn(n, size, generator=drawn)).to(self._device)
        sight = Sight(
            self._seen.images, self._seen.ctf, geometry, self._device, self._views, self._weights
        )
        rates = self._config.refine.latent_rate, self._config.refine.encoder_rate
        with torch.random.fork_rng():
            torch.manual_seed(drawn.initial_seed())
            ones = torch.ones(geometry.radius + 1)
            field = FieldDecoder(self._config.field, z.shape[1], geometry.radius, ones)
            latents = make_source(self._config.encoder, z, sight, rates, tensors)
        field.compute = precision.choose(self._config.precision, self._device)
        start = self._given or Poses(torch.eye(3).expand(n, 3, 3), torch.zeros(n, 2))
        self._fit = Fitting(
            self._seen,
            field.to(self._device),
            latents,
            start.to(self._device),
            self._config.refine,
            torch.full((z.shape[1],), math.inf, device=self._device),
        )
        if tensors is not None:
            self._fit.load(tensors)

    def advance(self, unit: int, report: Reporter) -> None:
        """Do one unit."""
        drawn = generator(self._config.seed, self.name, unit)
        sums = ShellSums(self._seen.geometry.radius, self._device)
        if unit == 0:
            self._warm_up(drawn, sums, report)
        elif unit <= self._searches():
            self._search(unit, drawn, sums, report)
        else:
            self._descend(unit, drawn, sums, report)
        self._fitting.latents.settle()
        sums.report(report, self._seen.geometry.length)

    def _warm_up(self, drawn: torch.Generator, sums: ShellSums, report: Reporter) -> None:
        """Teach the field alone a blurred ball: images at random rotations, or at given poses."""
        fit, n = self._fitting, len(self._seen.images)
        fit.latents.settle()
        batch = self._settings.warmup_batch
        steps = math.ceil(self._settings.warmup_images / batch)
        for step in range(steps):
            rows = torch.randperm(n, generator=drawn)[:batch]
            poses = fit.poses.poses[rows.to(self._device)]
            if self._given is None:
                turned = random_rotations(len(rows), drawn).to(self._device)
                poses = Poses(turned, torch.zeros_like(poses.shifts))
            fit.field_step(rows, fit.half, poses, sums)
            report.step(step + 1, steps, "warm-up")

    def _search(self, unit: int, drawn: torch.Generator, sums: ShellSums, report: Reporter) -> None:
        """Find the pose of each image with the field as it is, then take one step there."""
        fit, settings = self._fitting, self._settings
        batches = torch.randperm(len(self._seen.images), generator=drawn)
        batches = batches.split(settings.search_batch)
        for index, rows in enumerate(batches):
            rows = rows.to(self._device)
            with torch.no_grad():
                z = fit.latents.visit(rows).detach()
                rotations, shifts = exact_search(
                    fit.field,
                    z,
                    self._evidence(rows),
                    settings.search_level,
                    settings.kept,
                    settings.levels,
                )
            fit.poses.set(rows, rotations, shifts * self._seen.geometry.length)
            latent_share = self._encoder_share(unit - 1 + index / len(batches))
            fit.step(rows, fit.half, 1.0, sums, False, latent_share=latent_share)
            report.step(index + 1, len(batches), "pose search")

    def _evidence(self, rows: Tensor) -> Evidence:
        fit = self._fitting
        images = self._seen.images[rows.to(self._seen.images.device)].to(self._device).float()
        everything = torch.arange(len(fit.disc), device=self._device)
        return Evidence.of(images, fit.gain(rows, everything), fit.disc)

    def _descend(
        self, unit: int, drawn: torch.Generator, sums: ShellSums, report: Reporter
    ) -> None:
        """Move field, latents and, unless they were given, poses."""
        fit, after = self._fitting, self._config.encoder.table_after
        if after is not None and unit - 1 - self._searches() >= after:
            fit.latents = as_table(fit.latents, self._config.refine.latent_rate)
        batch = self._config.refine.batch if self._given is None else self._settings.warmup_batch
        batches = torch.randperm(len(self._seen.images), generator=drawn).split(batch)
        moves = self._given is None or self._config.refine_poses
        for index, rows in enumerate(batches):
            latent_share = self._encoder_share(unit - 1 + index / len(batches))
            fit.step(rows, fit.half, 1.0, sums, moves, latent_share=latent_share)
            report.step(index + 1, len(batches), "descent")

    def _encoder_share(self, epoch: float) -> float:
        """Share of the encoder's rate, `epoch` counted from the first after the warm-up.

        Rises in the first epoch, then falls to a sixth along a cosine (algorithm.md §4.0).
        """
        if not isinstance(self._fitting.latents, EncoderSource):
            return 1.0
        if epoch < 1:
            return epoch
        turn = math.pi * (epoch - 1) / (self._searches() + self._settings.epochs)
        return _ENCODER_FLOOR + (1 - _ENCODER_FLOOR) * 0.5 * (1 + math.cos(turn))

    @property
    def _fitting(self) -> Fitting:
        if self._fit is None:
            raise RuntimeError("Call load() before the first epoch.")
        return self._fit

    @property
    def latents(self) -> Tensor:
        """``(n, d)`` latents after the last unit."""
        return self._fitting.latents.values

    @property
    def poses(self) -> Poses:
        """Poses after the last unit."""
        return self._fitting.poses.poses

    def tensors(self) -> dict[str, Tensor]:
        """Field, latents, poses and moments."""
        return self._fitting.tensors()

    def epoch_files(self, folder: Path) -> None:
        """Write the files of an epoch."""
        self._fitting.write(folder, None, self.tensors())
