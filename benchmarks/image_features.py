"""Features of images that need no training: what a pretrained encoder has to beat.

Every function takes a :class:`prior_sets.Mixture` and gives ``(n, f)`` float32.

pixels     phase-flipped, low-passed images (PCA of them is what clusters "raw" particles)
power      ring averages of the power spectrum, defocus taken out: the product's own fallback
masked     the same of images that are centred and masked first: what noise the mask removes
bispectrum invariants of second and third order of the centred, masked, CTF-corrected image in a
           steerable basis (angular Fourier × principal radial components): radial profile, products
           within an angular order, and triple products over orders m₁ + m₂ = m₃
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from prior_sets import Mixture
from torch import Tensor
from torch.nn.functional import grid_sample

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.train.features import classical_features, without_defocus

Features = Callable[[Mixture], Tensor]
LOW_PASS, RADIUS, WIENER = 8, 12, 0.05
REACH, SPREAD = 0.12, 0.03  # how far from the centre particles sit at most, usually (box sides)
ORDERS, KEPT = 8, (5, 3)  # angular orders; radial components of order 0 and of the others


class Silent:
    """A reporter that says nothing."""

    def step(self, step: int, steps: int, message: str = "") -> None: ...

    def metric(self, name: str, value: float) -> None: ...

    def check_stop(self) -> None: ...


def pixels(mixture: Mixture, radius: int = LOW_PASS) -> Tensor:
    """Phase-flipped images up to Fourier radius `radius`, as coefficients (a rotated basis)."""
    parts = []
    for rows in mixture.parts():
        h, ctf, _ = mixture.seen(radius, rows)
        parts.append(h * ctf.sign())
    return torch.cat(parts)


def power(mixture: Mixture) -> Tensor:
    """The product's classical features."""
    return classical_features(mixture.images, mixture.ctf, mixture.geometry, Silent())


@dataclass(frozen=True)
class Centred:
    """CTF-corrected images ``(n, s, s)``, low-passed, centred, masked; `reach` in pixels."""

    images: Tensor
    reach: float


def _template(mixture: Mixture, shifts: Tensor) -> Tensor:
    """Radial Fourier profile ``(p,)`` of the mean particle at these shifts."""
    seen, passed = 0.0, 0.0
    for rows in mixture.parts():
        h, ctf, ball = mixture.seen(RADIUS, rows)
        seen = seen + (ball.shift(h, -shifts[rows]) * ctf).sum(0)
        passed = passed + (ctf**2).sum(0)
    rings = torch.zeros(RADIUS + 2)
    top = rings.index_add(0, ball.shells, seen)
    return (top / rings.index_add(0, ball.shells, passed).clamp_min(1e-6))[ball.shells]


