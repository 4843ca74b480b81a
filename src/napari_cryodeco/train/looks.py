"""The images as the pose search sees them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from napari_cryodeco.data.stored_images import StoredImages
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.spectrum import signal_power
from napari_cryodeco.model.evidence import Evidence

MOST = 4000  # images that the signal power is measured on
FEW = 500  # images that the mean CTF is taken of
LARGEST_RADIUS = 16


def search_radius(geometry: Geometry) -> int:
    """Radius of the ab initio search: 16 resolves a degree or two, and a small box has less."""
    return min(LARGEST_RADIUS, geometry.radius)


@dataclass(frozen=True)
class Looks:
    """The images as the search sees them: noise 1, CTF known, up to `radius`.

    `products`: see :class:`Evidence`.
    """

    images: Tensor | StoredImages
    ctf: Ctf
    geometry: Geometry
    radius: int
    device: torch.device
    products: torch.dtype = torch.float32

    def evidence(self, rows: Tensor) -> Evidence:
        """Evidence of some particles, float32, on the device."""
        images, ctf = self._seen(rows, Ball(self.radius, 2))
        seen = Evidence.of(images.to(self.device), ctf.to(self.device), self.ball)
        return replace(seen, products=self.products)

    @cached_property
    def ball(self) -> Ball:
        """The 2-D ball of the images, on the device."""
        return Ball(self.radius, 2, self.device)

    @cached_property
    def power(self) -> Tensor:
        """Signal power per shell, from up to :data:`MOST` images."""
        n = len(self.images)
        rows, ball = torch.linspace(0, n - 1, min(n, MOST)).long(), Ball(self.radius, 2)
        return signal_power(*self._seen(rows, ball), ball, self.radius).to(self.device)

    def information(self, radius: int) -> float:
        """What the mean image tells up to `radius`: log-likelihood of its true slice, expected."""
        n, ball = len(self.images), Ball(min(radius, self.radius), 2)
        _, ctf = self._seen(torch.linspace(0, n - 1, min(n, FEW)).long(), ball)
        told = ctf.square().mean(0) * self.power.cpu()[ball.shells]
        return 0.5 * float(told[ball.shells > 0].sum())

    def _seen(self, rows: Tensor, ball: Ball) -> tuple[Tensor, Tensor]:
        ctf = self.ctf[rows].at(ball.frequencies(self.geometry.box, self.geometry.pixel_size))
        return self.images[rows, : len(ball)].float(), ctf


@dataclass(frozen=True)
class Stream:
    """Particles `rows` of `looks`, read when they are asked for: memory does not grow with them."""

    looks: Looks
    rows: Tensor

    @property
    def ball(self) -> Ball:
        """The 2-D ball of the images, on the device."""
        return self.looks.ball

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: Tensor | slice) -> Evidence:
        here = places if isinstance(places, slice) else places.to(self.rows.device)
        return self.looks.evidence(self.rows[here])
