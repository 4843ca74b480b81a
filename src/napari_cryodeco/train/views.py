"""What encoders see of the particles `rows` ``(b,)``: images ``(b, 1, s, s)``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.stack import ParticleStack
from napari_cryodeco.data.stored_images import Images
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.preprocess import encoder_view
from napari_cryodeco.model.encoder import ConvEncoder, VitEncoder
from napari_cryodeco.model.prior import RADIUS, PriorEncoder, prior_view
from napari_cryodeco.model.weights import Weights, load_encoder

Views = Callable[[Tensor], Tensor]
_READING = 64  # images encoded at once


class WorkingViews:
    """Views of unit variance for the small encoder that starts from nothing.

    Parameters
    ----------
    images
        ``(n, p)`` coefficients on ``Ball(geometry.radius, 2)``.
    geometry
        Sizes; boxes larger than 64 px are cropped.
    device
        Where the views are wanted.
    """

    def __init__(self, images: Images, geometry: Geometry, device: torch.device) -> None:
        self._images, self._device = images, device
        self._box = min(geometry.box, ConvEncoder.view)
        self._ball = Ball(min(geometry.radius, self._box // 2 - 1), 2, device)

    def __call__(self, rows: Tensor) -> Tensor:
        """Views of `rows`."""
        h = self._images[rows.to(self._images.device), : len(self._ball)].to(self._device).float()
        views = self._ball.to_map(h, self._box)
        return (views / views.std((1, 2), keepdim=True).clamp_min(1e-6))[:, None]


class PriorViews:
    """Views of the small prior: working coefficients, corrected for the CTF.

    Parameters
    ----------
    images, ctf, geometry
        ``(n, p)`` coefficients on ``Ball(geometry.radius, 2)``, their CTF and sizes.
    device
        Where the views are wanted.
    """

    def __init__(self, images: Images, ctf: Ctf, geometry: Geometry, device: torch.device) -> None:
        self._images, self._device = images, device
        self._ctf = ctf.to(device)
        self._ball = Ball(min(geometry.radius, RADIUS), 2, device)
        self._frequencies = self._ball.frequencies(geometry.box, geometry.pixel_size)

    def __call__(self, rows: Tensor) -> Tensor:
        """Views of `rows`."""
        h = self._images[rows.to(self._images.device), : len(self._ball)].to(self._device).float()
        return prior_view(h, self._ctf[rows.to(self._device)].at(self._frequencies), self._ball)


class StoredViews:
    """Views of a ViT: the stored images in the contrast of their file, not the working copy."""

    def __init__(self, particles: Particles, device: torch.device) -> None:
        self._stack, self._device = ParticleStack(particles), device

    def __call__(self, rows: Tensor) -> Tensor:
        """Views of `rows`."""
        return encoder_view(self._stack.read(rows.cpu()).to(self._device))


@dataclass(frozen=True)
class Sight:
    """All that an encoder may look at, and the weights that it may start from.

    `images` ``(n, p)``, `ctf` and `geometry` are those of the working copy; `stored` gives the
    views of a ViT where the stack is at hand; `weights` are those of the run's prior.
    """

    images: Images
    ctf: Ctf
    geometry: Geometry
    device: torch.device
    stored: Views | None = None
    weights: Weights | None = None

    def encoder(
        self, kind: Literal["cnn", "vit"], latent_dim: int
    ) -> tuple[PriorEncoder | ConvEncoder | VitEncoder, Views]:
        """An encoder and its views: that of the prior where it is of this kind, else a new one.

        Raises
        ------
        ValueError
            If a ViT is asked for without the stored images.
        """
        given = self.prior_is(kind)
        if kind == "cnn":
            if given is not None:
                views = PriorViews(self.images, self.ctf, self.geometry, self.device)
                return load_encoder(given, latent_dim), views
            return ConvEncoder(latent_dim), WorkingViews(self.images, self.geometry, self.device)
        if self.stored is None:
            raise ValueError(
                "encoder.kind 'vit' needs the images themselves: train from a stack, not from a "
                "copy."
            )
        encoder = VitEncoder(latent_dim) if given is None else load_encoder(given, latent_dim)
        return encoder, self.stored

    def prior_is(self, kind: Literal["cnn", "vit"]) -> Weights | None:
        """Weights of the prior, if they are of an encoder of this kind."""
        wanted = "small" if kind == "cnn" else kind
        held = self.weights
        return held if held is not None and held.kind == wanted else None


class CachedFeatures:
    """Features ``(b, dim)`` of a frozen encoder, taken once: what its head alone sees.

    Parameters
    ----------
    encoder
        The encoder, on the device.
    views
        Rows to its views.
    count
        Number of particles.
    device
        Where the features are wanted.
    """

    def __init__(
        self,
        encoder: PriorEncoder | VitEncoder,
        views: Views,
        count: int,
        device: torch.device,
    ) -> None:
        encoder.eval()
        self._features = torch.empty(0, device=device)
        with torch.no_grad():
            for rows in torch.arange(count, device=device).split(_READING):
                some = encoder.features(views(rows))
                if not len(self._features):
                    self._features = some.new_empty(count, some.shape[1])
                self._features[rows] = some

    def __call__(self, rows: Tensor) -> Tensor:
        """Features ``(b, dim)`` of `rows`."""
        return self._features[rows]
