"""Images of some particles, as they are and as the run sees them, and their class average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.data.stack import ParticleStack
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.so3 import euler_to_matrix, matrix_to_euler
from napari_cryodeco.runs.run import Run

Treatment = Literal["raw", "low-passed", "CTF-flipped", "aligned"]
TREATMENTS: tuple[Treatment, ...] = ("raw", "low-passed", "CTF-flipped", "aligned")
WITHIN = 15.0  # degrees between viewing directions of one class average
_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images ``(m, D, D)`` float32 of particles `rows` ``(m,)``, `pixel_size` in Å."""

    images: np.ndarray
    rows: np.ndarray
    pixel_size: float


@dataclass(frozen=True, eq=False)
class ClassAverage:
    """Mean ``(D, D)`` float32 of `used` images, of the `alike` of `count` that are seen alike.

    `azimuth` and `tilt` of the direction in degrees, `within` how far from it the images are.
    """

    image: np.ndarray
    used: int
    alike: int
    count: int
    azimuth: float
    tilt: float
    pixel_size: float
    within: float = WITHIN


def sample(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """At most `count` of the rows ``(m,)``, sorted; the same ones for the same seed."""
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))


def pictures(
    run: Run,
    rows: np.ndarray,
    treatment: Treatment,
    low_pass: float | None = None,
    epoch: int | None = None,
) -> Pictures:
    """Read particles, each treatment after those before it.

    Parameters
    ----------
    rows
        ``(m,)``, any order.
    treatment
        "raw": of the user's stacks, in their contrast. All others are the run's working images,
        protein bright: "low-passed"; "CTF-flipped", where the CTF reverses contrast; "aligned", in
        plane at the poses of the run, so that particles seen from one direction lie alike.
    low_pass
        Å; None leaves all. Not of raw images.
    epoch
        Whose poses; the newest by default.

    Raises
    ------
    ValueError, OSError
        When stacks, working images or poses are not there.
    """
    some = torch.from_numpy(np.asarray(rows, np.int64))
    if treatment == "raw":
        if (mirrored := run.mirrored) is not None:
            raise ValueError(mirrored.no_images)
        images = ParticleStack(run.particles).read(some)
        return Pictures(images.numpy(), rows, run.particles.pixel_size)
    poses = run.epoch(epoch).poses()[some] if treatment == "aligned" else None
    images = _treated(run, some, low_pass, treatment != "low-passed", poses, None)
    return Pictures(images.numpy(), rows, run.geometry.pixel_size)


def class_average(
    run: Run,
    rows: np.ndarray,
    low_pass: float | None = None,
    epoch: int | None = None,
    most: int = 512,
    seed: int = 0,
) -> ClassAverage:
    """Average the particles of `rows` ``(m,)`` that are seen from where most of them are.

    The commonest direction is that of the particle, of a sample of `most`, with the most others
    within 15°. At most `most` of all particles within 15° of it are averaged: CTF-flipped, turned
    and shifted at the poses of the run.

    Raises
    ------
    ValueError, OSError
        When there are no rows, or images or poses are not there.
    """
    if not len(rows):
        raise ValueError("No particles are chosen: there is nothing to average.")
    poses = run.epoch(epoch).poses()
    directions = poses.rotations[torch.from_numpy(rows), 2]
    near = float(np.cos(np.radians(WITHIN)))
    some = directions[torch.from_numpy(sample(np.arange(len(rows)), most, seed))]
    best = some[(some @ some.T > near).sum(1).argmax()]
    alike = rows[(directions @ best > near).numpy()]
    used = torch.from_numpy(sample(alike, most, seed))
    frame = _upright(poses.rotations[used][(poses.rotations[used, 2] @ best).argmax()])
    total = torch.zeros(run.geometry.box, run.geometry.box)
    for part in used.split(_AT_ONCE):
        total += _treated(run, part, low_pass, True, poses[part], frame).sum(0)
    angles = torch.rad2deg(matrix_to_euler(frame)).tolist()
    image = (total / len(used)).numpy()
    return ClassAverage(
        image, len(used), len(alike), len(rows), angles[0], angles[1], run.geometry.pixel_size
    )


def _treated(
    run: Run,
    rows: Tensor,
    low_pass: float | None,
    flip: bool,
    poses: Poses | None,
    frame: Tensor | None,
) -> Tensor:
    """Images ``(m, D, D)``; turned into `frame` ``(3, 3)``, or each into its own direction's."""
    geometry = run.geometry
    ball = Ball(geometry.radius, 2)
    h = run.images()[rows].float()
    if low_pass is not None:
        if low_pass <= 0:
            raise ValueError(f"Low-pass {low_pass} Å: it must be positive.")
        h = h * ball.soft_edge(geometry.length / low_pass, len(ball))
    if flip:
        frequencies = ball.frequencies(geometry.box, geometry.pixel_size)
        h = h * run.particles.ctf[rows].at(frequencies).sign()
    if poses is not None:
        h = ball.shift(h, poses.shifts.to(h) / geometry.length)
    images = ball.to_map(h, geometry.box, geometry.scale)
    return images if poses is None else turned(images, in_plane(poses.rotations, frame))


def in_plane(rotations: Tensor, frame: Tensor | None = None) -> Tensor:
    """In-plane angles ``(m,)`` rad, about z, by which images differ from those of their direction.

    With a `frame` ``(3, 3)``, the ones that bring `rotations` ``(m, 3, 3)`` nearest to it.
    """
    if frame is None:
        return -matrix_to_euler(rotations)[..., 2]
    between = rotations @ frame.T
    return torch.atan2(between[:, 1, 0] - between[:, 0, 1], between[:, 0, 0] + between[:, 1, 1])


def turned(images: Tensor, angles: Tensor) -> Tensor:
    """Images ``(m, D, D)`` turned back by `angles` rad about their centre, pixel D // 2.

    The value at r is that of the image at ``Rz(angle) r``; bicubic.
    """
    side = images.shape[-1]
    axis = torch.arange(side, dtype=images.dtype) - side // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    cos, sin = angles.to(images).cos()[:, None, None], angles.to(images).sin()[:, None, None]
    places = torch.stack([cos * x - sin * y, sin * x + cos * y], -1) + side // 2
    grid = (2 * places + 1) / side - 1  # pixel centres, as align_corners=False has them
    moved = torch.nn.functional.grid_sample(
        images[:, None], grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    return moved[:, 0]


def _upright(rotation: Tensor) -> Tensor:
    """The rotation ``(3, 3)`` with the same viewing direction and no in-plane turn."""
    angles = matrix_to_euler(rotation)
    return euler_to_matrix(torch.stack([angles[0], angles[1], torch.zeros_like(angles[0])]))
