"""A small map of the latent space for a movie: particles, path, and where a picture is on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from napari_cryodeco.explore import palette
from napari_cryodeco.explore.labels import ink_on
from napari_cryodeco.explore.projection import principal_axes
from napari_cryodeco.explore.raster import Range, dots, places, shades, span

SHARE = 0.3  # of the shorter side of a picture
# A ball that is drawn so much smaller, so far left of and above the middle, is free of the inset.
ROOM, OFFSET = 1.3, (-0.09, 0.09)
LEAST = 96  # pixels, below which it cannot be read
_FINE = 3  # drawn so many times larger: lines and discs come out smooth
_BOLD = 2.0  # dots of a figure would be too small
_STILL = 0.05  # a path hardly moves along an axis with this share of its longest


@dataclass(frozen=True, eq=False)
class LatentMap:
    """Where the particles and the frames of a path lie in a view of the latents.

    Parameters
    ----------
    coordinates
        ``(n, 2)`` of all particles; not finite: in no view.
    path
        ``(t, 2)`` of the frames.
    labels
        Names of the two axes; the second may be empty.
    joined
        Whether there is a way from frame to frame to be drawn; a tour has none.
    """

    coordinates: np.ndarray
    path: np.ndarray
    labels: tuple[str, str]
    joined: bool = True

    @classmethod
    def of(cls, latents: np.ndarray, points: np.ndarray) -> LatentMap:
        """In the two principal components along which a path ``(t, d)`` moves most.

        Where it hardly moves along a second one, the first of the others stands in.
        """
        axes = principal_axes(latents)
        path = (points - axes.mean) @ axes.directions.T
        reach = np.ptp(path, axis=0)
        order = np.argsort(-reach, kind="stable")
        chosen = [int(order[0])]
        if len(order) > 1:
            moves = reach[order[1]] > _STILL * reach[order[0]]
            chosen.append(int(order[1]) if moves else (0 if chosen[0] else 1))
        chosen.sort()
        names = [f"PC{component + 1}" for component in chosen]
        if len(chosen) == 1:
            flat = np.zeros((len(axes.scores), 1)), np.zeros((len(path), 1))
            coordinates, line = np.hstack([axes.scores, flat[0]]), np.hstack([path, flat[1]])
            return cls(coordinates, line, (names[0], ""), not halts(points))
        labels = names[0], names[1]
        return cls(axes.scores[:, chosen], path[:, chosen], labels, not halts(points))


class Inset:
    """Draws a latent map at one size; what all pictures share is drawn once.

    Parameters
    ----------
    latent_map
        What it shows.
    side
        Pixels, frame included.
    background
        Colour of the paper, 0-255.
    supported
        ``(t,)`` bool: frames among particles; None: all are.
    """

    def __init__(
        self,
        latent_map: LatentMap,
        side: int,
        background: palette.RGB = (255, 255, 255),
        supported: np.ndarray | None = None,
    ) -> None:
        self.side = side
        self._labels = latent_map.labels
        path = latent_map.path
        self._bare = np.zeros(len(path), bool) if supported is None else ~np.asarray(supported)
        self._paper = background
        self._dark = sum(background) < 3 * 128
        self._path_colour = palette.PATH_ON_DARK if self._dark else palette.PATH_ON_LIGHT
        known = latent_map.coordinates[np.isfinite(latent_map.coordinates).all(1)]
        self._ranges = tuple(_joined(span(known[:, axis]), path[:, axis]) for axis in range(2))
        self._ground = self._particles(known)
        self.path = np.column_stack([self._place(path[:, axis], axis) for axis in range(2)])
        if latent_map.joined:
            self._draw_path()

    def picture(self, frame: int) -> np.ndarray:
        """The map with the marker at `frame`, ``(side, side, 3)`` uint8."""
        drawn = self._ground.copy()
        pen = ImageDraw.Draw(drawn)
        x, y = self.path[frame] * _FINE
        radius = max(4.5, self.side / 22) * _FINE
        edge = max(1.5, self.side / 90) * _FINE
        fill = palette.EXTRAPOLATED if self._bare[frame] else self._path_colour
        rim = "#000000" if self._bare[frame] else "#FFFFFF"
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), rim)
        inner = radius - edge
        pen.ellipse((x - inner, y - inner, x + inner, y + inner), fill)
        small = drawn.resize((self.side, self.side), Image.Resampling.BOX)
        self._write(small, bool(self._bare[frame]))
        return np.asarray(small)

    def _place(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Pixels of the picture, to a fraction; y grows upwards."""
        low, high = self._ranges[axis]
        share = (values - low) / (high - low)
        return (1 - share if axis else share) * self.side

    def _particles(self, known: np.ndarray) -> Image.Image:
        side = self.side * _FINE
        at = places(known[:, 0], known[:, 1], (self._ranges[0], self._ranges[1]), side)
        covered = dots(at, side, len(known), _BOLD)
        stops = palette.DENSITY_ON_DARK if self._dark else palette.DENSITY_ON_LIGHT
        colours = palette.ramp(stops)[np.rint(255 * shades(covered)).astype(np.intp)]
        colours[covered == 0] = self._paper
        return Image.fromarray(colours)

    def _draw_path(self) -> None:
        """The path, dashed in the colour of a warning where no particles support it."""
        pen = ImageDraw.Draw(self._ground)
        width = max(1.6, self.side / 70) * _FINE
        line = [tuple(point) for point in self.path * _FINE]
        for leg in range(len(line) - 1):
            bare = self._bare[leg] or self._bare[leg + 1]
            if not bare:
                pen.line(line[leg : leg + 2], self._path_colour, round(width), joint="curve")
                continue
            for begin, end in _dashes(np.array(line[leg]), np.array(line[leg + 1]), 2.2 * width):
                pen.line([tuple(begin), tuple(end)], palette.EXTRAPOLATED, round(width))

    def _write(self, picture: Image.Image, bare: bool) -> None:
        """Names of the axes inside the frame, which is of the warning's colour without support."""
        pen = ImageDraw.Draw(picture)
        ink = ink_on(self._paper)
        font = ImageFont.load_default(max(10, self.side // 11))
        gap = max(3, self.side // 40)
        end = self.side - 1 - gap
        pen.text((end, end), self._labels[0], fill=ink, font=font, anchor="rd")
        pen.text((gap, gap), self._labels[1], fill=ink, font=font, anchor="la")
        frame = ImageColor.getrgb(palette.EXTRAPOLATED)[:3] if bare else ink
        pen.rectangle((0, 0, self.side - 1, self.side - 1), outline=frame, width=2 if bare else 1)


def halts(points: np.ndarray) -> bool:
    """Whether a path ``(t, d)`` stays anywhere, as a tour does: then it jumps."""
    return bool((points[1:] == points[:-1]).all(1).any())


def side_of(size: tuple[int, int]) -> int:
    """Pixels of the inset of a picture of this height and width."""
    return max(LEAST, round(SHARE * min(size)))


def _joined(ends: Range, values: np.ndarray) -> Range:
    """A range that holds a path, too; with a margin where the path leaves it."""
    margin = 0.06 * (ends[1] - ends[0])
    low, high = float(values.min()), float(values.max())
    return (
        ends[0] if low >= ends[0] else low - margin,
        ends[1] if high <= ends[1] else high + margin,
    )


def _dashes(
    begin: np.ndarray, end: np.ndarray, length: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Every other piece of a straight line."""
    count = max(1, round(float(np.linalg.norm(end - begin)) / length))
    count += 1 - count % 2  # odd: it begins and ends with a dash
    at = np.linspace(begin, end, count + 1)
    return [(at[i], at[i + 1]) for i in range(0, count, 2)]
