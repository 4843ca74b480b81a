"""Images at poses, and the sparse matrices that link them to a lattice of frequencies.

Slices of an unpadded lattice of integer frequencies, times the CTF, are products with one sparse
matrix of trilinear weights.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from napari_cryodeco.data.stored_images import Images
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.poses import Poses


class Observations:
    """Images at poses, cut to one Fourier radius, and what links them to a lattice."""

    def __init__(
        self,
        images: Images,
        ctf: Ctf,
        poses: Poses,
        geometry: Geometry,
        radius: int,
    ) -> None:
        device = poses.shifts.device  # of the computation; "mps" has no sparse products
        self.device = torch.device("cpu") if device.type == "mps" else device
        ctf, poses = ctf.to(self.device), poses.to(self.device)
        self.disc = Ball(geometry.radius, 2, self.device)
        self.points = self.disc.count(radius)
        self.images, self.ctf, self.poses, self.geometry = images, ctf, poses, geometry
        self.radius, self.side = radius, 2 * radius + 5

    def __len__(self) -> int:
        return len(self.images)

    def data(self, rows: Tensor) -> Tensor:
        """Centred coefficients ``(b, p)`` of the images of `rows`."""
        shifts = self.poses.shifts[rows] / self.geometry.length
        values = self.images[rows.to(self.images.device), : self.points].to(self.device).float()
        return self.disc.shift(values, shifts)

    def operator(self, rows: Tensor) -> Tensor:
        """CTF times trilinear slicing as a sparse matrix ``(b·p, side³)``."""
        grid, half = self.disc.points[: self.points].float(), self.side // 2
        where = (grid @ self.poses.rotations[rows][:, :2, :]).reshape(-1, 3) + half
        corner = where.floor()
        fraction = torch.stack([1 - (where - corner), where - corner])
        index, weight = [], []
        for offset in range(8):  # z slowest, so that the columns of a row come sorted
            step = (offset & 1, offset >> 1 & 1, offset >> 2 & 1)
            x, y, z = (corner[:, axis].long() + step[axis] for axis in range(3))
            index.append((z * self.side + y) * self.side + x)
            weight.append(
                fraction[step[0], :, 0] * fraction[step[1], :, 1] * fraction[step[2], :, 2]
            )
        frequencies = self.disc.frequencies(self.geometry.box, self.geometry.pixel_size)
        gain = self.ctf[rows].at(frequencies[: self.points]).reshape(-1, 1)
        values = torch.stack(weight, 1) * gain
        starts = torch.arange(0, values.numel() + 1, 8, device=values.device)
        shape = (len(values), self.side**3)
        return _csr(starts, torch.stack(index, 1).reshape(-1), values.reshape(-1), shape)


def transpose(matrix: Tensor) -> Tensor:
    """Transpose a CSR matrix into CSR (torch's own `.T` is CSC, whose products are slow)."""
    rows, columns = matrix.shape
    counts = matrix.crow_indices().diff()
    row_of = torch.arange(rows, device=counts.device).repeat_interleave(counts)
    order = matrix.col_indices().argsort(stable=True)
    starts = torch.zeros(columns + 1, dtype=torch.long, device=counts.device)
    starts[1:] = torch.bincount(matrix.col_indices(), minlength=columns).cumsum(0)
    return _csr(starts, row_of[order], matrix.values()[order], (columns, rows))


def _csr(starts: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Make a CSR matrix without torch's remark that these are in beta."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)
