"""Colours of groups of particles, the same in the window, in figures and in other programs."""

from __future__ import annotations

# Okabe & Ito (2008) without black, then hues after Tol: told apart by colour-blind eyes.
CATEGORIES = (
    "#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#F0E442",
    "#0072B2", "#AA3377", "#44AA99", "#999933", "#9A6FE0", "#DDCC77",
)  # fmt: skip
OTHER = "#8C8C8C"


def category(index: int) -> str:
    """Colour of a category; they come round after twelve. Negative: other."""
    return CATEGORIES[index % len(CATEGORIES)] if index >= 0 else OTHER
