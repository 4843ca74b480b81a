"""The linear start of the latents: a mean map plus component maps, fitted to images at poses.

``V_i = mean + Σ_j z_ij · component_j`` is probabilistic principal component analysis with one
projection and one CTF per image. An expectation step gives every image the Gaussian posterior of
its coordinates in closed form; a maximisation step fits the maps by a few conjugate-gradient
steps. A field that starts from random z cannot tell which image should move which way
(docs/method.md has the measurement); from these coordinates it can.

Volumes live on an unpadded lattice of integer frequencies: the least-squares fit absorbs what
trilinear interpolation does to a map, and `_coefficients` divides it out in the end. Source of the
model: Tipping & Bishop (1999), Journal of the Royal Statistical Society B 61, 611.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.data.stored_images import Images
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.hartley import hartley, inverse_hartley
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.train.linear_model import LinearModel

_ITERATIONS, _GRADIENT_STEPS = 8, 2
_MOST_ROWS = 2_000_000  # Fourier points of all fitted images: about 500 MB of interpolation weights
_LEAST_RELIABILITY = 0.05
_HELD_OUT, _HELD_OUT_LEAST = 0.15, 60  # share, and the count below which chance looks like signal


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


def _transpose(matrix: Tensor) -> Tensor:
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


def _shells(side: int, device: torch.device) -> Tensor:
    axis = (torch.arange(side, device=device) - side // 2).float()
    squared = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    return (squared.sqrt() + 0.5).floor().long().reshape(-1)


@dataclass
class _Posterior:
    mean: Tensor  # (n, d)
    covariance: Tensor  # (n, d, d)

    def moments(self) -> Tensor:
        """``E[a aᵀ]`` with a leading 1 for the mean map: ``(n, d + 1, d + 1)``."""
        full = torch.nn.functional.pad(self.mean, (1, 0), value=1.0)
        outer = full[:, :, None] * full[:, None, :]
        outer[:, 1:, 1:] += self.covariance
        return outer


def _expect(slices: Tensor, data: Tensor) -> _Posterior:
    """Coordinates from CTF-ed slices ``(n, p, d + 1)`` of mean and components; the noise is 1."""
    components = slices[..., 1:]
    information = components.mT @ components
    information.diagonal(dim1=-2, dim2=-1).add_(1.0)
    covariance = torch.linalg.inv(information)
    weighted = components.mT @ (data - slices[..., 0])[..., None]
    return _Posterior((covariance @ weighted)[..., 0], covariance)


def _maximise(
    maps: Tensor, data: Tensor, posterior: _Posterior, pair: tuple[Tensor, Tensor], ridge: Tensor
) -> Tensor:
    """A few conjugate-gradient steps on the expected error plus ``ridge · maps²``."""
    slicing, inserting = pair
    n, p = data.shape
    moments = posterior.moments()
    weight = inserting @ (slicing @ torch.ones_like(maps[:, :1]))

    def curvature(w: Tensor) -> Tensor:
        seen = (slicing @ w).reshape(n, p, -1) @ moments
        return inserting @ seen.reshape(n * p, -1) + ridge * w

    scale = 1 / (weight * moments.mean(0).diagonal() + ridge)
    first = data[..., None] * moments[:, None, 0]
    residual = inserting @ first.reshape(n * p, -1) - curvature(maps)
    direction = scale * residual
    strength = (residual * direction).sum()
    for _ in range(_GRADIENT_STEPS):
        bent = curvature(direction)
        length = strength / (direction * bent).sum()
        maps, residual = maps + length * direction, residual - length * bent
        renewed = (residual * scale * residual).sum()
        direction = scale * residual + renewed / strength * direction
        strength = renewed
    return maps


def _whiten(maps: Tensor, posterior: _Posterior) -> tuple[Tensor, _Posterior]:
    """Make the coordinates mean 0 and ``E[a aᵀ] = 1`` without changing the explained volumes."""
    shift = posterior.mean.mean(0)
    maps = torch.cat([maps[:, :1] + maps[:, 1:] @ shift[:, None], maps[:, 1:]], 1)
    centred = posterior.mean - shift
    second = centred.mT @ centred / len(centred) + posterior.covariance.mean(0)
    lower = torch.linalg.cholesky(second)
    inverse = torch.linalg.inv(lower)
    _, _, turn = torch.linalg.svd(maps[:, 1:] @ lower, full_matrices=False)
    change = turn @ inverse  # new a = change · old a
    maps = torch.cat([maps[:, :1], maps[:, 1:] @ lower @ turn.mT], 1)
    return maps, _Posterior(centred @ change.mT, change @ posterior.covariance @ change.mT)


def _ridge(maps: Tensor, weight: Tensor, ridge: Tensor, shells: Tensor) -> Tensor:
    """Expected inverse power of each map per shell.

    The posterior variance counts in: from the estimate alone a shell that is still empty would
    stay so for ever.
    """
    seen = (weight[:, 0] > 0).float()
    count = int(shells.max()) + 1
    power = (maps**2 + 1 / (weight + ridge)) * seen[:, None]
    total = torch.zeros(count, maps.shape[1], device=maps.device).index_add_(0, shells, power)
    members = torch.zeros(count, device=maps.device).index_add_(0, shells, seen)
    mean = total / members.clamp_min(1)[:, None]
    return (1 / mean.clamp_min(1e-6))[shells]


def _start(n: int, size: int, posteriors: Tensor | None, generator: torch.Generator) -> Tensor:
    """First coordinates ``(n, d)``: class memberships as far as they go, random numbers beyond."""
    start = torch.randn(n, size, generator=generator)
    if posteriors is not None and size:
        known = min(size, posteriors.shape[1])
        centred = posteriors[:, :known] - posteriors[:, :known].mean(0)
        start[:, :known] = 0.1 * start[:, :known] + centred / centred.std().clamp_min(1e-6)
    return start


def _split_half(slices: Tensor, data: Tensor, halves: Tensor) -> Tensor:
    """Signal share ``(d,)`` of each coordinate, from two halves of the points of unseen images."""
    first, second = (
        _expect(slices[:, halves == half], data[:, halves == half]).mean for half in (0, 1)
    )
    first, second = first - first.mean(0), second - second.mean(0)
    norm = (first.pow(2).sum(0) * second.pow(2).sum(0)).sqrt().clamp_min(1e-12)
    agreement = ((first * second).sum(0) / norm).clamp(0, 1)
    certain = agreement > 3 / len(first) ** 0.5  # three standard errors of a chance correlation
    share = torch.where(certain, 2 * agreement / (1 + agreement), torch.zeros_like(agreement))
    if len(share):
        best = int(agreement.argmax())  # stays in any case: latents that are all zero order nothing
        share[best] = share[best].clamp_min(_LEAST_RELIABILITY)
    return share


def _gains(slices: Tensor, data: Tensor, halves: Tensor) -> Tensor:
    """What each component adds to the prediction of points that were not looked at: ``(d, 2)``.

    With the components up to each in turn, coordinates come from one half of the points of unseen
    images and predict the other half. A component that fits noise makes that worse; agreement of
    the two halves alone does not tell, for noise components pick up what others leave over.
    Mean and standard error of the gain in log-likelihood. Source: cross-validation of a principal
    component analysis, Wold (1978), Technometrics 20, 397.
    """
    scores = data.new_zeros(slices.shape[0], slices.shape[2])
    for first in (0, 1):
        looked, rest = halves == first, halves != first
        for count in range(slices.shape[2]):
            kept = slices[..., : count + 1]
            mean = _expect(kept[:, looked], data[:, looked]).mean
            said = kept[:, rest, 0] + (kept[:, rest, 1:] @ mean[..., None])[..., 0]
            scores[:, count] -= (data[:, rest] - said).pow(2).sum(1) / 2
    gains, n = scores.diff(dim=1), len(scores)
    spread = (gains - gains.mean(0)).pow(2).sum(0) / (n * max(n - 1, 1))
    return torch.stack([gains.mean(0), spread.sqrt()], 1)


def _coefficients(maps: Tensor, seen: Observations) -> Tensor:
    """Lattice values ``(side³, c)`` as coefficients ``(c, m)`` without the kernel."""
    side, ball = seen.side, Ball(seen.radius, 3, maps.device)
    box = side - 1
    cube = maps.T.reshape(-1, side, side, side)[:, :box, :box, :box]
    axis = (torch.arange(box, device=maps.device) - box // 2).float() / box
    line = torch.sinc(axis) ** 2
    return ball.from_grid(
        hartley(inverse_hartley(cube, 3) * (line[:, None, None] * line[:, None] * line), 3)
    )


def fit(
    seen: Observations,
    size: int,
    generator: torch.Generator,
    posteriors: Tensor | None = None,
    step: Callable[[int, int], None] = lambda done, of: None,
) -> LinearModel:
    """Fit the linear model.

    Parameters
    ----------
    seen
        Images at poses, noise about 1 per coefficient.
    size
        Number of components; 0: a mean map only.
    generator
        On the CPU.
    posteriors
        ``(n, K)`` class memberships to start from; random coordinates without.
    step
        Called with (done, of) after each piece of work.
    """
    device = seen.device
    order = torch.randperm(len(seen), generator=generator)[: max(_MOST_ROWS // seen.points, 64)]
    held_out = min(max(int(_HELD_OUT * len(order)), _HELD_OUT_LEAST), len(order) // 3)
    held = order[: max(2, held_out)].to(device)
    rows = order[len(held) :].to(device)
    data, slicing = seen.data(rows), seen.operator(rows)
    pair = (slicing, _transpose(slicing))
    shells = _shells(seen.side, device)
    maps = torch.zeros(seen.side**3, size + 1, device=device)
    weight = pair[1] @ (slicing @ torch.ones_like(maps[:, :1]))
    ridge = (0.1 * weight[weight > 0].mean()).expand_as(maps)
    start = _start(len(seen), size, posteriors, generator).to(device)
    posterior = _Posterior(start[rows], torch.zeros(len(rows), size, size, device=device))
    for iteration in range(_ITERATIONS):
        maps = _maximise(maps, data, posterior, pair, ridge)
        posterior = _expect((slicing @ maps).reshape(*data.shape, -1), data)
        maps, posterior = _whiten(maps, posterior)
        ridge = _ridge(maps, weight, ridge, shells)
        step(iteration + 1, _ITERATIONS)
    return _assemble(seen, maps, held, generator)


def _assemble(
    seen: Observations, maps: Tensor, held: Tensor, generator: torch.Generator
) -> LinearModel:
    slices = (seen.operator(held) @ maps).reshape(len(held), seen.points, -1)
    drawn = torch.randint(0, 2, (seen.points,), generator=generator).to(maps.device)
    halves = drawn[
        torch.minimum(
            torch.arange(seen.points, device=maps.device), seen.disc.mirror[: seen.points]
        )
    ]
    data = seen.data(held)
    reliability, gain = _split_half(slices, data, halves), _gains(slices, data, halves)
    coefficients = _coefficients(maps, seen)
    strength = coefficients[1:].norm(dim=1) * reliability.sqrt()
    scale = strength / max([1e-12, *strength.tolist()])
    kept = scale > 0
    components = torch.where(kept[:, None], coefficients[1:] / scale.clamp_min(1e-12)[:, None], 0.0)
    mean, precision = _coordinates(seen, maps)
    precision = precision / scale.clamp_min(1e-3) ** 2
    return LinearModel(
        coefficients[0], components, mean * scale, precision, reliability, seen.radius, gain
    )


def _coordinates(seen: Observations, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Posterior mean and precision ``(n, d)`` of all images, a block at a time."""
    means, precisions = [], []
    for rows in torch.arange(len(seen), device=maps.device).split(max(1, 200_000 // seen.points)):
        data = seen.data(rows)
        posterior = _expect((seen.operator(rows) @ maps).reshape(*data.shape, -1), data)
        means.append(posterior.mean)
        precisions.append(1 / posterior.covariance.diagonal(dim1=-2, dim2=-1))
    return torch.cat(means), torch.cat(precisions)
