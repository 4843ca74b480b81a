"""Training images made on the fly: many views each of many species, all on one imaginary grid.

An episode is what one data set would hold: one pixel size, one microscope, one range of defocus and
noise, species of like size. Only inside an episode are two images compared, so size in Å counts,
as it does in a real mixture, and nothing else of the imaging may.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from napari_cryodeco.data.bank import Bank
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.so3 import random_rotations

_FINE = 2  # the points are spread on a grid this much finer


@dataclass(frozen=True)
class EpisodeSettings:
    """How episodes are drawn; pairs are ranges.

    Parameters
    ----------
    species, views
        Species in an episode, images of each.
    exposures
        Images of each orientation, one after the other, which share nothing else.
    side
        Box in pixels.
    snr
        Variance of the signal over all pixels of a box of 64 px over that of the noise (each
        species, log-uniform); other sides are scaled as Fourier cropping would.
    room
        Box over the diameter of the largest species.
    likeness
        Largest over smallest diameter of an episode.
    defocus
        µm, lowest and highest mean of an episode.
    shift
        Standard deviation of the displacement, share of the box.
    """

    species: int = 64
    views: int = 8
    exposures: int = 1
    side: int = 32
    snr: tuple[float, float] = (0.005, 1.0)
    room: tuple[float, float] = (1.1, 2.6)
    likeness: tuple[float, float] = (1.1, 2.4)
    defocus: tuple[float, float] = (0.6, 2.8)
    shift: float = 0.03


@dataclass(frozen=True)
class Episode:
    """Images of an episode.

    `images` ``(b, side, side)`` raw, noise of about 1 a pixel, protein light; `ctf` of each;
    `labels` ``(b,)`` rows of the bank; `pixel_size` Å; `snr` as in the settings.
    """

    images: Tensor
    ctf: Ctf
    labels: Tensor
    pixel_size: float
    snr: float

    @property
    def groups(self) -> Tensor:
        """``(b,)`` number of the species within the episode, from 0."""
        return torch.unique(self.labels, return_inverse=True)[1]


class EpisodeSimulator:
    """Draws episodes of a bank of structures on a device.

    Parameters
    ----------
    bank
        The structures, sorted by diameter.
    settings
        How.
    device
        Where the images are made; the random numbers are drawn by CPU generators.
    """

    def __init__(
        self, bank: Bank, settings: EpisodeSettings, device: torch.device | str = "cpu"
    ) -> None:
        self.bank, self.settings = bank.to(device), settings
        self._device = torch.device(device)
        self._diameters = bank.diameters

    def draw(self, generator: torch.Generator, hardest: float | None = None) -> Episode:
        """One episode; `hardest` raises the lower end of the SNR (for a curriculum)."""
        settings = self.settings
        low, high = settings.snr
        low = low if hardest is None else min(max(low, hardest), high)
        snr = math.exp(_uniform(generator, (math.log(low), math.log(high))))
        species = self._choose(generator)
        largest = float(self._diameters[species].max())
        pixel_size = largest * _uniform(generator, settings.room) / settings.side
        labels = species.repeat_interleave(settings.views)
        ctf = self._ctf(len(labels), generator)
        clean = self._clean(labels, ctf, pixel_size, generator)
        images = self._exposed(clean, snr, generator)
        return Episode(images, ctf, labels.to(self._device), pixel_size, snr)

    def _choose(self, generator: torch.Generator) -> Tensor:
        """Species of like size: rows of the bank ``(k,)``, ascending."""
        count = min(self.settings.species, len(self._diameters))
        first = int(torch.randint(len(self._diameters), (1,), generator=generator))
        reach = math.log(_uniform(generator, self.settings.likeness)) / 2
        logs = self._diameters.log()
        near = torch.nonzero((logs - logs[first]).abs() <= reach)[:, 0]
        if len(near) < count:  # the sparse ends of the range: the nearest ones
            near = (logs - logs[first]).abs().argsort()[:count]
        return near[torch.randperm(len(near), generator=generator)[:count]].sort().values

    def _ctf(self, n: int, generator: torch.Generator) -> Ctf:
        lowest = _uniform(generator, self.settings.defocus)
        span = _uniform(generator, (0.2, 2.0))
        mean = 1e4 * (lowest + span * torch.rand(n, generator=generator))
        half = torch.randn(n, generator=generator).abs() * 100
        voltage = 300.0 if _uniform(generator, (0, 1)) < 0.75 else 200.0
        constants = {
            "voltage": voltage,
            "cs": 2.7,
            "amplitude": _uniform(generator, (0.07, 0.1)),
            "phase": math.pi / 2 if _uniform(generator, (0, 1)) < 0.03 else 0.0,
        }
        ctf = Ctf(
            defocus_u=mean + half,
            defocus_v=mean - half,
            angle=torch.rand(n, generator=generator) * math.pi,
            **{name: torch.full((n,), value) for name, value in constants.items()},
        )
        return ctf.to(self._device)

    def _clean(
        self, labels: Tensor, ctf: Ctf, pixel_size: float, generator: torch.Generator
    ) -> Tensor:
        """Noiseless images ``(b, side, side)`` of random views, with CTF and displacement."""
        side, device = self.settings.side, self._device
        exposures = self.settings.exposures
        turns = random_rotations(len(labels) // exposures, generator).to(device)
        turns = turns.repeat_interleave(exposures, 0)
        rows = labels.to(device)
        seen = torch.einsum("bij,bnj->bin", turns[:, :2], self.bank.points[rows])
        blur = max(0.35 * pixel_size, 0.5 * _uniform(generator, (4.0, 8.0)))
        spectra = splat(seen, self.bank.weights[rows], side, pixel_size)
        moved = self.settings.shift * side * torch.randn(len(labels), 2, generator=generator)
        fy, fx = _frequencies(side, device)
        dx, dy = moved.to(device)[:, :, None, None].unbind(1)
        turn = -2 * math.pi * (dx * fx + dy * fy)
        squared = (fx**2 + fy**2) / pixel_size**2
        decay = _uniform(generator, (0.0, 200.0)) / 4 + 2 * (math.pi * blur) ** 2
        flat = pixel_frequencies(side, device).reshape(-1, 2) / pixel_size
        transfer = ctf.at(flat).reshape(-1, side, side // 2 + 1) * torch.exp(-decay * squared)
        return torch.fft.irfft2(spectra * torch.polar(transfer, turn), s=(side, side))

    def _exposed(self, clean: Tensor, snr: float, generator: torch.Generator) -> Tensor:
        """Signal at its strength, ice, neighbours and noise."""
        settings, n = self.settings, len(clean)
        device, side = clean.device, settings.side
        power = clean.square().mean((1, 2)).reshape(-1, settings.views).mean(1)
        if _uniform(generator, (0, 1)) < 0.25:  # at equal mass: the compact are stronger
            power = power.mean().expand_as(power)
        scale = (snr * (64 / side) ** 2 / power.clamp_min(1e-30)).sqrt()
        scale = scale.repeat_interleave(settings.views)
        scale = scale * torch.exp(0.1 * torch.randn(n, generator=generator)).to(device)
        images = clean * scale[:, None, None]
        if _uniform(generator, (0, 1)) < 0.3:
            images = images + self._neighbours(images, generator)
        if _uniform(generator, (0, 1)) < 0.3:
            images = images + _ice(n, side, generator).to(device)
        noise = torch.randn(n, side, side, generator=generator).to(device)
        if _uniform(generator, (0, 1)) < 0.3:
            noise = _coloured(noise, _uniform(generator, (-0.3, 0.6)))
        return images + noise

    def _neighbours(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """For a fifth of the images, a part of another one at the rim."""
        n, side = len(images), images.shape[-1]
        others = images[torch.randperm(n, generator=generator).to(images.device)]
        angle = torch.rand(n, generator=generator) * 2 * math.pi
        distance = 2 * (0.75 + 0.4 * torch.rand(n, generator=generator))  # half sides
        shown = (torch.rand(n, generator=generator) < 0.2).float()
        move = torch.zeros(n, 2, 3)
        move[:, 0, 0] = move[:, 1, 1] = 1
        move[:, 0, 2], move[:, 1, 2] = distance * angle.cos(), distance * angle.sin()
        grid = functional.affine_grid(move.to(images.device), [n, 1, side, side], False)
        near = functional.grid_sample(others[:, None], grid, align_corners=False)[:, 0]
        return near * shown.to(images.device)[:, None, None]


def splat(seen: Tensor, weights: Tensor, side: int, pixel_size: float) -> Tensor:
    """Half-spectra ``(b, side, side // 2 + 1)`` of points seen at ``(b, 2, n)`` Å (x, y).

    The points are spread linearly on a finer grid, which is then undone in the spectrum; the origin
    is pixel ``side // 2``. Points outside the box are dropped.
    """
    fine = side * _FINE
    place = seen * (_FINE / pixel_size) + fine // 2
    corner = place.floor()
    fraction = place - corner
    inside = ((corner >= 0) & (corner < fine - 1)).all(1)
    weights = weights * inside
    x, y = corner.clamp_(0, fine - 2).long().unbind(1)
    fx, fy = fraction.unbind(1)
    base = y * fine + x + torch.arange(len(seen), device=seen.device)[:, None] * fine**2
    grid = seen.new_zeros(len(seen) * fine**2)
    upper = weights * fy
    lower = weights - upper
    shares = (lower * (1 - fx), lower * fx, upper * (1 - fx), upper * fx)
    for offset, share in zip((0, 1, fine, fine + 1), shares, strict=True):
        grid.index_add_(0, (base + offset).reshape(-1), share.reshape(-1))
    spectrum = torch.fft.rfft2(grid.view(-1, fine, fine))
    half = side // 2
    spectrum = torch.cat([spectrum[:, :half, : half + 1], spectrum[:, -half:, : half + 1]], 1)
    ky, kx = _frequencies(side, seen.device)
    spreading = (torch.sinc(kx / _FINE) * torch.sinc(ky / _FINE)) ** 2
    kept = (ky > -0.5) & (kx < 0.5)
    return spectrum * (kept / spreading)


def pixel_frequencies(side: int, device: torch.device) -> Tensor:
    """``(side, side // 2 + 1, 2)`` cycles per pixel, (x, y), in the order of `torch.fft.rfft2`."""
    fy, fx = _frequencies(side, device)
    return torch.stack([fx, fy], -1)


def _frequencies(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """``(side, side // 2 + 1)`` cycles per pixel along y and x."""
    fy = torch.fft.fftfreq(side, device=device)[:, None].expand(side, side // 2 + 1)
    fx = torch.fft.rfftfreq(side, device=device).expand(side, side // 2 + 1)
    return fy, fx


def _uniform(generator: torch.Generator, limits: tuple[float, float]) -> float:
    low, high = limits
    return low + (high - low) * float(torch.rand((), generator=generator))


def _ice(n: int, side: int, generator: torch.Generator) -> Tensor:
    """Linear ramps of up to about one noise level from rim to rim."""
    slope = 0.3 * torch.randn(n, 2, 1, 1, generator=generator)
    axis = torch.linspace(-1, 1, side)
    return slope[:, 0] * axis + slope[:, 1] * axis[:, None]


def _coloured(noise: Tensor, strength: float) -> Tensor:
    """Noise with more (or less) power at low frequency, mean power 1."""
    side = noise.shape[-1]
    fy, fx = _frequencies(side, noise.device)
    gain = 1 + strength * torch.exp(-(fx**2 + fy**2) / (2 * 0.12**2))
    gain = gain / gain.square().mean().sqrt()
    return torch.fft.irfft2(torch.fft.rfft2(noise) * gain, s=(side, side))
