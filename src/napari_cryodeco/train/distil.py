"""A field that begins as the linear model.

Its sizes come from the mean map, its weights from noise-free targets. Images hold perhaps a tenth
of signal, so a gradient step on images is mostly noise; a step on the maps of the linear model is
not. Some hundred such steps do what many epochs over images would.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.stage_config import FieldConfig
from napari_cryodeco.train.linear_model import LinearModel
from napari_cryodeco.train.optimiser import set_rate

_LATENTS, _POINTS, _RATE, _RISE = 16, 128, 2e-3, 20


def envelope(linear: LinearModel, radius: int) -> Tensor:
    """``(radius + 1,)`` root mean square coefficient per shell, continued beyond the fit."""
    ball = Ball(linear.radius, 3, linear.mean.device)
    z = linear.coordinates
    variance = (z - z.mean(0)).square().sum(0) / (len(z) - 1)  # empty where there is no z
    power = linear.mean**2 + variance @ linear.components**2
    total = torch.zeros(linear.radius + 1, device=power.device).index_add_(0, ball.shells, power)
    known = (total / torch.bincount(ball.shells, minlength=linear.radius + 1).clamp_min(1)).sqrt()
    known[0] = known[1]
    known = known.clamp_min(1e-3 * float(known.max()) + 1e-12)
    back = max(1, linear.radius - 4)
    slope = float((known[-1] / known[back]) ** (1 / max(linear.radius - back, 1)))
    beyond = torch.arange(1, radius - linear.radius + 1, device=power.device)
    return torch.cat([known, known[-1] * min(max(slope, 0.7), 1.0) ** beyond])[: radius + 1]


def feature_spread(linear: LinearModel) -> float:
    """Spread of the Fourier features that puts them where the mass of the mean map is.

    A feature ``cos(k·ξ/2)`` is a point mass at ``ξ·D/4π`` pixels from the centre.
    """
    box = 2 * linear.radius + 2
    density = Ball(linear.radius, 3).to_map(linear.mean.cpu(), box).clamp_min(0) ** 2
    axis = ((torch.arange(box) - box // 2).float() / box) ** 2
    squared = axis[:, None, None] + axis[:, None] + axis
    width = math.sqrt(float((density * squared).sum() / density.sum().clamp_min(1e-12)) / 3)
    return min(max(4 * math.pi * width, 0.5), 3.0)


def make_field(
    config: FieldConfig, linear: LinearModel, radius: int, generator: torch.Generator
) -> FieldDecoder:
    """A field with random weights that suits the size and the spectrum of the mean map."""
    if config.sigma is None:
        config = config.model_copy(update={"sigma": feature_spread(linear)})
    with torch.random.fork_rng():
        torch.manual_seed(generator.initial_seed())
        size = linear.coordinates.shape[1]
        return FieldDecoder(config, size, radius, envelope(linear, radius).cpu())


def distil(
    field: FieldDecoder,
    linear: LinearModel,
    steps: int,
    generator: torch.Generator,
    step: Callable[[int, int], None] = lambda done, of: None,
) -> float:
    """Teach the field the maps of the linear model at the particles' z and near them.

    Returns
    -------
    float
        Squared error relative to the envelope, of the last steps.
    """
    device = linear.mean.device
    ball = Ball(min(linear.radius, field.radius), 3, device)
    half = torch.nonzero(torch.arange(len(ball), device=device) < ball.mirror)[:, 0]
    spread = linear.precision.rsqrt()
    optimiser = torch.optim.AdamW(field.parameters(), weight_decay=0.0)
    recent = 0.0
    for index in range(steps):
        set_rate(optimiser, _RATE * min(1.0, (index + 1) / _RISE, 2 * (1 - index / steps)))
        rows = torch.randint(len(spread), (_LATENTS,), generator=generator).to(device)
        jitter = torch.randn(_LATENTS, spread.shape[1], generator=generator).to(device)
        z = linear.coordinates[rows] + jitter * spread[rows]
        drawn = torch.randint(len(half), (_POINTS,), generator=generator).to(device)
        pairs = torch.stack([half[drawn], ball.mirror[half[drawn]]])
        target = linear.mean[pairs] + torch.einsum("bd,dsp->bsp", z, linear.components[:, pairs])
        points = ball.points[pairs[0]].float()[None]
        difference = field.forward_pairs(points, z) - target
        error = (difference / field.amplitude(points)[:, None]).square().mean()
        optimiser.zero_grad(set_to_none=True)
        error.backward()
        optimiser.step()
        found = float(error.detach())
        recent = 0.9 * recent + 0.1 * found if index else found
        step(index + 1, steps)
    return recent
