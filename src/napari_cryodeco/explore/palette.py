"""Colours of groups of particles, the same in the window, in figures and in other programs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

# Okabe & Ito (2008) without black, then hues after Tol: told apart by colour-blind eyes.
CATEGORIES = (
    "#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#F0E442",
    "#0072B2", "#AA3377", "#44AA99", "#999933", "#9A6FE0", "#DDCC77",
)  # fmt: skip
OTHER = "#8C8C8C"
# Of two maps laid over each other: the solid one, and the one seen through.
PAIR = ("#56B4E9", "#E69F00")
# Still to far, each darker and stronger than the one before; what is unclear is blue, which no
# eye takes for any of them.
FAR = ("#E4E4E4", "#F0C75E", "#E07B1A", "#B0301A", "#57103C")
UNCLEAR = "#0072B2"

SUPPORTED, EXTRAPOLATED = "#009E73", "#D55E00"  # frames of a path among particles, and without
PATH_ON_DARK, PATH_ON_LIGHT = "#FF5E8A", "#C2185B"

RGB = tuple[int, int, int]
# Few to many particles.
DENSITY_ON_DARK: tuple[RGB, ...] = ((52, 78, 110), (86, 140, 190), (170, 210, 235), (250, 252, 255))
DENSITY_ON_LIGHT: tuple[RGB, ...] = ((165, 195, 222), (90, 140, 190), (35, 80, 140), (8, 25, 60))


def category(index: int) -> str:
    """Colour of a category; they come round after twelve. Negative: other."""
    return CATEGORIES[index % len(CATEGORIES)] if index >= 0 else OTHER


def ramp(stops: Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """256 colours through evenly spaced stops ``(256, 3)``."""
    at = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(at, range(len(stops)), channel) for channel in zip(*stops, strict=True)]
    return np.stack(channels, -1).astype(np.uint8)


def far_ramp() -> NDArray[np.uint8]:
    """Colours ``(256, 3)`` of no movement to the most."""
    return ramp([ImageColor.getrgb(colour)[:3] for colour in FAR])
