"""Settings as YAML text, and back to plain values: the same for every kind of settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel


def to_yaml(settings: BaseModel) -> str:
    """All settings as YAML text."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def plain_values(text: str, where: str | Path, cure: str) -> dict[str, Any]:
    """Read the values of YAML text, unchecked.

    Raises
    ------
    ValueError
        Names `where`, and the `cure` if there are no settings in it.
    """
    try:
        values: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where} is not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict):
        raise ValueError(f"{where} holds no settings: {cure}.")
    return values
