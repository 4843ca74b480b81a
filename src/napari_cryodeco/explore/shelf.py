"""The named selections of a run, one file each under ``RUN/selections``."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_cryodeco.explore.selection import Selection


def load_all(folder: Path) -> tuple[Selection, ...]:
    """Every selection kept in `folder`, by name."""
    found = [Selection.load(file) for file in folder.glob("*.safetensors")]
    return tuple(sorted(found, key=lambda selection: selection.name.casefold()))


def keep(selection: Selection, folder: Path, overwrite: bool = False) -> Path:
    """Write a selection under its name.

    Raises
    ------
    FileExistsError
        When one of that name is there, unless `overwrite`.
    ValueError
        When the name is empty.
    """
    path = _place(selection.name, folder)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"There is a selection named '{selection.name}' already: choose another name."
        )
    folder.mkdir(parents=True, exist_ok=True)
    selection.save(path)
    return path


def change(selection: Selection, folder: Path, **values: Any) -> Selection:
    """Give a kept selection other `values` of its fields, but no other name.

    Raises
    ------
    ValueError
        When other rows are given to a locked one.
    """
    if "rows" in values:
        _refuse_locked(selection)
    changed = replace(selection, **values)
    keep(changed, folder, overwrite=True)
    return changed


def rename(selection: Selection, name: str, folder: Path) -> Selection:
    """Give a kept selection another name; the old file goes once the new one is whole."""
    _refuse_locked(selection)
    renamed = replace(selection, name=name.strip())
    if renamed.name != selection.name:
        keep(renamed, folder)
        delete(selection, folder)
    return renamed


def delete(selection: Selection, folder: Path) -> None:
    """Remove a kept selection, unless it is locked."""
    _refuse_locked(selection)
    _place(selection.name, folder).unlink(missing_ok=True)


def _refuse_locked(selection: Selection) -> None:
    if selection.locked:
        raise ValueError(f"'{selection.name}' is locked: unlock it first.")


def _place(name: str, folder: Path) -> Path:
    """A file name that any disk takes; different names never share one."""
    if not name.strip():
        raise ValueError("A selection needs a name: type one.")
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "selection"
    if plain != name:
        plain = f"{plain[:40]}-{hashlib.sha1(name.encode()).hexdigest()[:8]}"
    return folder / f"{plain}.safetensors"
