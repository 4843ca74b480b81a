"""Slices on a grid of orientations, compared with images at many shifts: one product for all.

The log-likelihood of an image at a slice and a shift, up to a constant, is
``⟨shift(CTF·image), slice⟩ − ½⟨CTF², slice²⟩``. Its first part may be computed in bytes, some five
times as fast on CPUs that multiply them: the rounding adds a fraction of a nat to scores that noise
scatters by many.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.model.precision import byte_product


class GridSlices:
    """Slices ``(Q, p)`` of one volume."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def best(self, evidence: Evidence, shifts: Tensor) -> tuple[Tensor, Tensor]:
        """Log-likelihood of each image at each slice, at the best of `shifts` ``(T, 2)``.

        Returns
        -------
        scores, which
            ``(n, Q)`` float32, and the number of that shift.
        """
        moved = evidence.shifted(shifts)
        if evidence.products == torch.int8:
            products, unit = self._coded(moved)
            best, which = _largest(products)
            scores = best * unit
        else:
            scores, which = _largest(self._products(moved, evidence.products))
        return torch.addmm(scores, evidence.ctf2, self._half_squares.T, alpha=-1), which

    def _products(self, moved: Tensor, dtype: torch.dtype) -> Tensor:
        """Products ``(n, T, Q)``, float32."""
        n, several, count = moved.shape
        found = moved.reshape(-1, count).to(dtype) @ self.values.to(dtype).T
        return found.float().reshape(n, several, len(self.values))

    def _coded(self, moved: Tensor) -> tuple[Tensor, Tensor]:
        """Products ``(n, T, Q)`` of bytes, and what one is worth: ``(n, Q)``."""
        from napari_cryodeco.imaging import kernels

        n, several, count = moved.shape
        codes, worth, balance = self._codes
        coded, step = kernels.coded(moved, balance)
        found = byte_product(coded.reshape(-1, count), codes.T)
        return found.reshape(n, several, len(codes)), step[:, None] * worth

    @cached_property
    def _half_squares(self) -> Tensor:
        return 0.5 * self.values**2

    @cached_property
    def _codes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Bytes ``(Q, p)``, what one is worth in each slice ``(Q,)``, and the images' factors.

        The factors ``(p,)`` share the range between images and slices: a map's low frequencies are
        far stronger than its high ones, the noise of the images is not.
        """
        from napari_cryodeco.imaging import kernels

        rms = self._half_squares.mean(0).mul(2).sqrt()
        balance = rms.clamp_min(1e-3 * rms.max().clamp_min(1e-12)).sqrt()
        codes, worth = kernels.coded(self.values[:, None], 1 / balance)
        return codes[:, 0], worth, balance


def _largest(products: Tensor) -> tuple[Tensor, Tensor]:
    """Largest over the middle axis, and where it was."""
    if products.device.type == "cpu":
        from napari_cryodeco.imaging import kernels

        return kernels.largest(products)
    return products.max(1)
