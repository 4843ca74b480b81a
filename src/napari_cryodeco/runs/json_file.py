"""JSON files of a run. Standard library only: the window reads some of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from napari_cryodeco.atomic import write_text

Made = TypeVar("Made")


def existing(path: Path | str) -> Path:
    """Return the path of a file that is there, or raise a FileNotFoundError that names it."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing.")
    return path


def write_json(path: Path | str, record: Any) -> None:
    """Write a dataclass or a plain value as JSON."""
    plain = asdict(record) if is_dataclass(record) and not isinstance(record, type) else record
    write_text(path, json.dumps(plain, indent=1) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises
    ------
    ValueError
        If the file is not JSON.
    """
    try:
        return json.loads(existing(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} is not JSON (line {error.lineno}): was it edited by hand?"
        ) from error


def read_record(path: Path, make: Callable[[Any], Made], cure: str) -> Made | None:
    """What `make` builds of a JSON file; None where there is none (yet).

    Raises
    ------
    ValueError
        If the file was damaged; the sentence ends with the `cure`.
    """
    if not path.is_file():
        return None
    try:
        return make(json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): {cure}.") from error
