"""The last stage: the field fitted to the images, together with z and, if asked, the poses."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.model import precision
from napari_cryodeco.model.latents import PoseTable
from napari_cryodeco.runs.store import write_mrc, write_tensors
from napari_cryodeco.train import optimiser
from napari_cryodeco.train.distil import distil, make_field
from napari_cryodeco.train.latent_source import Views, WorkingViews, make_source
from napari_cryodeco.train.shell_sums import ShellSums
from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.subspace import LinearModel


class RefineStage:
    """Fits the field; one unit is one epoch.

    Parameters
    ----------
    config
        All settings.
    images
        ``(n, p)`` float16 working coefficients on ``Ball(geometry.radius, 2)``, noise about 1.
    ctf, poses
        Of the particles; rotations and shifts are moved only when poses are refined.
    geometry
        Sizes and scale.
    start
        Linear model: first latents, and what the field learns before it sees an image.
    views
        Rows to ViT views ``(b, 1, 224, 224)``; only a ViT needs them.
    posteriors
        ``(n, K)`` class memberships to keep with each epoch, if there are classes.
    device
        Where to compute.
    """

    name = "refine"

    def __init__(
        self,
        config: TrainConfig,
        images: Tensor,
        ctf: Ctf,
        poses: Poses,
        geometry: Geometry,
        start: LinearModel,
        views: Views | None = None,
        posteriors: Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self._config, self._settings, self._geometry = config, config.refine, geometry
        self._device = torch.device(device)
        self._images, self._ctf = images, ctf.to(self._device)
        self._views, self._posteriors = views, posteriors
        self._disc = Ball(geometry.radius, 2, self._device)
        self._half = torch.nonzero(
            torch.arange(len(self._disc), device=self._device) < self._disc.mirror
        )[:, 0]
        self._start = LinearModel.of_tensors(
            {name: value.to(self._device) for name, value in start.tensors().items()}
        )
        self._poses = PoseTable(poses.to(self._device), geometry.pixel_size)
        self._moves_poses = config.refine_poses or config.poses == "abinitio"

    def units(self) -> int:
        """Count the epochs."""
        return self._settings.epochs

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Make field, latents and optimiser, and take up their state."""
        seed, settings = self._config.seed, self._settings
        drawn = generator(seed, "refine-start", 0)
        field = make_field(self._config.field, self._start, self._geometry.radius, drawn)
        self.field = field.to(self._device)
        self.field.compute = precision.choose(self._config.precision, self._device)
        working = WorkingViews(self._images, self._disc, self._geometry.box, self._device)
        with torch.random.fork_rng():
            torch.manual_seed(drawn.initial_seed())
            self._latents = make_source(
                self._config.encoder,
                self._start.coordinates,
                self._views,
                working,
                (settings.latent_rate, settings.encoder_rate),
            )
        self._optimiser = torch.optim.AdamW(
            self.field.parameters(), lr=settings.field_rate, weight_decay=settings.weight_decay
        )
        if tensors is None:
            return
        weights = {
            name.removeprefix("field."): value
            for name, value in tensors.items()
            if name.startswith("field.")
        }
        self.field.load_state_dict(weights)
        optimiser.load(self._optimiser, tensors, "optimiser")
        self._latents.load(tensors)
        self._poses.load(tensors, "poses")

    def advance(self, unit: int, report: Reporter) -> None:
        """One pass over all particles."""
        drawn = generator(self._config.seed, self.name, unit)
        if unit == 0:
            self._warm_up(drawn, report)
        batches = torch.randperm(len(self._images), generator=drawn).split(self._settings.batch)
        radius = self._radius(unit)
        candidates = self._half[self._half < self._disc.count(radius)]
        kept = max(1, round(self._settings.point_fraction * len(candidates)))
        sums = ShellSums(self._geometry.radius, self._device)
        total = self.units() * len(batches)
        for index, rows in enumerate(batches):
            points = candidates
            if kept < len(candidates):
                points = candidates[torch.randperm(len(candidates), generator=drawn)[:kept]]
            share = max(0.05, 1 - (unit * len(batches) + index) / total)
            self._step(rows, points, share, sums)
            report.step(index + 1, len(batches), f"radius {radius}")
        self._latents.settle()
        sums.report(report, self._geometry.length)

    def _warm_up(self, drawn: torch.Generator, report: Reporter) -> None:
        def tell(done: int, of: int) -> None:
            report.step(done, of, "linear model into field")

        error = distil(self.field, self._start, self._settings.warmup, drawn, tell)
        report.metric("warm-up error", error)
        self._latents.begin(drawn, lambda done, of: report.step(done, of, "encoder"))

    def _radius(self, unit: int) -> int:
        """Fourier radius of an epoch: never under that of the linear model."""
        first = max(self._settings.start_radius, self._start.radius)
        rise = self._settings.march * self.units()
        grown = 1.0 if rise == 0 else min(1.0, (unit + 1) / rise)
        full = self._geometry.radius
        return min(full, first + math.ceil(grown * max(full - first, 0)))

    def _step(self, rows: Tensor, points: Tensor, share: float, sums: ShellSums) -> None:
        """One gradient step on a batch: `points` are indices of one half of the disc."""
        rows = rows.to(self._device)
        z = self._latents.visit(rows)
        visit = self._poses.visit(rows)
        poses = visit.poses() if self._moves_poses else self._poses.poses[rows]
        data = self._centred(rows, points, poses.shifts)
        where = self._disc.points[points].float() @ poses.rotations[:, :2]
        frequencies = self._disc.frequencies(self._geometry.box, self._geometry.pixel_size)
        gain = self._ctf[rows].at(frequencies[points])[:, None]
        found = self.field.forward_pairs(where, z) * gain
        error = (data - found).square().mean()
        # noise 1 in len(disc) coefficients: this is the log posterior per coefficient
        prior = (z.square() / self._variance()).sum(1).mean() / len(self._disc)
        self._optimiser.zero_grad(set_to_none=True)
        (error + prior).backward()
        optimiser.set_rate(self._optimiser, share * self._settings.field_rate)
        self._optimiser.step()
        self._latents.update(rows, z, share)
        if self._moves_poses:
            rates = share * self._settings.rotation_rate, share * self._settings.shift_rate
            self._poses.update(rows, visit, *rates)
        sums.add(data.detach(), found.detach(), self._disc.shells[points])

    def _centred(self, rows: Tensor, points: Tensor, shifts: Tensor) -> Tensor:
        """Coefficients at `points` and at their opposites, shifted to the centre: ``(b, 2, q)``."""
        where = rows.to(self._images.device)
        pairs = torch.stack([points, self._disc.mirror[points]])
        values = self._images[where].to(self._device)[:, pairs].float()
        moved = shifts / self._geometry.length
        phase = 2 * math.pi * moved @ self._disc.points[points].float().T
        cosine, sine = phase.cos(), phase.sin()
        here, there = values.unbind(1)
        return torch.stack([here * cosine + there * sine, there * cosine - here * sine], 1)

    def _variance(self) -> Tensor:
        """Prior variance of each latent; a tenth of the widest for those the start leaves empty.

        A start that found nothing that varies leaves all empty: the widest is then 1.
        """
        spread = self._start.coordinates.std(0)
        return spread.clamp_min(0.1 * (float(spread.max()) or 1.0)) ** 2

    @property
    def latents(self) -> Tensor:
        """``(n, d)`` latents after the last epoch."""
        return self._latents.values

    @property
    def poses(self) -> Poses:
        """Poses after the last epoch."""
        return self._poses.poses

    def tensors(self) -> dict[str, Tensor]:
        """Field, latents, poses and moments."""
        weights = {f"field.{name}": value for name, value in self.field.state_dict().items()}
        moments = optimiser.tensors(self._optimiser, "optimiser")
        return weights | moments | self._latents.tensors() | self._poses.tensors("poses")

    def epoch_files(self, folder: Path) -> None:
        """Write field, latents, poses, classes, encoder and the consensus map of the last epoch."""
        self.field.save(folder / "field.safetensors", self._geometry)
        write_tensors(folder / "latents.safetensors", {"latents": self.latents})
        poses = {"rotations": self.poses.rotations, "shifts": self.poses.shifts}
        write_tensors(folder / "poses.safetensors", poses)
        write_tensors(
            folder / "optimiser.safetensors", optimiser.tensors(self._optimiser, "optimiser")
        )
        if self._posteriors is not None:
            write_tensors(folder / "classes.safetensors", {"posteriors": self._posteriors})
        self._latents.write(folder)
        write_mrc(folder / "consensus.mrc", self._consensus(), self._geometry.pixel_size)

    def _consensus(self) -> Tensor:
        ball = Ball(self._geometry.radius, 3, self._device)
        h = self.field.decode_ball(self.latents.mean(0, keepdim=True), ball)
        return ball.to_map(h, self._geometry.box, self._geometry.scale)[0]
