"""Colours of the window's own drawings, for dark and light themes and for colour-blind eyes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QWidget

from napari_cryodeco.explore.palette import (
    CATEGORIES,
    DENSITY_ON_DARK,
    DENSITY_ON_LIGHT,
    OTHER,
    PATH_ON_DARK,
    PATH_ON_LIGHT,
    category,
    ramp,
)
from napari_cryodeco.gui.aggregate import UNKNOWN, Floats, Ink
from napari_cryodeco.gui.colouring import Categorical, Continuous, Directional


@dataclass(frozen=True)
class Theme:
    """Colours that fit the palette of the window."""

    dark: bool
    plot: QColor
    frame: QColor
    text: QColor
    faint: QColor
    selection: QColor
    cursor: QColor
    path: QColor


def theme_of(widget: QWidget) -> Theme:
    """The theme that fits a widget's palette, which napari's style sheet sets."""
    palette = widget.palette()
    window = palette.color(QPalette.ColorRole.Window)
    text = palette.color(QPalette.ColorRole.WindowText)
    dark = window.lightness() < 128
    if (
        abs(text.lightness() - window.lightness()) < 60
    ):  # a half-set palette must not hide the numbers
        text = QColor("#E8E8E8" if dark else "#202020")
    faint = QColor(text)
    faint.setAlpha(36)
    frame = QColor(text)
    frame.setAlpha(110)
    return Theme(
        dark=dark,
        plot=QColor("#14171C") if dark else QColor("#FFFFFF"),
        frame=frame,
        text=text,
        faint=faint,
        selection=QColor("#FFB000") if dark else QColor("#D55E00"),
        cursor=QColor("#FFFFFF") if dark else QColor("#000000"),
        path=QColor(PATH_ON_DARK if dark else PATH_ON_LIGHT),
    )


def rgb(colour: QColor | str) -> tuple[int, int, int]:
    """Red, green, blue from 0 to 255."""
    colour = QColor(colour)
    return colour.red(), colour.green(), colour.blue()


@lru_cache(maxsize=4)
def density_ramp(dark: bool) -> NDArray[np.uint8]:
    """Few to many particles."""
    return ramp(DENSITY_ON_DARK if dark else DENSITY_ON_LIGHT)


@lru_cache(maxsize=4)
def selection_ramp(dark: bool) -> NDArray[np.uint8]:
    """Few to many selected particles."""
    if dark:
        return ramp([(170, 105, 0), (255, 176, 0), (255, 236, 190)])
    return ramp([(240, 160, 100), (213, 94, 0), (110, 40, 0)])


@lru_cache(maxsize=4)
def value_ramp(dark: bool) -> NDArray[np.uint8]:
    """Low to high: viridis without the end that the background swallows; `UNKNOWN` is grey."""
    from napari.utils.colormaps import ensure_colormap

    low, high = (0.18, 1.0) if dark else (0.0, 0.9)
    table = (ensure_colormap("viridis").map(np.linspace(low, high, 256))[:, :3] * 255).astype(
        np.uint8
    )
    table[UNKNOWN] = rgb(OTHER)
    return table


@lru_cache(maxsize=1)
def angle_ramp() -> NDArray[np.uint8]:
    """Colours of an angle: the ends meet, and lightness is even; `UNKNOWN` is grey."""
    at = np.linspace(0, 360, UNKNOWN, endpoint=False)
    table = direction_colours(at, np.full(UNKNOWN, 90.0))
    return np.concatenate([table, np.array([rgb(OTHER)], np.uint8)])


def direction_colours(azimuth: Floats, tilt: Floats) -> NDArray[np.uint8]:
    """Colours ``(m, 3)`` of directions in degrees: the hue is the azimuth, light at tilt 0."""
    turn = np.radians(azimuth)[:, None] + np.radians([0.0, -120.0, 120.0])
    light = 0.55 + 0.35 * np.cos(np.radians(tilt))[:, None]
    hue = 0.38 * np.cos(turn) * np.sin(np.radians(tilt))[:, None]
    return np.asarray(np.clip(light + hue, 0, 1) * 255, np.uint8)


TILT_STEPS, AZIMUTH_STEPS = 10, 25  # of the 255 colours of directions


def _direction_ink(colouring: Directional) -> Ink:
    down, round_ = np.divmod(np.arange(UNKNOWN), AZIMUTH_STEPS)
    tilt = (np.minimum(down, TILT_STEPS - 1) + 0.5) * (180 / TILT_STEPS)
    table = direction_colours((round_ + 0.5) * (360 / AZIMUTH_STEPS), tilt)
    known = np.isfinite(colouring.azimuth) & np.isfinite(colouring.tilt)
    azimuth, tilts = (np.where(known, a, 0) for a in (colouring.azimuth, colouring.tilt))
    across = ((azimuth % 360) * (AZIMUTH_STEPS / 360)).astype(np.intp) % AZIMUTH_STEPS
    steps = np.clip((tilts * (TILT_STEPS / 180)).astype(np.intp), 0, TILT_STEPS - 1)
    index = np.where(known, steps * AZIMUTH_STEPS + across, UNKNOWN).astype(np.uint8)
    return Ink(index, np.concatenate([table, np.array([rgb(OTHER)], np.uint8)]), ordered=False)


def ramp_of(colouring: Continuous, dark: bool) -> NDArray[np.uint8]:
    """Colours ``(256, 3)`` from low to high, then that of what is unknown."""
    return angle_ramp() if colouring.cyclic else value_ramp(dark)


def ink_of(colouring: Continuous | Categorical | Directional, dark: bool) -> Ink:
    """Turn values of n particles into colours."""
    if isinstance(colouring, Directional):
        return _direction_ink(colouring)
    if isinstance(colouring, Categorical):
        table = np.array([rgb(category(i)) for i in range(256)], np.uint8)
        table[UNKNOWN] = rgb(OTHER)
        codes = np.where(colouring.codes < 0, UNKNOWN, colouring.codes % len(CATEGORIES))
        return Ink(codes.astype(np.uint8), table, ordered=False)
    scale = (UNKNOWN - 1) / (colouring.high - colouring.low)
    steps = np.clip((colouring.values - colouring.low) * scale, 0, UNKNOWN - 1)
    index = np.where(np.isfinite(steps), steps, UNKNOWN)
    ramp = ramp_of(colouring, dark)
    return Ink(index.astype(np.uint8), ramp, ordered=not colouring.cyclic)
