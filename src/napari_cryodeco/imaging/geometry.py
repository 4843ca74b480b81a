"""The sizes that turn numbers into a map with a scale."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True)
class Geometry:
    """How the working coefficients of a run relate to images and maps.

    Parameters
    ----------
    box
        Side of the working image, pixels (even).
    pixel_size
        Å per working pixel.
    radius
        Largest Fourier radius used, at most ``box // 2 - 1``.
    scale
        ``box * sigma``: working coefficients times this are Hartley coefficients of images in the
        user's units.
    source_box, source_pixel_size
        The user's stack before any cropping.
    contrast
        Of the protein in the user's stack; dark images were inverted.
    contrast_score
        What the contrast was judged by (:mod:`napari_cryodeco.imaging.contrast`); None: the file
        or the user said it.
    """

    box: int
    pixel_size: float
    radius: int
    scale: float
    source_box: int
    source_pixel_size: float
    contrast: Literal["light", "dark"] = "light"
    contrast_score: float | None = None

    def __post_init__(self) -> None:
        if self.box % 2 or self.box < 4:
            raise ValueError(f"Working box {self.box} px: it must be even and at least 4.")
        if not 1 <= self.radius <= self.box // 2 - 1:
            raise ValueError(f"Fourier radius {self.radius} does not fit a box of {self.box} px.")
        if self.pixel_size <= 0:
            raise ValueError(f"Pixel size {self.pixel_size} Å: it must be positive.")

    @property
    def length(self) -> float:
        """Side of the box in Å."""
        return self.box * self.pixel_size

    def resolution(self, radius: float) -> float:
        """Resolution in Å at a Fourier radius."""
        return self.length / radius

    def to_dict(self) -> dict[str, float | int | str | None]:
        """Plain values for JSON."""
        return asdict(self)
