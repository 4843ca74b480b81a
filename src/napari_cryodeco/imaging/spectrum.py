"""How strong the signal is at each radius, from the images alone."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball


def shell_sums(values: Tensor, ball: Ball, radius: int) -> Tensor:
    """Sum ``(p,)`` values of a prefix of `ball` over shells 0…radius: ``(radius + 1,)``."""
    shells = ball.shells[: values.shape[-1]].to(values.device)
    inside = shells <= radius
    sums = torch.zeros(radius + 1, dtype=values.dtype, device=values.device)
    return sums.index_add_(0, shells[inside], values[inside])


def signal_power(images: Tensor, ctf: Tensor, ball: Ball, radius: int) -> Tensor:
    """Expected squared coefficient of the maps per shell: ``(radius + 1,)``, index 0 unused.

    Parameters
    ----------
    images, ctf
        ``(n, p)`` working coefficients (noise 1) and their CTF.

    Notes
    -----
    ``E[h²] = CTF²·power + 1``. Measured on the images, it does not depend on the map of
    the moment: a filter made from the map itself would never let a new shell in.
    """
    count = ball.count(radius)
    seen = shell_sums((images[:, :count] ** 2 - 1).mean(0), ball, radius)
    passed = shell_sums((ctf[:, :count] ** 2).mean(0), ball, radius)
    return expected_power(seen, passed)


def expected_power(seen: Tensor, passed: Tensor) -> Tensor:
    """Power per shell from sums over shells of ``h² − 1`` and ``CTF²``, both ``(radius + 1,)``."""
    power = seen / passed.clamp_min(1e-6)
    # a shell without measurable signal keeps a small prior, or it would be shut for ever
    return power.clamp_min(1e-3 * float(power[1:].max()) / (len(power) - 1) ** 3)