def _shifts(mixture: Mixture, rounds: int = 4) -> Tensor:
    """Where each particle sits ``(n, 2)`` in box sides: most likely under the mean profile.

    Only low frequencies count: at higher ones a long particle matches a round profile at its end.
    """
    box = mixture.geometry.box
    shifts = torch.zeros(len(mixture.labels), 2)
    axis = torch.arange(box) - box // 2
    squared = (axis[:, None] ** 2 + axis**2) / box**2
    unlikely = (squared / (2 * SPREAD**2)).masked_fill(squared > REACH**2, torch.inf)
    for turn in range(rounds):
        profile = _template(mixture, shifts) if turn else None
        for rows in mixture.parts():
            h, ctf, ball = mixture.seen(RADIUS, rows)
            weight = (-((ball.radii / 4) ** 2)).exp() * (3 if profile is None else profile)
            match = ball.to_map(h * ctf * weight, box) * box**2 - unlikely
            best = match.flatten(1).argmax(1)
            shifts[rows, 0], shifts[rows, 1] = axis[best % box] / box, axis[best // box] / box
    return shifts


def centred(mixture: Mixture) -> Centred:
    """Centre and mask; the mask reaches to where the mean particle has faded to a tenth."""
    box, shifts, parts = mixture.geometry.box, _shifts(mixture), []
    for rows in mixture.parts():
        h, ctf, ball = mixture.seen(RADIUS, rows)
        corrected = ball.shift(h, -shifts[rows]) * ctf / (ctf**2 + WIENER)
        parts.append(ball.to_map(corrected, box))
    images = torch.cat(parts)
    axis = (torch.arange(box) - box // 2).float()
    radii = (axis[:, None] ** 2 + axis**2).sqrt()
    profile = torch.zeros(box).index_add(0, radii.long().flatten(), images.mean(0).flatten())
    profile = profile / torch.bincount(radii.long().flatten(), minlength=box)
    reach = float((profile[: box // 2] > 0.1 * profile[0]).nonzero().max()) + 1
    mask = ((reach + 2 - radii) / 4).clamp(0, 1)
    return Centred(images * mask, reach)


def masked_power(mixture: Mixture) -> Tensor:
    """Ring averages of the power of centred and masked images, defocus taken out."""
    images = centred(mixture).images
    box = images.shape[-1]
    axis = torch.fft.fftfreq(box) * box
    half = torch.fft.rfftfreq(box) * box
    rings = (2 * (axis[:, None] ** 2 + half**2).sqrt()).round().long().flatten()
    inside = rings <= 2 * RADIUS
    values = torch.fft.rfft2(images).abs().square().flatten(1)[:, inside]
    sums = torch.zeros(len(values), 2 * RADIUS + 1).index_add(1, rings[inside], values)
    kept = torch.bincount(rings[inside], minlength=2 * RADIUS + 1) > 0
    return without_defocus((sums[:, kept] + 1e-9).log(), mixture.ctf)


def _polar(seen: Centred, angles: int = 48) -> Tensor:
    """Angular Fourier coefficients ``(n, r, ORDERS + 1)`` on rings, weighted by √radius."""
    box = seen.images.shape[-1]
    radii = torch.arange(0.5, seen.reach + 1)
    phi = torch.arange(angles) * 2 * torch.pi / angles
    x, y = radii[:, None] * phi.cos() + box // 2, radii[:, None] * phi.sin() + box // 2
    grid = 2 * torch.stack([x, y], -1) / (box - 1) - 1
    parts = []
    for images in seen.images.split(512):
        where = grid[None].expand(len(images), -1, -1, -1)
        rings = grid_sample(images[:, None], where, align_corners=True)[:, 0]
        parts.append(torch.fft.rfft(rings, dim=2)[:, :, : ORDERS + 1] / angles)
    return torch.cat(parts) * radii.sqrt()[:, None]


def steerable(mixture: Mixture) -> list[Tensor]:
    """Steerable principal components: for each angular order ``(n, k)`` complex, leading first."""
    rings = _polar(centred(mixture))
    found = []
    for order in range(ORDERS + 1):
        values = rings[:, :, order]
        mean = values.mean(0) if order == 0 else torch.zeros_like(values[0])
        # an image turned or mirrored is as likely: the covariance is real
        covariance = ((values - mean).mH @ (values - mean)).real / len(values)
        _, vectors = torch.linalg.eigh(covariance)
        kept = vectors[:, -KEPT[order > 0] :].flip(1)
        found.append((values - mean) @ kept.to(values.dtype))
    return found


def _compressed(values: Tensor, power_: float) -> Tensor:
    return values / values.abs().clamp_min(1e-12) * values.abs() ** power_


def second_order(components: list[Tensor]) -> Tensor:
    """Radial profile and products within each angular order: ``(n, f)``."""
    parts = [components[0].real]
    for values in components[1:]:
        products = values[:, :, None] * values[:, None].conj()
        upper = torch.triu_indices(values.shape[1], values.shape[1])
        pairs = products[:, upper[0], upper[1]]
        parts.append(_compressed(pairs.real, 0.5))
        apart = upper[0] != upper[1]
        parts.append(_compressed(pairs.imag[:, apart].abs(), 0.5))  # its sign is that of the hand
    return torch.cat(parts, 1)


def third_order(components: list[Tensor], kept: int = 2) -> Tensor:
    """Triple products over orders ``m1 + m2 = m3``: ``(n, f)``."""
    parts = []
    for first in range(1, ORDERS):
        for second in range(first, ORDERS + 1 - first):
            a, b = components[first][:, :kept], components[second][:, :kept]
            c = components[first + second][:, :kept].conj()
            triple = torch.einsum("ni,nj,nk->nijk", a, b, c).flatten(1)
            parts.append(_compressed(triple.real, 1 / 3))
    return torch.cat(parts, 1)


def bispectrum(mixture: Mixture) -> Tensor:
    """Invariants of second and third order, defocus taken out, standardised."""
    components = steerable(mixture)
    both = torch.cat([second_order(components), third_order(components)], 1)
    return without_defocus(both, mixture.ctf)


def second(mixture: Mixture) -> Tensor:
    """Invariants of second order alone: what the noise leaves of a bispectrum."""
    return without_defocus(second_order(steerable(mixture)), mixture.ctf)


def combined(mixture: Mixture) -> Tensor:
    """Power spectra of whole and of masked images and second-order invariants together."""
    parts = [power(mixture), masked_power(mixture), second(mixture)]
    return torch.cat([part / part.shape[1] ** 0.5 for part in parts], 1)


BASELINES: dict[str, Features] = {
    "pixels": pixels,
    "power": power,
    "masked power": masked_power,
    "2nd-order invariants": second,
    "bispectrum": bispectrum,
    "combined": combined,
}


def ball_of(mixture: Mixture) -> Ball:
    """The ball of all working coefficients."""
    return Ball(mixture.geometry.radius, 2)
