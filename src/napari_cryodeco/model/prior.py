"""The small prior: a convolutional net that puts images of one species together.

It sees 32-px views corrected for the CTF, so that two cores run it over 100,000 particles in
minutes.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.centring import centred
from napari_cryodeco.model.invariants import invariants, length

SIDE = 32
RADIUS = SIDE // 2 - 1
FLOOR = 0.1
"""Wiener constant: noise over signal power that the CTF correction expects."""


def prior_view(images: Tensor, ctf: Tensor, ball: Ball) -> Tensor:
    """Views ``(b, 1, 32, 32)`` of working coefficients, corrected for the CTF.

    Parameters
    ----------
    images
        ``(b, m)`` working coefficients (noise 1) on the 2-D `ball`, or a prefix of it.
    ctf
        ``(b, m)`` or longer, CTF at the same points.
    ball
        Points of the coefficients.
    """
    count = min(images.shape[1], ball.count(RADIUS))
    seen, passed = images[:, :count].float(), ctf[:, :count]
    return ball.to_map(seen * wiener(passed), SIDE, SIDE)[:, None]


def view_of_pixels(images: Tensor, ctf: Tensor) -> Tensor:
    """Same views ``(b, 1, 32, 32)`` of windowed 32-px images of noise 1.

    Parameters
    ----------
    images
        ``(b, 32, 32)``.
    ctf
        ``(b, 32, 17)`` CTF in the order of `torch.fft.rfft2`.
    """
    side = images.shape[-1]
    fy = torch.fft.fftfreq(side, device=images.device)[:, None]
    fx = torch.fft.rfftfreq(side, device=images.device)
    squared = (fy**2 + fx**2) * side**2
    inside = (squared > 0) & (squared <= (side // 2 - 1) ** 2 + 1e-3)
    spectrum = torch.fft.rfft2(images) * (wiener(ctf) * inside)
    return torch.fft.irfft2(spectrum, s=(side, side))[:, None]


def quarter_turned(views: Tensor, turns: int) -> Tensor:
    """Turn images ``(…, s, s)``, s even, about pixel ``s // 2`` by quarter turns."""
    moved = [(), (-2,), (-2, -1), (-1,)][turns % 4]  # back where the centre was
    turned = torch.rot90(views, turns, (-2, -1))
    return torch.roll(turned, [1] * len(moved), moved) if moved else turned


def wiener(ctf: Tensor) -> Tensor:
    """Filter that undoes a CTF where there is signal."""
    return ctf / (ctf.square() + FLOOR)


class _Residual(nn.Module):
    """Two 3×3 convolutions beside a short cut; the first may halve the side."""

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(entering, leaving, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(leaving, leaving, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.GroupNorm(8, leaving), nn.GroupNorm(8, leaving)])
        same = stride == 1 and entering == leaving
        self.short = nn.Identity() if same else nn.Conv2d(entering, leaving, 1, bias=False)
        self._stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """``(b, leaving, s / stride, s / stride)``."""
        y = functional.relu(self.norms[0](self.first(x)), inplace=True)
        y = self.norms[1](self.second(y))
        around = functional.avg_pool2d(x, self._stride) if self._stride > 1 else x
        return functional.relu(y + self.short(around), inplace=True)


class PriorEncoder(nn.Module):
    """Encoder of 32-px views ``(b, 1, 32, 32)``.

    Parameters
    ----------
    latent_dim
        Length of z.
    widths, depths
        Channels and residual blocks at 16, 8 and 4 pixels.
    dim
        Length of the features.
    """

    view = SIDE

    def __init__(
        self,
        latent_dim: int,
        widths: tuple[int, ...] = (64, 128, 256),
        depths: tuple[int, ...] = (1, 1, 2),
        dim: int = 64,
    ) -> None:
        super().__init__()
        self.shape = {"widths": list(widths), "depths": list(depths), "dim": dim}
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 5, 2, 2, bias=False), nn.GroupNorm(8, widths[0]), nn.ReLU()
        )
        blocks, entering, read = [], widths[0], widths[0]
        for level, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for index in range(depth):
                blocks.append(_Residual(entering, width, 2 if level and not index else 1))
                entering = width
                read += width
        self.blocks = nn.ModuleList(blocks)
        self.project = nn.Linear(read + length(SIDE), dim)
        self.head = nn.Linear(dim, latent_dim)
        self.train_parts("full", 0)

    def features(self, views: Tensor) -> Tensor:
        """Features ``(b, dim)``, of any length."""
        return self.project(self.pooled(views))

    def steady_features(self, views: Tensor, turns: int = 4) -> Tensor:
        """Features ``(b, dim)``, averaged over the first `turns` quarter turns of each view.

        A turned image is another of the same particle: the mean is less noisy.
        """
        return torch.stack([self.features(quarter_turned(views, k)) for k in range(turns)]).mean(0)

    def pooled(self, views: Tensor) -> Tensor:
        """Mean of every channel behind the stem and each block, and the invariants, ``(b, f)``.

        The views are centred first. The early blocks tell views of unseen species apart better
        than the last one does.
        """
        views = centred(views[:, 0])[:, None]
        x = self.stem(views.contiguous(memory_format=torch.channels_last))
        means = [x.mean((2, 3))]
        for block in self.blocks:
            x = block(x)
            means.append(x.mean((2, 3)))
        return torch.cat([*means, invariants(views).to(x.dtype)], 1)

    def forward(self, views: Tensor) -> Tensor:
        """Latents ``(b, d)``."""
        return self.head(self.features(views))

    def train_parts(
        self, strategy: Literal["full", "blocks", "head", "fixed"], blocks: int
    ) -> list[nn.Parameter]:
        """Choose what is trained and return its parameters."""
        self.requires_grad_(False)
        last = list(self.blocks)[max(0, len(self.blocks) - blocks) :] if blocks else []
        live = {
            "full": [self.stem, *self.blocks, self.project, self.head],
            "blocks": [*last, self.project, self.head],
            "head": [self.project, self.head],
            "fixed": [self.head],
        }[strategy]
        for module in live:
            module.requires_grad_(True)
        return [parameter for parameter in self.parameters() if parameter.requires_grad]
