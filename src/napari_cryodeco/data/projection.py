"""Exact projections and maps of bead models.

Beads are spread over a finer grid by linear interpolation, transformed, divided by the transform of
that spreading, blurred by a Gaussian and Fourier-cropped. A map made so is the one whose slices the
images are, so no interpolation error of a volume enters simulated data.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

OVERSAMPLING = 4


def project(
    positions: Tensor,
    electrons: Tensor,
    rotations: Tensor,
    box: int,
    pixel_size: float,
    blur: float,
) -> Tensor:
    """Half-spectra of projections, origin of the image at pixel ``box // 2``.

    Parameters
    ----------
    positions, electrons
        ``(n, 3)`` Å xyz and ``(n,)``.
    rotations
        ``(b, 3, 3)``: a bead at p appears at ``(R p)_xy``.
    box, pixel_size
        Side in pixels (even) and Å per pixel.
    blur
        Standard deviation of the Gaussian that each bead is, Å.

    Returns
    -------
    Tensor
        ``(b, box, box // 2 + 1)`` complex64 as of `torch.fft.rfft2`, electrons; the Nyquist row and
        column are zero.
    """
    fine = box * OVERSAMPLING
    seen = torch.einsum("bij,nj->bni", rotations[:, :2], positions)
    grid = torch.stack(
        [_spread(points, electrons, fine, pixel_size / OVERSAMPLING) for points in seen]
    )
    spectrum = torch.fft.rfft2(torch.fft.ifftshift(grid, dim=(1, 2)))
    spectrum = _crop(spectrum[..., : box // 2 + 1], 1, box)
    spectrum[..., box // 2] = 0
    return spectrum * _transfer(box, pixel_size, blur, 2)[:, : box // 2 + 1]


def to_images(spectra: Tensor, box: int) -> Tensor:
    """Images ``(b, box, box)`` of half-spectra."""
    return torch.fft.fftshift(torch.fft.irfft2(spectra, s=(box, box)), dim=(1, 2))


def true_map(
    positions: Tensor, electrons: Tensor, box: int, pixel_size: float, blur: float
) -> Tensor:
    """The map ``(box, box, box)`` zyx of these projections, in electrons per voxel."""
    fine = box * OVERSAMPLING
    grid = _spread(positions, electrons, fine, pixel_size / OVERSAMPLING)
    spectrum = torch.fft.rfftn(torch.fft.ifftshift(grid))[..., : box // 2 + 1]
    spectrum = _crop(_crop(spectrum, 0, box), 1, box)
    spectrum[..., box // 2] = 0
    spectrum = spectrum * _transfer(box, pixel_size, blur, 3)[..., : box // 2 + 1]
    return torch.fft.fftshift(torch.fft.irfftn(spectrum, s=(box,) * 3))


def _spread(points: Tensor, electrons: Tensor, side: int, spacing: float) -> Tensor:
    """Spread points ``(n, ndim)`` xyz linearly on a grid with z slowest, wrapping round."""
    ndim = points.shape[1]
    place = points / spacing + side // 2
    corner = place.floor()
    fraction, corner = place - corner, corner.long()
    grid = points.new_zeros(side**ndim)
    for step in itertools.product((0, 1), repeat=ndim):
        weight, index = electrons, torch.zeros(len(points), dtype=torch.long)
        for column in range(ndim - 1, -1, -1):
            share = fraction[:, column] if step[column] else 1 - fraction[:, column]
            weight = weight * share
            index = index * side + (corner[:, column] + step[column]) % side
        grid.index_add_(0, index, weight)
    return grid.reshape((side,) * ndim)


def _crop(spectrum: Tensor, axis: int, box: int) -> Tensor:
    """Keep the low frequencies of a full (not half) axis, with a zero at Nyquist."""
    side = spectrum.shape[axis]
    low = torch.cat([torch.arange(box // 2), torch.arange(side - box // 2, side)])
    spectrum = spectrum.index_select(axis, low)
    spectrum.select(axis, box // 2).zero_()
    return spectrum


def _transfer(box: int, pixel_size: float, blur: float, ndim: int) -> Tensor:
    """Gaussian blur over the transform of linear spreading, ``(box,) * ndim`` in fft order."""
    frequency = torch.fft.fftfreq(box, pixel_size)
    spreading = torch.sinc(frequency * pixel_size / OVERSAMPLING) ** 2
    one = torch.exp(-2 * (torch.pi * blur * frequency) ** 2) / spreading
    whole = one
    for _ in range(ndim - 1):
        whole = whole[..., None] * one
    return whole
