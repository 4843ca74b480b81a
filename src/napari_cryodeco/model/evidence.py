"""Images as the pose search sees them: Hartley coefficients whose noise is 1, and their CTF."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball


class Source(Protocol):
    """Images in their order, all there or read when they are asked for."""

    @property
    def ball(self) -> Ball:
        """The 2-D ball of the images."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: Tensor | slice, /) -> Evidence: ...


@dataclass(frozen=True)
class Evidence:
    """What the images say on the 2-D `ball`: `data` = CTF·image, `ctf2` = CTF², both ``(n, p)``.

    `products` is the number type in which they are compared with the slices of a grid.
    """

    data: Tensor
    ctf2: Tensor
    ball: Ball
    products: torch.dtype = torch.float32

    @classmethod
    def of(cls, images: Tensor, ctf: Tensor, ball: Ball) -> Evidence:
        """Weigh `images` by their `ctf`, both ``(n, p)``; the ball may be longer than p."""
        return cls(images * ctf, ctf**2, ball)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, rows: Tensor | slice) -> Evidence:
        return replace(self, data=self.data[rows], ctf2=self.ctf2[rows])

    def prefix(self, radius: float) -> Evidence:
        """Return the same up to a smaller radius."""
        count = self.ball.count(radius)
        return replace(self, data=self.data[:, :count], ctf2=self.ctf2[:, :count])

    def shifted(self, shifts: Tensor) -> Tensor:
        """Data moved by each of `shifts`, in box sides: ``(n, T, p)``.

        The shifts are ``(T, 2)`` for all images or ``(n, T, 2)``, their own for each.
        """
        count = self.data.shape[1]
        phase = 2 * torch.pi * shifts @ self.ball.points[:count].to(shifts.dtype).T
        mirrored = self.data[:, self.ball.mirror[:count]]
        return self.data[:, None] * phase.cos() + mirrored[:, None] * phase.sin()


def shift_disc(extent: float, spacing: float) -> Tensor:
    """Square grid of shifts within a circle of `extent`, box sides: ``(T, 2)``, with the origin."""
    reach = int(extent / spacing + 1e-6)
    axis = torch.arange(-reach, reach + 1) * spacing
    points = torch.cartesian_prod(axis, axis)
    return points[points.norm(dim=1) <= extent * 1.0001 + 1e-9]
