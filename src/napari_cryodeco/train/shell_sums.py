"""How well predictions agree with images, per Fourier shell, summed over an epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_cryodeco.imaging import fsc
from napari_cryodeco.train import distributed
from napari_cryodeco.train.stages import Reporter


class ShellSums:
    """Sums of products of images and predictions in each shell.

    Parameters
    ----------
    radius
        Largest shell.
    device
        Where the sums live; they are read once, at the end.
    """

    def __init__(self, radius: int, device: torch.device | str = "cpu") -> None:
        self._sums = torch.zeros(4, radius + 2, dtype=torch.float64, device=device)

    def add(self, data: Tensor, found: Tensor, shells: Tensor) -> None:
        """Add images and predictions ``(b, 2, q)`` at points of these `shells` ``(q,)``."""
        products = torch.stack([data * found, found**2, data**2, torch.ones_like(data)])
        self._sums.index_add_(1, shells, products.sum((1, 2)).double())

    @property
    def loss(self) -> float:
        """Mean squared error per coefficient."""
        cross, found, data, count = self._sums.sum(1)
        return float((data - 2 * cross + found) / count)

    @property
    def explained(self) -> float:
        """Share of the images' power that the predictions explain."""
        cross, found, data, _ = self._sums.sum(1)
        return float((2 * cross - found) / data)

    def correlation(self) -> Tensor:
        """Correlation of predictions and images in shells 1 … radius."""
        cross, found, data, _ = self._sums[:, 1:-1]
        return (cross / (found * data).sqrt().clamp_min(1e-30)).float().cpu()

    def reference(self) -> Tensor:
        """Estimated correlation of predictions with the noiseless truth in shells 1 … radius.

        If a prediction is truth plus an error that knows nothing of the image's noise, the
        regression of image on prediction has the slope truth² / (truth² + error²), whose root this
        is. It flatters a fit that has learnt the noise.
        """
        cross, found, _, count = self._sums[:, 1:-1]
        slope = (cross / found.clamp_min(1e-30)).clamp(0, 1)
        return torch.where(count > 0, slope.sqrt(), torch.zeros_like(slope)).float().cpu()

    def report(self, report: Reporter, length: float) -> None:
        """Report loss, explained share and resolution; `length` is the side of the box in Å.

        Of the images of all processes, which must all call this.
        """
        distributed.sum_([self._sums])
        report.metric("loss", self.loss)
        report.metric("explained", self.explained)
        report.metric("resolution", fsc.resolution(self.reference(), length, 0.5))
