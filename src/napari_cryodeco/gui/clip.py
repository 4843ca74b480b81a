"""A path decoded into maps: frames come one by one from a worker thread. No Qt in here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_cryodeco.explore.trajectory import Trajectory
    from napari_cryodeco.explore.volumes import Volume, VolumeDecoder
    from napari_cryodeco.gui.map_filter import MapFilter

FAST_SECONDS = 0.3  # a frame of a quick look


@dataclass(eq=False)
class Clip:
    """The maps along a path, as far as they are decoded.

    Parameters
    ----------
    path
        The path.
    supported
        ``(t,)`` bool: the frame lies among particles.
    volumes
        A map a frame, None until it is decoded.
    """

    path: Trajectory
    supported: np.ndarray
    volumes: list[Volume | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.volumes = [None] * len(self.path)

    @property
    def decoded(self) -> list[Volume]:
        """The maps that are there, in the order of the path."""
        return [volume for volume in self.volumes if volume is not None]

    @property
    def complete(self) -> bool:
        """Whether every frame is there."""
        return len(self.decoded) == len(self.volumes)

    @property
    def sigma(self) -> float:
        """One σ for the whole clip, so that no frame is scaled by itself.

        That of the first map until all are there, then their common one.
        """
        from napari_cryodeco.explore.volumes import common_sigma  # brings torch

        return common_sigma(self.decoded if self.complete else self.decoded[:1])


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame of a clip."""

    clip: Clip
    number: int
    volume: Volume


def make_clip(path: Trajectory, latents: np.ndarray, supported: np.ndarray | None = None) -> Clip:
    """An empty clip; which of its frames particles support is found out where it is not given."""
    from napari_cryodeco.explore.trajectory import support  # brings sklearn

    if supported is None:
        supported = support(path.points, latents).supported
    return Clip(path, supported)


def decode_clip(
    clip: Clip,
    open_decoder: Callable[[], VolumeDecoder],
    fast: bool,
    map_filter: MapFilter,
    show: Callable[[Frame], None],
    report: Callable[[int, int], None],
) -> Clip:
    """Decode all frames, giving each to `show` as it comes; runs on a worker thread.

    The order is coarse to fine along the path (first, last, middle, …), so that the whole motion is
    seen early.
    """
    from napari_cryodeco.explore.volumes import VolumeRequest  # brings torch

    decoder, points = open_decoder(), clip.path.points
    first = decoder.preview(points[0], FAST_SECONDS) if fast else VolumeRequest(points[0])
    order = spread_order(len(points))
    made: dict[bytes, Volume] = {}  # a tour halts: the same map for many frames
    for done, number in enumerate(order):
        report(done, len(order))
        z = points[number]
        if (key := z.tobytes()) not in made:
            made[key] = decoder.decode(map_filter.on(replace(first, z=z)))  # all of one size
        show(Frame(clip, number, made[key]))
    report(len(order), len(order))
    return clip


def spread_order(count: int) -> list[int]:
    """The numbers below `count`, ends first, then ever finer between."""
    order: list[int] = []
    known: set[int] = set()
    step = max(1, count - 1)
    while len(order) < count:
        for number in range(0, count, step):
            if number not in known:
                known.add(number)
                order.append(number)
        if step == 1:
            break
        step = (step + 1) // 2
    return order
