"""Words and a scale bar on a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_WARNING = (196, 78, 24)
_MISSING = str.maketrans({"−": "-", "Å": "A"})  # no glyphs in the font that ships with Pillow


def scale_bar_length(width: float) -> float:
    """Return the largest of 1, 2, 5, 10, 20, … that is at most a quarter of `width`."""
    quarter = width / 4
    decade = 10.0 ** math.floor(math.log10(quarter))
    return max(step * decade for step in (1, 2, 5) if step * decade <= quarter)


def _write_angstroms(
    pen: ImageDraw.ImageDraw,
    at: tuple[float, float],
    length: float,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    ink: tuple[int, int, int],
) -> None:
    """Write a length in Å at `at`; the font that ships with Pillow has no ring: draw it."""
    text = f"{length:g} A"
    pen.text(at, text, fill=ink, font=font, anchor="ms")
    left, top, right, _ = pen.textbbox(at, text, font=font, anchor="ms")
    half = pen.textlength("A", font=font) / 2
    radius = max(1.5, (right - left) / len(text) / 4)
    middle = right - half
    ring = (middle - radius, top - 2 * radius - 1, middle + radius, top - 1)
    pen.ellipse(ring, outline=ink, width=max(1, round(radius / 2.5)))


def ink_on(background: Sequence[int] | np.ndarray) -> tuple[int, int, int]:
    """Dark grey on bright paper, light grey on dark."""
    return (40, 44, 52) if np.mean(background) > 127 else (226, 230, 236)


def annotate(
    frame: np.ndarray,
    caption: str = "",
    pixel_size: float | None = None,
    warning: str = "",
    inset: np.ndarray | None = None,
) -> np.ndarray:
    """Write on a copy of a picture ``(h, w, 3)`` uint8.

    Parameters
    ----------
    caption
        Above on the left.
    pixel_size
        Å per pixel for a scale bar below on the left, or None.
    warning
        Below on the right, in orange.
    inset
        Picture ``(s, s, 3)`` for the corner below on the right; the warning is over it then.
    """
    height, width = frame.shape[:2]
    picture = Image.fromarray(frame)
    pen = ImageDraw.Draw(picture)
    ink = ink_on(frame[0, 0])
    margin, size = max(6, width // 30), max(11, height // 26)
    font = ImageFont.load_default(size)
    if caption:
        pen.text((margin, margin), caption.translate(_MISSING), fill=ink, font=font)
    if warning:
        foot = height - margin - (0 if inset is None else len(inset) + margin // 2)
        pen.text((width - margin, foot), warning, fill=_WARNING, font=font, anchor="rs")
    if inset is not None:
        corner = width - margin - inset.shape[1], height - margin - len(inset)
        picture.paste(Image.fromarray(inset), corner)
    if pixel_size is not None:
        length = scale_bar_length(width * pixel_size)
        end = margin + round(length / pixel_size)
        top = height - margin - max(3, height // 120)
        pen.rectangle((margin, top, end, height - margin), fill=ink)
        _write_angstroms(pen, ((margin + end) / 2, top - size / 3), length, font, ink)
    return np.asarray(picture)


def colour_bar(frame: np.ndarray, colours: np.ndarray, most: float) -> np.ndarray:
    """Put a bar of colours ``(256, 3)`` uint8, 0 to `most` Å, beside a picture ``(h, w, 3)``."""
    height = len(frame)
    size, width = max(11, height // 30), max(12, height // 30)
    side = np.full((height, 5 * width, 3), frame[0, 0], np.uint8)
    low, high = 2 * size, height - 2 * size
    shown = np.round(np.linspace(255, 0, high - low)).astype(int)
    side[low:high, width : 2 * width] = colours[shown][:, None]
    picture = Image.fromarray(np.concatenate([frame, side], axis=1))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    ink = (40, 44, 52) if frame[0, 0].mean() > 127 else (226, 230, 236)
    left = frame.shape[1] + 3 * width
    for value, y in ((most, low), (most / 2, (low + high) / 2), (0.0, high)):
        _write_angstroms(pen, (left, y + size / 3), float(f"{value:.3g}"), font, ink)
    return np.asarray(picture)
