"""What the particles say: maps back-projected from the images themselves, beside the decoder's.

A decoder can invent what no particle shows. Two half-sets of the particles of a selection, put back
at the poses of the run, tell how far their map can be trusted, and where the decoded one leaves it.
The poses are shared by both halves and by the decoder, so the correlation of the halves is an upper
bound, as it is after any refinement that is not split from the beginning.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.explore.devices import device_of
from napari_cryodeco.explore.volumes import Volume
from napari_cryodeco.imaging import fsc
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.fourier import Accumulator
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.sampling import fourier_coverage
from napari_cryodeco.imaging.spectrum import expected_power, shell_sums
from napari_cryodeco.model.evidence import Evidence
from napari_cryodeco.runs.run import Run

FEWEST = 20  # particles that two half-maps are made of
HALVES_AGREE, MAPS_AGREE = 0.143, 0.5  # FSC thresholds: of half-maps, and of a map with another
_TOGETHER = 256

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class BackProjection:
    """Maps of some particles, Wiener-filtered, in the units of the decoded ones.

    `halves` from alternate particles and `whole` from all; `fsc` ``(radius,)`` of the halves over
    shells 1 … radius; `count` particles; `length` width of the box in Å; `coverage` share of the
    directions of Fourier space that they measure.
    """

    whole: Volume
    halves: tuple[Volume, Volume]
    fsc: np.ndarray
    count: int
    length: float
    coverage: float

    @property
    def resolution(self) -> float:
        """Å at which the halves agree no longer (FSC 0.143)."""
        return fsc.resolution(torch.from_numpy(self.fsc), self.length, HALVES_AGREE)

    def compare(self, decoded: Volume) -> np.ndarray:
        """FSC ``(radius,)`` of the decoded map with the one of the particles.

        Raises
        ------
        ValueError
            If it has another box.
        """
        maps = [torch.from_numpy(np.array(volume.data)) for volume in (decoded, self.whole)]
        return fsc.shells(*maps)[: len(self.fsc)].numpy()

    def agreement(self, decoded: Volume) -> float:
        """Å to which the decoded map agrees with the particles (FSC 0.5)."""
        return fsc.resolution(torch.from_numpy(self.compare(decoded)), self.length, MAPS_AGREE)


@dataclass(frozen=True)
class Neighbours:
    """Particles about a latent point: `rows` ``(m,)`` ascending, `weights` ``(m,)`` in (0, 1]."""

    rows: np.ndarray
    weights: np.ndarray


def neighbours(latents: np.ndarray, point: np.ndarray, count: int) -> Neighbours:
    """The particles nearest to a latent point, the nearer the heavier.

    Parameters
    ----------
    latents, point
        ``(n, d)`` and ``(d,)``.
    count
        How many; the kernel (Epanechnikov) is zero at the next one.

    Raises
    ------
    ValueError
        If not even one is asked for.
    """
    if count < 1:
        raise ValueError(f"{count} neighbours say nothing: ask for at least {FEWEST}.")
    squared = ((latents - np.asarray(point, latents.dtype)) ** 2).sum(1)
    count = min(count, len(latents))
    nearest = np.argpartition(squared, count - 1)[:count]
    edge = np.partition(squared, count)[count] if count < len(latents) else squared.max() * 1.01
    weights = 1 - squared[nearest] / max(float(edge), 1e-30)
    order = np.argsort(nearest)
    return Neighbours(nearest[order], np.maximum(weights, 1e-3)[order].astype(np.float32))


def back_project(
    run: Run,
    rows: np.ndarray,
    weights: np.ndarray | None = None,
    epoch: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> BackProjection:
    """Put images back at the poses of the run, CTF-corrected, streamed from disk.

    Parameters
    ----------
    run
        The run; its working images must be there, or its stacks if its latents were adopted.
    rows, weights
        ``(m,)`` particles and how much each counts, from 0 (not at all); None: all the same.
    epoch
        Whose poses; None: the newest.
    device
        Where to compute: ``"cpu"``, ``"cuda:0"``, …; ``"auto"`` takes a GPU if there is one.
    progress
        Called with (done, in all); raising in it cancels.

    Raises
    ------
    ValueError
        If there are fewer than twenty particles, rows that the run does not have, or weights that
        are no numbers from 0.
    """
    rows, share = _checked(rows, weights, len(run.particles))
    poses = run.epoch(epoch).poses()
    where = device_of(device)
    halves = (_Half(run, poses, where), _Half(run, poses, where))
    _fill(halves, torch.from_numpy(rows), torch.from_numpy(share), progress)
    seen = fourier_coverage(poses.rotations[torch.from_numpy(rows)], torch.from_numpy(share))
    return _solved(halves, run.geometry, len(rows), seen)


def _fill(
    halves: tuple[_Half, _Half], rows: Tensor, weights: Tensor, progress: Progress | None
) -> None:
    """Give every other particle to each half, both at once on a thread of their own."""
    done, before = 0, torch.get_num_threads()
    try:
        with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            parts = (values.split(2 * _TOGETHER) for values in (rows, weights))
            for chosen, counts in zip(*parts, strict=True):
                jobs = [
                    pool.submit(half.add, chosen[place::2], counts[place::2])
                    for place, half in enumerate(halves)
                ]
                done += sum(job.result() for job in jobs)
                if progress is not None:
                    progress(done, len(rows))
    finally:
        torch.set_num_threads(before)


class _Half:
    """Sums of half of the particles."""

    def __init__(self, run: Run, poses: Poses, device: torch.device) -> None:
        self._images, self._ctf, self._poses = run.images(), run.particles.ctf, poses
        self._geometry, self._device = run.geometry, device
        self._ball = Ball(self._geometry.radius, 2)
        self._on_device = self._ball.to(device)
        box, pixel_size = self._geometry.box, self._geometry.pixel_size
        self._frequencies = self._ball.frequencies(box, pixel_size)
        self.sums = Accumulator.empty(self._geometry.radius, device)
        self.seen = torch.zeros(self._geometry.radius + 1)
        self.passed = torch.zeros(self._geometry.radius + 1)

    def add(self, rows: Tensor, weights: Tensor) -> int:
        """Add particles; return how many."""
        images = self._images[rows].float()
        ctf = self._ctf[rows].at(self._frequencies)
        radius = self._geometry.radius
        self.seen += shell_sums(weights @ (images**2 - 1), self._ball, radius)
        self.passed += shell_sums(weights @ ctf**2, self._ball, radius)
        evidence = Evidence.of(images.to(self._device), ctf.to(self._device), self._on_device)
        shifts = (self._poses.shifts[rows] / self._geometry.length).to(self._device)
        share = weights.to(self._device)[:, None]
        moved = evidence.shifted(shifts[:, None])[:, 0] * share
        rotations = self._poses.rotations[rows].to(self._device)
        self.sums.insert(moved, evidence.ctf2 * share, rotations, self._on_device)
        return len(rows)


def _solved(
    halves: tuple[_Half, _Half], geometry: Geometry, count: int, seen_from: float
) -> BackProjection:
    first, second = (half.sums for half in halves)
    seen = sum((half.seen for half in halves), torch.zeros(()))
    passed = sum((half.passed for half in halves), torch.zeros(()))
    power = expected_power(seen, passed)
    both = Accumulator(
        first.numerator + second.numerator, first.denominator + second.denominator, first.radius
    )
    found = [sums.solve(power.to(sums.numerator)).cpu() for sums in (first, second, both)]
    ball, voxel = Ball(geometry.radius, 3), geometry.length / geometry.box
    maps = [Volume(ball.to_map(h, geometry.box, geometry.scale).numpy(), voxel) for h in found]
    curve = fsc.of_coefficients(found[0], found[1], ball).numpy()
    return BackProjection(maps[2], (maps[0], maps[1]), curve, count, geometry.length, seen_from)


def _checked(
    rows: np.ndarray, weights: np.ndarray | None, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that count for something, ascending and each once, with their weights."""
    rows = np.asarray(rows, np.int64)
    share = np.ones(len(rows), np.float32) if weights is None else np.asarray(weights, np.float32)
    if share.shape != rows.shape:
        raise ValueError(f"{len(share)} weights for {len(rows)} particles: give one for each.")
    if not (np.isfinite(share) & (share >= 0)).all():
        raise ValueError("Weights of particles are numbers from 0 on, none missing.")
    rows, first = np.unique(rows, return_index=True)
    beyond = rows[(rows < 0) | (rows >= count)]
    if len(beyond):
        raise ValueError(f"Row {beyond[0]} does not exist: the run has rows 0 to {count - 1}.")
    share = share[first]
    rows, share = rows[share > 0], share[share > 0]
    if len(rows) < FEWEST:
        raise ValueError(
            f"{len(rows)} particles are too few to say anything: select at least {FEWEST}."
        )
    return rows, share
