"""A field fitted to images: one gradient step, and all that is kept between steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from napari_cryodeco.data.stored_images import Images
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.model.latents import PoseTable
from napari_cryodeco.runs.store import write_mrc, write_tensors
from napari_cryodeco.stage_config import RefineConfig
from napari_cryodeco.train import distributed, optimiser
from napari_cryodeco.train.latent_source import LatentSource
from napari_cryodeco.train.shell_sums import ShellSums


@dataclass(frozen=True)
class Seen:
    """Images ``(n, p)`` as coefficients on ``Ball(geometry.radius, 2)`` (noise 1), and CTF."""

    images: Images
    ctf: Ctf
    geometry: Geometry


class Fitting:
    """Field, latents and poses that are moved together.

    Parameters
    ----------
    seen
        The images; they may stay on the CPU.
    field, latents
        On the device.
    poses
        Where they begin, on the device.
    rates
        Learning rates and weight decay.
    variance
        ``(d,)`` prior variance of each latent.
    """

    def __init__(
        self,
        seen: Seen,
        field: FieldDecoder,
        latents: LatentSource,
        poses: Poses,
        rates: RefineConfig,
        variance: Tensor,
    ) -> None:
        self.device = poses.shifts.device
        self.seen, self.field, self.latents = seen, field, latents
        self._ctf = seen.ctf.to(self.device)
        self.disc = Ball(seen.geometry.radius, 2, self.device)
        order = torch.arange(len(self.disc), device=self.device)
        self.half = torch.nonzero(order < self.disc.mirror)[:, 0]
        self.poses = PoseTable(poses, seen.geometry.pixel_size)
        self._rates, self._variance = rates, variance
        self._optimiser = torch.optim.AdamW(
            field.parameters(), lr=rates.field_rate, weight_decay=rates.weight_decay
        )

    def step(
        self,
        rows: Tensor,
        points: Tensor,
        share: float,
        sums: ShellSums,
        moves_poses: bool,
        weight: float = 1.0,
        latent_share: float | None = None,
    ) -> None:
        """One gradient step.

        Parameters
        ----------
        rows
            Distinct particles ``(b,)``.
        points
            Indices of points of one half of the disc; their opposites are used as well.
        share
            Share of the full learning rates.
        sums
            Where the agreement is counted.
        moves_poses
            Whether poses move too.
        weight
            Share of the step's particles that `rows` are; other processes have the rest.
        latent_share
            Share of the rate of the latents, or of their encoder, where it is another.
        """
        rows = rows.to(self.device)
        z = self.latents.visit(rows)
        visit = self.poses.visit(rows)
        poses = visit.poses() if moves_poses else self.poses.poses[rows]
        error = self._error(rows, points, z, poses, sums)
        # noise 1 in len(disc) coefficients: this is the log posterior per coefficient
        prior = (z.square() / self._variance).sum(1).mean() / len(self.disc)
        self._optimiser.zero_grad(set_to_none=True)
        (weight * (error + prior)).backward()
        distributed.sum_gradients(self.field.parameters())
        optimiser.set_rate(self._optimiser, share * self._rates.field_rate)
        self._optimiser.step()
        self.latents.update(rows, z, share if latent_share is None else latent_share)
        if moves_poses:
            turn, move = share * self._rates.rotation_rate, share * self._rates.shift_rate
            self.poses.update(rows, visit, turn, move)

    def field_step(self, rows: Tensor, points: Tensor, poses: Poses, sums: ShellSums) -> None:
        """One step of the field alone, at poses that are not kept."""
        rows = rows.to(self.device)
        error = self._error(rows, points, self.latents.values[rows], poses, sums)
        self._optimiser.zero_grad(set_to_none=True)
        error.backward()
        optimiser.set_rate(self._optimiser, self._rates.field_rate)
        self._optimiser.step()

    def _error(
        self, rows: Tensor, points: Tensor, z: Tensor, poses: Poses, sums: ShellSums
    ) -> Tensor:
        data = self.centred(rows, points, poses.shifts)
        where = self.disc.points[points].float() @ poses.rotations[:, :2]
        found = self.field.forward_pairs(where, z) * self.gain(rows, points)[:, None]
        sums.add(data.detach(), found.detach(), self.disc.shells[points])
        return (data - found).square().mean()

    def gain(self, rows: Tensor, points: Tensor) -> Tensor:
        """CTF ``(b, q)`` of `rows` at `points`."""
        geometry = self.seen.geometry
        frequencies = self.disc.frequencies(geometry.box, geometry.pixel_size)
        return self._ctf[rows].at(frequencies[points])

    def centred(self, rows: Tensor, points: Tensor, shifts: Tensor) -> Tensor:
        """Coefficients at `points` and their opposites, `shifts` (Å) applied: ``(b, 2, q)``."""
        values = self.seen.images[rows.to(self.seen.images.device)].to(self.device)
        pairs = torch.stack([points, self.disc.mirror[points]])
        here, there = values[:, pairs].float().unbind(1)
        moved = shifts / self.seen.geometry.length
        phase = 2 * math.pi * moved @ self.disc.points[points].float().T
        cosine, sine = phase.cos(), phase.sin()
        return torch.stack([here * cosine + there * sine, there * cosine - here * sine], 1)

    def tensors(self) -> dict[str, Tensor]:
        """Field, latents, poses and moments; names of rows begin as `shards` has it."""
        weights = {f"field.{name}": value for name, value in self.field.state_dict().items()}
        moments = optimiser.tensors(self._optimiser, "optimiser")
        return weights | moments | self.latents.tensors() | self.poses.tensors("poses")

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take the state back."""
        weights = {
            name.removeprefix("field."): value
            for name, value in tensors.items()
            if name.startswith("field.")
        }
        self.field.load_state_dict(weights)
        optimiser.load(self._optimiser, tensors, "optimiser")
        self.latents.load(tensors)
        self.poses.load(tensors, "poses")

    def write(self, folder: Path, posteriors: Tensor | None, state: dict[str, Tensor]) -> None:
        """Write the files of an epoch: field, latents, poses, classes, encoder, consensus map.

        `state` is what :meth:`tensors` gives, with the rows of all processes.
        """
        geometry = self.seen.geometry
        self.field.save(folder / "field.safetensors", geometry)
        latents = state["latents.values"]
        write_tensors(folder / "latents.safetensors", {"latents": latents})
        poses = {name: state[f"poses.{name}"] for name in ("rotations", "shifts")}
        write_tensors(folder / "poses.safetensors", poses)
        moments = optimiser.tensors(self._optimiser, "optimiser")
        write_tensors(folder / "optimiser.safetensors", moments)
        if posteriors is not None:
            write_tensors(folder / "classes.safetensors", {"posteriors": posteriors})
        self.latents.write(folder)
        ball = Ball(geometry.radius, 3, self.device)
        h = self.field.decode_ball(latents.mean(0, keepdim=True).to(self.device), ball)
        consensus = ball.to_map(h, geometry.box, geometry.scale)[0]
        write_mrc(folder / "consensus.mrc", consensus, geometry.pixel_size)
