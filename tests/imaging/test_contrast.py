"""Light or dark is read off images alone, whatever the shape of the particle and the ice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_cryodeco.data.ground_truth import Recipe
from napari_cryodeco.data.molecule import load_beads
from napari_cryodeco.data.simulate import clean_images, draw_truth
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.contrast import DECIDED, FEWEST, RADIUS, contrast_score
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.preprocess import noise_level, observe

BOX, PIXEL, COUNT = 64, 5.0, 500
SHELL, COMPACT, LARGE = "2buk", "1wcm", "3jb9"  # a hollow shell, a globule, one that fills the box


@dataclass(frozen=True)
class Clean:
    """Noiseless images ``(n, D, D)`` of variance 1, protein light."""

    images: Tensor
    ctf: Ctf


@cache
def clean(name: str) -> Clean:
    molecule = load_beads(name)
    some = np.random.default_rng(0).choice(len(molecule), 600, replace=False)
    molecule = replace(
        molecule, positions=molecule.positions[some], electrons=molecule.electrons[some], hinge=None
    )
    recipe = Recipe(box=BOX, pixel_size=PIXEL, count=COUNT)
    truth = draw_truth(1, recipe, np.random.default_rng(0))
    parts = [clean_images(molecule, truth, rows, recipe) for rows in np.split(np.arange(COUNT), 5)]
    images = torch.cat(parts)
    return Clean(images / images.std(), truth.ctf)


def score(images: Tensor, ctf: Ctf) -> float:
    ball = Ball(RADIUS, 2)
    h = observe(images, ball, noise_level(images))
    return contrast_score(h, ctf.at(ball.frequencies(BOX, PIXEL)), ball)


def noise(shape: torch.Size, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def ice(count: int, seed: int = 2) -> Tensor:
    """Gradients and bulges of either sign, as strong as the noise."""
    drawn = torch.randn(count, 3, 1, 1, generator=torch.Generator().manual_seed(seed))
    x = torch.linspace(-1, 1, BOX)
    y = x[:, None]
    return drawn[:, 0] * x + drawn[:, 1] * y + 0.3 * drawn[:, 2] * (x**2 + y**2)


@pytest.mark.parametrize("snr", [0.1, 0.03])
@pytest.mark.parametrize("name", [SHELL, COMPACT, LARGE])
@pytest.mark.parametrize("uneven", [False, True])
def test_both_signs_are_told_apart(name: str, snr: float, uneven: bool) -> None:
    known = clean(name)
    dirt = noise(known.images.shape) + (ice(COUNT) if uneven else 0)
    light = score(snr**0.5 * known.images + dirt, known.ctf)
    dark = score(-(snr**0.5) * known.images + dirt, known.ctf)
    assert light > DECIDED
    assert dark < -DECIDED


def test_turning_the_sign_turns_the_score() -> None:
    known = clean(SHELL)
    images = 0.3 * known.images + noise(known.images.shape)
    assert score(-images, known.ctf) == pytest.approx(-score(images, known.ctf))


@pytest.mark.parametrize("seed", range(4))
def test_images_of_nothing_decide_nothing(seed: int) -> None:
    known = clean(COMPACT)
    nothing = noise(known.images.shape, seed)
    assert abs(score(nothing, known.ctf)) < DECIDED
    assert abs(score(nothing + ice(COUNT, seed), known.ctf)) < DECIDED


def test_a_handful_of_images_decides_nothing() -> None:
    known = clean(COMPACT)
    few = torch.arange(FEWEST - 1)
    assert score(known.images[few] + noise(known.images[few].shape), known.ctf[few]) == 0.0
