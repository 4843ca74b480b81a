"""The named selections of a run, one file each under ``RUN/selections``."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

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


def rename(selection: Selection, name: str, folder: Path) -> Selection:
    """Give a kept selection another name; the old file goes once the new one is whole."""
    renamed = Selection(name.strip(), selection.rows, selection.recipe)
    if renamed.name != selection.name:
        keep(renamed, folder)
        delete(selection, folder)
    return renamed


def delete(selection: Selection, folder: Path) -> None:
    """Remove a kept selection."""
    _place(selection.name, folder).unlink(missing_ok=True)


def _place(name: str, folder: Path) -> Path:
    """A file name that any disk takes; different names never share one."""
    if not name.strip():
        raise ValueError("A selection needs a name: type one.")
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "selection"
    if plain != name:
        plain = f"{plain[:40]}-{hashlib.sha1(name.encode()).hexdigest()[:8]}"
    return folder / f"{plain}.safetensors"
