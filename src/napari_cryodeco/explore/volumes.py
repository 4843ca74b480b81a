"""From a latent point to a map in the user's units, at the resolution that time allows."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.explore.devices import CPU, FULL, device_of, has_room, out_of_memory
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.model.precision import choose

MOST_B_FACTOR = 2000  # Å²; at 2 Å already e^125
_CACHE_BYTES = 256 * 2**20
_TOGETHER = 4  # maps in one pass through the network; more saves little and answers later
_PROBE_POINTS = 2000  # enough that the time per point is that of a long evaluation
_SMALLEST_PREVIEW = 6  # cycles per box below which every protein is a ball


Check = Callable[[], None]
Made = TypeVar("Made")


class Decoder(Protocol):
    """What turns latents into Hartley coefficients; :class:`FieldDecoder` is one."""

    latent_dim: int

    def decode_ball(
        self, z: Tensor, ball: Ball, radius: int | None = None, check: Check | None = None
    ) -> Tensor:
        """Coefficients ``(m, ball.count(radius))`` of latents ``(m, d)``.

        `check` is called now and then: raising in it cancels.
        """


@dataclass(frozen=True, eq=False)
class VolumeRequest:
    """What to decode.

    Parameters
    ----------
    z
        ``(d,)`` latent point.
    radius
        Largest Fourier radius, cycles per box; None: all that the run has.
    box
        Side of the map in voxels (even), over the same width in Å; None: the working box.
    low_pass
        Resolution in Å beyond which nothing is left, or None.
    b_factor
        Å²: amplitudes at frequency s are multiplied by ``exp(-b_factor s²/4)``. Negative sharpens,
        as in RELION's ``--adhoc_bfac`` and with the sign of a Guinier plot; positive blurs.
    """

    z: np.ndarray
    radius: int | None = None
    box: int | None = None
    low_pass: float | None = None
    b_factor: float = 0.0


@dataclass(frozen=True, eq=False)
class Volume:
    """A map.

    Parameters
    ----------
    data
        ``(b, b, b)`` float32, zyx; the centre is voxel ``b // 2``.
    voxel_size
        Å.
    request
        What was asked, or None for a map that was read from a file.
    """

    data: np.ndarray
    voxel_size: float
    request: VolumeRequest | None = None

    @property
    def sigma(self) -> float:
        """Standard deviation over the whole box."""
        return float(self.data.std())

    def in_sigma(self, sigma: float | None = None) -> np.ndarray:
        """Map minus its mean over `sigma` (its own, or one for a whole series), float32 zyx."""
        spread = self.sigma if sigma is None else sigma
        return (self.data - self.data.mean()) / np.float32(spread if spread > 0 else 1.0)


def common_sigma(volumes: Sequence[Volume]) -> float:
    """One σ for a series, so that no frame is scaled by itself: the root of the mean variance."""
    return math.sqrt(sum(volume.sigma**2 for volume in volumes) / len(volumes))


@dataclass(frozen=True, eq=False)
class _Place:
    """A decoder and its points on one device, and the coefficients kept there by z."""

    device: torch.device
    decoder: Decoder
    ball: Ball
    kept: OrderedDict[bytes, Tensor] = field(default_factory=OrderedDict)


class VolumeDecoder:
    """Decodes maps of one epoch; safe to call from several threads.

    Parameters
    ----------
    source
        A ``field.safetensors``, or a decoder with its geometry.
    device
        ``"cpu"``, ``"cuda:0"``, …; ``"auto"`` takes the first GPU if there is one with memory left,
        and goes on with the CPU when that ends.
    precision
        Of the matrix products: ``"auto"`` takes bf16 where it is faster, for 0.4 % of error.
    why
        Why this device was chosen, in a few words, if that is worth telling.
    """

    _waiting_s = 0.0  # of each evaluation, however few points: the way to another machine

    def __init__(
        self,
        source: Path | str | tuple[Decoder, Geometry],
        device: torch.device | str = "cpu",
        precision: Literal["auto", "bf16", "fp32"] = "fp32",
        why: str = "",
    ) -> None:
        self._given: Decoder
        if isinstance(source, tuple):
            self._given, self.geometry = source
        else:
            self._given, self.geometry = FieldDecoder.load(source)
        self._precision: Literal["auto", "bf16", "fp32"] = precision
        self._why = why
        self._yields = device == "auto"
        self._lock = threading.Lock()
        self._seconds_per_point: float | None = None
        wanted = device_of(device)
        if self._yields and not has_room(wanted):
            wanted, self._why = CPU, FULL
        try:
            self._place = self._put(wanted)
        except RuntimeError as error:
            if not (self._yields and wanted != CPU and out_of_memory(error)):
                raise
            self._place, self._why = self._put(CPU), FULL

    @property
    def latent_dim(self) -> int:
        """Length of z."""
        return self._given.latent_dim

    @property
    def device(self) -> torch.device:
        """Where maps are decoded now."""
        return self._place.device

    @property
    def where(self) -> str:
        """The device in words, with the reason where another might be expected."""
        return f"{self.device} ({self._why})" if self._why else str(self.device)

    def decode(self, request: VolumeRequest) -> Volume:
        """Decode one map.

        Raises
        ------
        ValueError
            When z has the wrong length or a number is missing, or the box is odd or too small.
        """
        z, box = self._checked(request.z), self._box(request)

        def work(place: _Place) -> np.ndarray:
            h = self._coefficients(place, z, self._radius(request))
            if request.low_pass is not None:
                h = h * place.ball.soft_edge(self.geometry.length / request.low_pass, h.shape[-1])
            if request.b_factor:
                h = h * self._decay(place.ball, request.b_factor, h.shape[-1])
            # The transform back divides by box³; the same map sampled finer needs the ratio.
            scale = self.geometry.scale * (box / self.geometry.box) ** 3
            data: np.ndarray = place.ball.to_map(h, box, scale).cpu().numpy()
            return data

        return Volume(self._somewhere(work), self.geometry.length / box, request)

    def decode_many(self, requests: Sequence[VolumeRequest]) -> Iterator[Volume]:
        """Decode maps in turn; some share a pass through the network, which costs less."""
        for begin in range(0, len(requests), _TOGETHER):
            group = requests[begin : begin + _TOGETHER]
            points = torch.stack([self._checked(request.z) for request in group])
            radius = max(self._radius(request) for request in group)
            self._somewhere(lambda place: self._fill(place, points, radius))  # noqa: B023  (at once)
            yield from map(self.decode, group)

    def coefficients(
        self, points: np.ndarray, radius: int | None = None, check: Check | None = None
    ) -> np.ndarray:
        """Hartley coefficients ``(m, count)`` float32 of latents ``(m, d)``, on the CPU.

        They are what a decoder elsewhere makes its maps of. `check` is called between blocks:
        raising in it cancels.

        Raises
        ------
        ValueError
            When a z has the wrong length or a number is missing, or the radius is below 1.
        """
        z = torch.stack([self._checked(point) for point in points])
        limit = self._radius(VolumeRequest(points[0], radius))
        found = self._somewhere(lambda place: self._evaluate(place, z, limit, check).cpu())
        return found.numpy()

    def preview(self, z: np.ndarray, budget_s: float = 0.08) -> VolumeRequest:
        """Ask for the finest map that this machine decodes within `budget_s` seconds.

        Its box is sampled at some twice the resolution, but no finer than the working box.
        """
        radius = self.preview_radius(budget_s)
        return VolumeRequest(z, radius, min(self.geometry.box, 2 * (radius + 1 + radius // 2)))

    def preview_radius(self, budget_s: float = 0.08) -> int:
        """Largest Fourier radius whose coefficients are decoded within `budget_s` seconds.

        Follows the measured speed: a first probe, then every decoding.
        """
        if self._seconds_per_point is None:
            for _ in range(2):  # the first call pays for warming up
                self._somewhere(self._probe)
        points = budget_s / (self._seconds_per_point or math.inf)
        radius = int((points / (4 / 3 * math.pi)) ** (1 / 3))
        return min(max(radius, _SMALLEST_PREVIEW), self.geometry.radius)

    def _put(self, device: torch.device) -> _Place:
        """Take the decoder to a device; an earlier place keeps its own."""
        decoder = self._given
        if isinstance(decoder, FieldDecoder):
            decoder = copy.deepcopy(decoder).to(device).eval()
            decoder.compute = choose(self._precision, device)
        return _Place(device, decoder, Ball(self.geometry.radius, 3, device))

    def _somewhere(self, work: Callable[[_Place], Made]) -> Made:
        """Do work where the decoder is; on the CPU, from now on, if the GPU's memory ended."""
        place = self._place
        try:
            return work(place)
        except RuntimeError as error:
            if not (self._yields and place.device != CPU and out_of_memory(error)):
                raise
        with self._lock:
            if self._place is place:
                self._place, self._why = self._put(CPU), FULL
                self._seconds_per_point = None
        return work(self._place)

    def _probe(self, place: _Place) -> None:
        radius = float(place.ball.radii[min(_PROBE_POINTS, len(place.ball)) - 1])
        self._evaluate(place, torch.zeros(1, self.latent_dim), math.ceil(radius))

    def _fill(self, place: _Place, points: Tensor, radius: int) -> None:
        for point, h in zip(points, self._evaluate(place, points, radius), strict=True):
            self._keep(place, point, h)

    def _checked(self, z: np.ndarray) -> Tensor:
        point = torch.as_tensor(np.asarray(z, dtype=np.float32).reshape(-1))
        if len(point) != self.latent_dim:
            raise ValueError(f"z has {len(point)} numbers, this run's latents {self.latent_dim}.")
        if not point.isfinite().all():
            raise ValueError("z has numbers that are not finite; choose a particle or a point.")
        return point

    def _box(self, request: VolumeRequest) -> int:
        box = self.geometry.box if request.box is None else request.box
        if box % 2 or box < 4:
            raise ValueError(f"Map box {box} voxels: it must be even and at least 4.")
        return box

    def _radius(self, request: VolumeRequest) -> int:
        radius = self.geometry.radius if request.radius is None else request.radius
        if radius < 1:
            raise ValueError(f"Fourier radius {radius}: it must be at least 1.")
        if request.low_pass is not None:
            if request.low_pass <= 0:
                raise ValueError(f"Low-pass {request.low_pass} Å: it must be positive.")
            radius = min(radius, math.ceil(self.geometry.length / request.low_pass + 1))
        return min(radius, self.geometry.radius, self._box(request) // 2 - 1)

    def _decay(self, ball: Ball, b_factor: float, count: int) -> Tensor:
        """``exp(-B s²/4)`` at the first points, s in cycles/Å."""
        if not abs(b_factor) <= MOST_B_FACTOR:
            raise ValueError(f"B-factor {b_factor} Å²: choose −{MOST_B_FACTOR} to {MOST_B_FACTOR}.")
        frequencies = ball.radii[:count] / self.geometry.length
        return torch.exp(-b_factor / 4 * frequencies**2)

    def _coefficients(self, place: _Place, z: Tensor, radius: int) -> Tensor:
        """Coefficients ``(count,)``, remembered: a prefix of a finer answer is an answer."""
        key = z.numpy().tobytes()
        count = place.ball.count(radius)
        with self._lock:
            known = place.kept.get(key)
            if known is not None and len(known) >= count:
                place.kept.move_to_end(key)
                return known[:count]
        # Outside the lock: a coarse request must not wait for the frames of a movie.
        h = self._evaluate(place, z[None], radius)[0]
        self._keep(place, z, h)
        return h

    def _keep(self, place: _Place, z: Tensor, h: Tensor) -> None:
        key, kept = z.numpy().tobytes(), place.kept
        with self._lock:
            if len(kept.get(key, h)) <= len(h):
                kept[key] = h
            kept.move_to_end(key)
            while sum(one.nbytes for one in kept.values()) > _CACHE_BYTES:
                kept.popitem(last=False)

    def _evaluate(
        self, place: _Place, z: Tensor, radius: int, check: Check | None = None
    ) -> Tensor:
        """Run the decoder and take its time."""
        begin = time.perf_counter()
        decode = place.decoder.decode_ball
        if check is not None:
            decode = partial(decode, check=check)
        with torch.inference_mode():
            h = decode(z.to(place.device), place.ball, radius).float()
        if place.device.type == "cuda":
            torch.cuda.synchronize(place.device)
        whole = time.perf_counter() - begin
        taken = max(whole - self._waiting_s, 0.1 * whole) / max(1, h.numel())
        if len(z) == 1 and h.numel() >= min(_PROBE_POINTS, len(place.ball)):
            self._seconds_per_point = taken
        return h
