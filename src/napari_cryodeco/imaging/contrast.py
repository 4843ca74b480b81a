"""Whether protein is light or dark in particle images, judged from the images alone.

Two signs of the density are read off images that were multiplied by their CTF, which makes protein
white where RELION's sign holds. *Skewness*: density is positive, so bright things stand out of the
background whatever their shape; noise, gradients and uneven ice are as often light as dark, and
neighbours and dirt have the contrast of the particle. *Mass*: at the lowest frequency the mean of
all images is the mass of the particle, which is positive. Uneven ice hides it, and a large hollow
shell among close neighbours may turn it round; so it can decide where the skewness says nothing,
and not against it.
"""

from __future__ import annotations

import math

from torch import Tensor

from napari_cryodeco.imaging.ball import Ball

RADIUS = 12
"""Largest frequency looked at, cycles per box."""
FEWEST = 100
"""Fewer images decide nothing."""
DECIDED = 4.0
"""Score beyond which the images have spoken."""
_MOST_MASS = 6.0  # just enough to decide alone
_LOWEST = 2.0  # frequency that the skewness begins at: below it there is mostly ice
_FLOOR = 0.1  # Wiener constant of the CTF correction


def contrast_score(images: Tensor, ctf: Tensor, ball: Ball) -> float:
    """How surely protein is light: about normal of width 1 for images of nothing.

    Parameters
    ----------
    images
        ``(n, p)`` working coefficients (noise 1) on the 2-D `ball`, in the contrast of the file.
    ctf
        ``(n, p)`` CTF at the same points, with RELION's sign.
    ball
        Points of the coefficients; up to :data:`RADIUS` is enough.

    Returns
    -------
    float
        Above :data:`DECIDED`: light; below its negative: dark; between them, undecided. Zero for
        fewer than :data:`FEWEST` images.
    """
    if len(images) < FEWEST:
        return 0.0
    mass = _score_of_mean(_masses(images, ctf, ball))
    skew = _score_of_mean(_skewnesses(images, ctf, ball))
    return (skew + max(-_MOST_MASS, min(_MOST_MASS, mass))) / math.sqrt(2)


def _masses(images: Tensor, ctf: Tensor, ball: Ball) -> Tensor:
    """Content of the lowest shell ``(n,)``; a gradient is odd and cancels in it."""
    lowest = ball.count(1.5)
    return (images[:, :lowest] * ctf[:, :lowest]).sum(1)


def _skewnesses(images: Tensor, ctf: Tensor, ball: Ball) -> Tensor:
    """Third moments ``(n,)`` of the pixels of the CTF-corrected images."""
    seen = ctf / (ctf.square() + _FLOOR) * (ball.radii >= _LOWEST)
    pixels = ball.to_map(images * seen, 2 * ball.radius + 2).flatten(1)
    pixels = pixels - pixels.mean(1, keepdim=True)
    return pixels.pow(3).mean(1)


def _score_of_mean(values: Tensor) -> float:
    """Mean in units of its own error."""
    values = values.double()
    spread = float(values.std())
    return 0.0 if spread == 0 else float(values.mean()) / spread * math.sqrt(len(values))
