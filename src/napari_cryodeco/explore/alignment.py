"""One map laid over another: turned, moved, of either hand, on the other's grid. No ChimeraX.

:func:`napari_cryodeco.imaging.superpose.superpose` finds the frame among all rotations of both
hands at low resolution; gradients then refine it on all shells in which the maps agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.explore.volumes import Volume
from napari_cryodeco.imaging import fsc
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.fourier import Cube
from napari_cryodeco.imaging.resample import resample
from napari_cryodeco.imaging.so3 import rotvec_to_matrix
from napari_cryodeco.imaging.superpose import Superposition, superpose, whitened

Progress = Callable[[int, int], None]
SEARCH_RADIUS = 14  # cycles per box: enough to tell frames and hands apart, and quick
FINEST_RADIUS = 40  # finer shells would cost more than they add to 0.1° and 0.1 voxels
_STEPS = 3  # search, refinement, the map itself


@dataclass(frozen=True, eq=False)
class Frame:
    """Where a map lies: what is at x Å from its centre goes to ``rotation @ (±x) + shift``.

    `rotation` ``(3, 3)`` and `shift` ``(3,)`` in Å act on xyz; `mirrored` maps are inverted through
    their centre first (the minus).
    """

    rotation: np.ndarray
    shift: np.ndarray
    mirrored: bool

    @property
    def degrees(self) -> float:
        """Angle of the rotation."""
        cosine = (np.trace(self.rotation) - 1) / 2
        return math.degrees(math.acos(float(np.clip(cosine, -1, 1))))

    def lay(self, moving: Volume, box: int, voxel_size: float) -> Volume:
        """Draw a map in this frame on a grid of `box` voxels of `voxel_size` Å.

        By cubic splines from a copy sampled twice as fine, which leaves the highest frequencies.
        """
        from scipy.ndimage import affine_transform  # heavy, and not everyone aligns

        fine_size = voxel_size / 2
        side = 2 * math.ceil(len(moving.data) * moving.voxel_size / fine_size / 2)
        data = torch.from_numpy(np.array(moving.data, np.float32))
        fine = resample(data, moving.voxel_size, side, fine_size).numpy()
        back = self.rotation.T * (-1 if self.mirrored else 1)
        matrix = back[::-1, ::-1]  # arrays are zyx
        start = -matrix @ (np.full(3, box // 2) + self.shift[::-1] / voxel_size)
        ratio = voxel_size / fine_size
        laid = affine_transform(
            fine, ratio * matrix, ratio * start + side // 2, output_shape=(box,) * 3, order=3
        )
        return Volume(laid.astype(np.float32), voxel_size)


@dataclass(frozen=True, eq=False)
class MapAlignment:
    """A map laid over a reference.

    Parameters
    ----------
    frame
        How it had to be moved.
    volume
        The map on the reference's grid.
    before, after
        Mean FSC with the reference, as the map came and as it lies now, over the shells that both
        grids hold.
    """

    frame: Frame
    volume: Volume
    before: float
    after: float

    @property
    def sentences(self) -> tuple[str, str]:
        """What was done, and what it brought."""
        x, y, z = (f"{value:+.2f}".replace("-", "−") for value in self.frame.shift)
        hand = "the other hand" if self.frame.mirrored else "the same hand"
        return (
            f"Turned by {self.frame.degrees:.1f}°, moved by {x}, {y}, {z} Å (x, y, z), {hand}.",
            f"Mean FSC {self.before:.3f} before, {self.after:.3f} after.",
        )


def align_maps(moving: Volume, reference: Volume, progress: Progress | None = None) -> MapAlignment:
    """Find rotation, shift and hand at which `moving` is most like `reference`, and draw it so.

    Boxes and voxel sizes may differ. Maps need not be centred: their centres of mass are laid over
    each other first, and the search goes 0.1 of the box about that.

    Raises
    ------
    ValueError
        If a map is no cube, is flat, or has voxels without a size.
    """
    tell = progress or (lambda done, of: None)
    _check(moving)
    _check(reference)
    box, voxel = len(reference.data), reference.voxel_size
    fixed, data = (torch.from_numpy(np.array(v.data, np.float32)) for v in (reference, moving))
    here = resample(data, moving.voxel_size, box, voxel)
    shells = min(box // 2 - 1, math.floor(box * voxel / (2 * moving.voxel_size)))
    tell(0, _STEPS)
    places = [_centre(volume) / box for volume in (fixed, here)]
    found = _search(fixed, here, places, min(shells, SEARCH_RADIUS))
    tell(1, _STEPS)
    radius = min(shells, FINEST_RADIUS)
    rotation, shift = _refine(fixed, here, places, found, radius)
    tell(2, _STEPS)
    sign = -1.0 if found.mirrored else 1.0
    moved = shift + places[0] - sign * rotation @ places[1]
    frame = Frame(rotation.numpy(), (moved * box * voxel).numpy(), found.mirrored)
    laid = frame.lay(moving, box, voxel)
    scores = [
        float(fsc.shells(volume, fixed)[:shells].mean())
        for volume in (here, torch.from_numpy(laid.data))
    ]
    tell(_STEPS, _STEPS)
    return MapAlignment(frame, laid, scores[0], scores[1])


def _check(volume: Volume) -> None:
    data = volume.data
    if data.ndim != 3 or len(set(data.shape)) != 1 or len(data) < 8 or len(data) % 2:
        raise ValueError(f"A map of {data.shape} voxels: it must be an even cube of 8 or more.")
    if not volume.voxel_size > 0:
        raise ValueError("A map without voxel size: its header says 0 Å; set it first.")
    if not np.isfinite(data).all() or float(data.std()) == 0:
        raise ValueError("A map is flat or has numbers that are not finite: nothing to align.")


def _centre(volume: Tensor) -> Tensor:
    """Centre of mass ``(3,)``, xyz voxels from the centre, of what rises 2 σ above the mean."""
    weight = (volume - volume.mean() - 2 * volume.std()).clamp_min(0).double()
    axis = torch.arange(volume.shape[-1], dtype=torch.float64) - volume.shape[-1] // 2
    sums = torch.stack([(weight.sum(dim=other) * axis).sum() for other in ((0, 1), (0, 2), (1, 2))])
    return (sums / weight.sum().clamp_min(1e-30)).float()


def _centred(volume: Tensor, place: Tensor, ball: Ball) -> Tensor:
    """Coefficients ``(p,)`` of a map with its centre of mass in the middle."""
    return ball.shift(ball.from_map(volume)[None], -place[None])[0]


def _search(fixed: Tensor, free: Tensor, places: list[Tensor], radius: int) -> Superposition:
    ball = Ball(radius, 3)
    return superpose(_centred(fixed, places[0], ball), _centred(free, places[1], ball), ball)


def _refine(
    fixed: Tensor, free: Tensor, places: list[Tensor], found: Superposition, radius: int
) -> tuple[Tensor, Tensor]:
    """Rotation ``(3, 3)`` and shift ``(3,)`` in box sides, from those found.

    Each shell weighs as much as the maps agree in it: first at the radius of the search, then at
    all.
    """
    rotation, shift = found.rotation, found.shift
    for reach in sorted({len(found.fsc), radius}):
        ball = Ball(reach, 3)
        first, second = (
            _centred(volume, place, ball)
            for volume, place in zip((fixed, free), places, strict=True)
        )
        if found.mirrored:
            second = second[ball.mirror]
        first, second = whitened(first, ball), whitened(second, ball)
        rotation, shift = _climb(first, second, ball, rotation, shift)
    return rotation, shift


def _climb(
    first: Tensor, second: Tensor, ball: Ball, rotation: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """Go up the correlation by L-BFGS, from a frame that is nearly right.

    scipy's: torch.optim imports triton, which kills a window whose OpenGL is Mesa's software.
    """
    from scipy.optimize import minimize  # heavy, and not everyone aligns

    cube, points = Cube(second[None], ball, ball.radius), ball.points.float()

    def laid(step: Tensor) -> Tensor:
        turned = cube.sample(0, (points @ (rotvec_to_matrix(step[:3]) @ rotation))[None])
        return ball.shift(turned, step[None, 3:])[0]

    start = torch.cat([torch.zeros(3), shift])
    agreement = fsc.of_coefficients(first, laid(start), ball).clamp_min(0)
    weighted = first * agreement[ball.shells - 1]

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        step = torch.from_numpy(values.astype(np.float32)).requires_grad_()
        value = -(weighted * laid(step)).mean()
        (slope,) = torch.autograd.grad(value, step)
        return float(value.detach()), slope.double().numpy()

    found = minimize(loss, start.double().numpy(), jac=True, method="L-BFGS-B")
    best = torch.from_numpy(found.x.astype(np.float32))
    return rotvec_to_matrix(best[:3]) @ rotation, best[3:]
