"""The state of a torch optimiser as named tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def tensors(optimiser: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """Moments and step counts by the number of their parameter."""
    return {
        f"{prefix}.{index}.{name}": torch.as_tensor(value)
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }


def load(optimiser: torch.optim.Optimizer, saved: dict[str, Tensor], prefix: str) -> None:
    """Take back what :func:`tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in saved.items():
        if key.startswith(f"{prefix}."):
            index, name = key.removeprefix(f"{prefix}.").split(".")
            state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameters the same learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate
