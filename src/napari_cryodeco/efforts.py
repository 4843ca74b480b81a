"""How much work a run does: what each effort sets where the user says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Effort = Literal["fast", "normal", "parity"]

EFFORTS: dict[Effort, dict[str, Any]] = {
    "fast": {
        "abinitio": {"restarts": 1},
        "refine": {"epochs": 4, "warmup": 200, "point_fraction": 0.25},
    },
    "normal": {},  # the defaults of the settings
    # the run script's numbers, where it and the paper differ (algorithm.md §4.0)
    "parity": {
        "loop": "parity",
        "latent_dim": 128,
        "encoder": {"kind": "vit", "strategy": "full", "blocks": 6},
        "field": {"width": 256, "layers": 3, "frequencies": 192, "sigma": 0.5, "layer_norm": True},
        "refine": {
            "batch": 192,
            "point_fraction": 1.0,
            "field_rate": 1e-4,
            "encoder_rate": 6e-5,
            "rotation_rate": 1e-4,
            "shift_rate": 1e-4,
            "weight_decay": 0.01,
            "early_stop": False,
        },
        "parity": {
            "warmup_images": 10_000,
            "warmup_batch": 64,
            "search_images": 500_000,
            "search_batch": 22,
            "search_level": 2,
            "kept": 8,
            "levels": 4,
            "epochs": 100,
        },
    },
}


def filled(effort: Effort, given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those of an effort put in wherever nothing is given.

    Parameters
    ----------
    effort
        One of :data:`EFFORTS`.
    given
        Values by name; those of a group are a mapping too.
    """
    values = dict(given)
    for name, value in EFFORTS[effort].items():
        own = values.setdefault(name, value)
        if isinstance(value, dict) and isinstance(own, Mapping):
            values[name] = value | dict(own)
    return values
