"""Pictures of maps without a display: a softly lit surface, or the maximum along the line of sight.

Rays meet the surface (`raycast`); it is lit by two lamps, darkened in its clefts (ambient
occlusion), faded with depth and outlined, at twice the size of the picture: the mean is smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, avg_pool3d, interpolate, max_pool2d, normalize, pad

from napari_cryodeco.explore.raycast import Field, first_hits, sample
from napari_cryodeco.explore.volumes import Volume

Colour = tuple[int, int, int]

_SUPERSAMPLING = 2
_FINE_SIDE = 128  # a map with fewer voxels is first sampled finer, by padding its transform
_MARGIN = 6  # voxels kept around what lies above the level
_KEY, _FILL = (-0.45, 0.6, 0.66), (0.75, -0.15, 0.65)  # towards the lamps: right, up, to the viewer


@dataclass(frozen=True, eq=False)
class View:
    """Where a parallel camera stands.

    Parameters
    ----------
    rotation
        ``(3, 3)``: map directions xyz to the picture's right, up, and towards the viewer.
    centre
        ``(3,)`` xyz in Å from the centre of the box: what the camera looks at.
    extent
        Å across the shorter side of the picture; None: the box.
    size
        Height and width in pixels.
    offset
        Where in the picture the centre is: right of and above its middle, in its shorter sides.
    """

    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    centre: np.ndarray = field(default_factory=lambda: np.zeros(3))
    extent: float | None = None
    size: tuple[int, int] = (480, 480)
    offset: tuple[float, float] = (0.0, 0.0)

    def pixel_size(self, volume: Volume) -> float:
        """Å per pixel of the picture."""
        extent = self.extent or len(volume.data) * volume.voxel_size
        return extent / min(self.size)


@dataclass(frozen=True)
class Style:
    """Colours 0-255; occlusion, fading with depth and outline in strengths from 0 to 1."""

    colour: Colour = (138, 186, 232)
    background: Colour = (255, 255, 255)
    occlusion: float = 0.8
    fading: float = 0.35
    outline: float = 0.8


def surface(
    volume: Volume,
    level: float,
    view: View | None = None,
    style: Style | None = None,
    sigma: float | None = None,
    paint: np.ndarray | None = None,
) -> np.ndarray:
    """Draw the surface at `level`.

    Parameters
    ----------
    level
        In units of `sigma` above the mean; positive.
    sigma
        One σ for a series of maps; None: that of this map.
    paint
        ``(b, b, b, 3)`` uint8: colours of the voxels, in place of the one of the style.

    Returns
    -------
    numpy.ndarray
        ``(h, w, 3)`` uint8; only background when nothing lies above the level.
    """
    view, style = view or View(), style or Style()
    if level <= 0:
        raise ValueError(f"Level {level} σ: it must be positive.")
    seen, voxel = _seen(volume, level, view, sigma, paint)
    spacing = view.pixel_size(volume) / voxel / _SUPERSAMPLING
    right, up = _axes(view, spacing, _SUPERSAMPLING)
    paper = torch.tensor(style.background).float()[:, None, None] / 255
    picture = paper.expand(3, len(up), len(right)).clone()
    if seen is not None:
        depth = first_hits(seen, level, right, up)
        picture = _painted(seen, level, depth, right, up, picture, style)
        picture = _outlined(picture, depth, style)
    return _bytes(avg_pool2d(picture[None], _SUPERSAMPLING)[0])


def maximum(
    volume: Volume,
    ceiling: float,
    view: View | None = None,
    style: Style | None = None,
    sigma: float | None = None,
) -> np.ndarray:
    """Draw the largest value along each line of sight, from 0 (background) to `ceiling` σ (colour).

    Returns ``(h, w, 3)`` uint8; parameters as in :func:`surface`.
    """
    view, style = view or View(), style or Style()
    values, voxel = _fine(volume, sigma)
    seen = _placed(values, torch.zeros(3), volume, voxel, view)
    right, up = _axes(view, 2 * view.pixel_size(volume) / voxel, 0.5)
    flat_up, flat_right = (axis.reshape(-1) for axis in torch.meshgrid(up, right, indexing="ij"))
    brightest = torch.zeros_like(flat_right)
    reach = int(np.ceil(len(values) * 0.87))  # half the diagonal of a cube
    for depth in range(-reach, reach + 1):
        points = torch.stack([flat_right, flat_up, torch.full_like(flat_up, depth)], 1)
        brightest = torch.maximum(brightest, sample(values[None], seen.place(points))[0])
    share = (brightest / ceiling).clamp(0, 1).reshape(1, 1, len(up), len(right))
    share = interpolate(share, view.size, mode="bicubic", align_corners=False)[0].clamp(0, 1)
    ends = torch.tensor([style.background, style.colour]).float() / 255
    return _bytes(torch.lerp(ends[0][:, None, None], ends[1][:, None, None], share))


def suggest_level(volumes: Sequence[Volume], sigma: float | None = None) -> float:
    """Level in σ between solvent and molecule, for a whole series.

    Half way from the median to the mean of the brightest hundredth of a map, and at least 1;
    averaged over at most five maps.
    """
    levels = []
    for volume in volumes[:: max(1, len(volumes) // 5)][:5]:
        values = volume.in_sigma(sigma)
        bright = values[values >= np.quantile(values, 0.99)].mean()
        levels.append((float(np.median(values)) + float(bright)) / 2)
    return max(1.0, float(np.mean(levels)))


def framing(
    volumes: Sequence[Volume], level: float, view: View | None = None, sigma: float | None = None
) -> View:
    """Move and zoom a view so that all above `level` in any of the maps fits the picture."""
    view = view or View()
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for volume in volumes:
        points = filled(volume, level, sigma) @ view.rotation.T
        if len(points):
            low, high = np.minimum(low, points.min(0)), np.maximum(high, points.max(0))
    if not np.isfinite(low).all():
        return view
    extent = _fitting((high - low)[:2], view)
    return replace(view, centre=(low + high) / 2 @ view.rotation, extent=extent)


def framing_turned(
    shown: Sequence[tuple[Volume, Sequence[np.ndarray]]],
    level: float,
    view: View,
    sigma: float | None = None,
) -> View:
    """Move and zoom a view so that all fits while the camera turns: one place, one zoom.

    Parameters
    ----------
    shown
        Each map with the turns ``(3, 3)`` of the picture's axes under which it is seen.
    """
    view = framing([volume for volume, _ in shown], level, view, sigma)
    reach = np.zeros(2)
    for volume, turns in shown:
        points = (filled(volume, level, sigma) - view.centre) @ view.rotation.T
        if len(points):
            for turn in turns:
                reach = np.maximum(reach, np.abs(points @ turn[:2].T).max(0))
    return replace(view, extent=_fitting(2 * reach, view)) if reach.any() else view


def filled(volume: Volume, level: float, sigma: float | None = None) -> np.ndarray:
    """Places ``(m, 3)`` xyz in Å, from the centre, of the voxels at or above a level."""
    voxels = np.argwhere(volume.in_sigma(sigma) >= level)[:, ::-1] - len(volume.data) // 2
    return voxels * volume.voxel_size


def _fitting(wanted: np.ndarray, view: View) -> float:
    """Å across the shorter side that shows `wanted` Å rightwards and upwards, with a margin."""
    height, width = view.size
    shorter = min(view.size)
    return float(max(wanted[0] * shorter / width, wanted[1] * shorter / height)) * 1.15


def _axes(view: View, spacing: float, factor: float) -> tuple[Tensor, Tensor]:
    """Coordinates of the columns (rightwards) and of the rows (downwards from the top)."""
    rows, columns = (int(side * factor) for side in view.size)
    aside, above = (share * min(rows, columns) for share in view.offset)
    right = (torch.arange(columns) - (columns - 1) / 2 - aside) * spacing
    up = ((rows - 1) / 2 - torch.arange(rows) - above) * spacing
    return right, up


def _seen(
    volume: Volume, level: float, view: View, sigma: float | None, paint: np.ndarray | None
) -> tuple[Field | None, float]:
    """The part of the map above the level, sampled finely, in σ; and its voxel size in Å."""
    values, voxel = _fine(volume, sigma)
    filled = torch.nonzero(values >= level)
    if not len(filled):
        return None, voxel
    begin = (filled.amin(0) - _MARGIN).clamp(min=0)
    end = filled.amax(0) + _MARGIN + 1
    window = tuple(slice(a, b) for a, b in zip(begin.tolist(), end.tolist(), strict=True))
    part = values[window].contiguous()
    seen = _placed(part, begin.flip(0).float(), volume, voxel, view)
    if paint is not None:
        seen = replace(seen, paint=_finer_colours(paint, len(values))[:, *window].contiguous())
    return seen, voxel


def _finer_colours(paint: np.ndarray, side: int) -> Tensor:
    """Colours ``(3, side, side, side)`` from 0 to 1 on a grid that begins at the same voxel."""
    colours = torch.from_numpy(paint).movedim(-1, 0)[None].float() / 255
    factor = side // len(paint)
    whole = [factor * (len(paint) - 1) + 1] * 3  # voxel i of the coarse grid is factor * i
    finer = interpolate(colours, whole, mode="trilinear", align_corners=True)
    rest = side - whole[0]
    return pad(finer, (0, rest) * 3, mode="replicate")[0]


def _placed(values: Tensor, corner: Tensor, volume: Volume, voxel: float, view: View) -> Field:
    """Put the picture's axes into a part of the map that begins at voxel `corner` (xyz)."""
    middle = (len(volume.data) // 2) * volume.voxel_size
    origin = torch.from_numpy(np.asarray(view.centre, dtype=np.float32) + np.float32(middle))
    rotation = torch.from_numpy(np.asarray(view.rotation, dtype=np.float32))
    return Field(values, rotation, origin / voxel - corner)


def _fine(volume: Volume, sigma: float | None) -> tuple[Tensor, float]:
    """The map in σ with at least some :data:`_FINE_SIDE` voxels a side, and its voxel size in Å."""
    values = torch.from_numpy(volume.in_sigma(sigma))
    factor = max(1, round(_FINE_SIDE / len(values)))
    return _finer(values, factor), volume.voxel_size / factor


def _finer(values: Tensor, factor: int) -> Tensor:
    """The same band-limited map with `factor` times as many voxels a side."""
    if factor == 1:
        return values
    side = len(values)
    half = (side + 1) // 2  # frequencies below the limit of an even side
    spectrum = torch.fft.rfftn(values)
    padded = spectrum.new_zeros(side * factor, side * factor, side * factor // 2 + 1)
    ends = (slice(0, half), slice(-half + 1, None))
    for z in ends:
        for y in ends:
            padded[z, y, :half] = spectrum[z, y, :half]
    return torch.fft.irfftn(padded, s=(side * factor,) * 3) * factor**3


def _painted(
    seen: Field,
    level: float,
    depth: Tensor,
    right: Tensor,
    up: Tensor,
    picture: Tensor,
    style: Style,
) -> Tensor:
    """Paint the surface over `picture` ``(3, h, w)``: at edges every point, else one a pixel."""
    n = _SUPERSAMPLING
    row, column = torch.nonzero(depth > -torch.inf, as_tuple=True)
    tiles = depth.unfold(0, n, n).unfold(1, n, n).flatten(2)
    even = tiles.amax(-1) - tiles.amin(-1) < 1.0  # voxel; nan where a tile is empty
    fine = ~even[row // n, column // n]
    row, column = row[fine], column[fine]
    tile_row, tile_column = torch.nonzero(even, as_tuple=True)
    flat = [
        right.unfold(0, n, n).mean(-1)[tile_column],
        up.unfold(0, n, n).mean(-1)[tile_row],
        tiles.mean(-1)[tile_row, tile_column],
    ]
    edge = [right[column], up[row], depth[row, column]]
    points = torch.cat([torch.stack(flat, 1), torch.stack(edge, 1)])
    light, gloss = _light(seen, level, points, style)
    colour, paper = (
        torch.tensor(rgb).float()[:, None] / 255 for rgb in (style.colour, style.background)
    )
    if seen.paint is not None:
        colour = sample(seen.paint, seen.place(points))
    across = float(right[-1] - right[0])
    far = (0.5 - points[:, 2] / across).clamp(0, 1) * style.fading
    # What is brighter than the colour itself turns white, all channels alike.
    white = (0.7 * (light - 1).clamp(min=0) + gloss).clamp(max=1)
    paint = torch.lerp(torch.lerp(colour * light.clamp(max=1), torch.ones(()), white), paper, far)
    for y in range(n):
        for x in range(n):
            picture[:, tile_row * n + y, tile_column * n + x] = paint[:, : len(tile_row)]
    picture[:, row, column] = paint[:, len(tile_row) :]
    return picture


def _light(seen: Field, level: float, points: Tensor, style: Style) -> tuple[Tensor, Tensor]:
    """Diffuse light and gloss ``(m,)`` at points of the surface."""
    positions = seen.place(points)
    slope = torch.stack(torch.gradient(seen.values)[::-1])  # xyz
    outward = -sample(slope, positions).T
    outward = outward / (outward**2).sum(1, keepdim=True).sqrt().clamp(min=1e-9)
    normal = outward @ seen.rotation.T
    openness = 1 - style.occlusion * (1 - _open(seen, level, positions, outward))
    key, fill = (normalize(torch.tensor(lamp), dim=0) for lamp in (_KEY, _FILL))
    diffuse = (0.1 + 0.9 * (normal @ key)).clamp(min=0) * openness.sqrt()
    ambient = openness * (0.44 + 0.16 * (normal @ fill).clamp(min=0))
    halfway = normalize(key + torch.tensor([0.0, 0.0, 1.0]), dim=0)
    return ambient + 0.66 * diffuse, 0.2 * (normal @ halfway).clamp(min=0) ** 24 * openness


def _open(seen: Field, level: float, positions: Tensor, outward: Tensor) -> Tensor:
    """Share of the sky seen from each place, about: 1 on a plane or a bulge, 0 deep in a cleft.

    What a ball in front of the surface holds is compared with what it would hold above a plane.
    """
    blocks = avg_pool3d((seen.values >= level).float()[None], 2)[0]
    share = torch.ones(len(positions))
    for width in (3, 9):
        filled = _blurred(blocks, width)
        spread = (width**2 - 1) ** 0.5  # σ in voxels of three boxes over blocks of two
        ahead = (positions + outward * spread - 0.5) / 2
        inside = sample(filled[None], ahead)[0]
        share = share * (1 - ((inside - 0.16) / 0.5).clamp(0, 1)) ** 0.8
    return share


def _blurred(values: Tensor, width: int) -> Tensor:
    """Three passes of a box along each axis: nearly a Gaussian."""
    for kernel in ((width, 1, 1), (1, width, 1), (1, 1, width)):
        padding = tuple(side // 2 for side in kernel)
        for _ in range(3):
            values = avg_pool3d(values[None], kernel, 1, padding)[0]
    return values


def _outlined(picture: Tensor, depth: Tensor, style: Style) -> Tensor:
    """Draw a dark line where something stands before something much farther away."""
    found = depth[depth > -torch.inf]
    if not len(found):
        return picture
    span = float(found.max() - found.min()) + 1e-6
    solid = torch.where(depth > -torch.inf, depth, found.min() - span)
    jump = max_pool2d(solid[None], 2 * _SUPERSAMPLING + 1, 1, _SUPERSAMPLING)[0] - solid
    line = style.outline * ((jump / span - 0.06) / 0.06).clamp(0, 1)
    ink = torch.tensor(style.colour).float()[:, None, None] / 255 * 0.22
    return torch.lerp(picture, ink.expand_as(picture), line[None])


def _bytes(picture: Tensor) -> np.ndarray:
    """``(3, h, w)`` from 0 to 1 as ``(h, w, 3)`` uint8."""
    whole = (picture * 255).round().clamp(0, 255).byte()
    return np.ascontiguousarray(whole.permute(1, 2, 0).numpy())
