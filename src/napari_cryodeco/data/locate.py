"""Find the stacks that a metadata file names.

A name is looked for, in this order: as an absolute path; under the given data folder; beside the
metadata file and then up its parents (RELION and cryoSPARC write names relative to the project
folder); last, with leading folders of the name left out one by one, under the data folder and
beside the metadata file. Two names may never end at the same file by the last rule: equal base
names of two folders would be mixed up.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def locate(names: Iterable[str], source: Path, datadir: Path | None = None) -> dict[str, Path]:
    """Map each distinct stack name in `source` to its file.

    Raises
    ------
    FileNotFoundError
        If a stack or the data folder is missing.
    ValueError
        If two different names lead to one file.
    """
    if datadir is not None and not datadir.is_dir():
        raise FileNotFoundError(
            f"{datadir} is no folder: give the folder of the stacks as --datadir."
        )
    source = Path(os.path.abspath(source))
    found: dict[str, Path] = {}
    shortened: list[str] = []
    for name in dict.fromkeys(names):
        path = find(name, source, datadir)
        if path is None:
            path = _find_shortened(name, source, datadir)
            shortened.append(name)
        found[name] = path
    _check_distinct(source, found, shortened)
    return found


def _check_distinct(source: Path, found: dict[str, Path], shortened: list[str]) -> None:
    name_of = {path: name for name, path in reversed(found.items())}
    for name in shortened:
        other = name_of[found[name]]
        if os.path.normpath(other) != os.path.normpath(name):
            raise ValueError(
                f"{source}: the stacks {other} and {name} both lead to {found[name]}; give as "
                "--datadir the folder "
                "from which these names start."
            )


def find(name: str, source: Path, datadir: Path | None = None) -> Path | None:
    """Return the file that the whole of `name` in the absolute path `source` leads to, or None."""
    return next((path for path in _candidates(name, source, datadir) if path.is_file()), None)


def find_real(names: Iterable[str], source: Path) -> dict[str, Path | None]:
    """Return the file of each distinct name in the absolute path `source`, links followed."""
    found = {name: find(name, source) for name in set(names)}
    return {name: path.resolve() if path is not None else None for name, path in found.items()}


def _candidates(name: str, source: Path, datadir: Path | None) -> Iterator[Path]:
    path = Path(name)
    if path.is_absolute():
        yield path
        return
    given = [Path(os.path.abspath(datadir))] if datadir is not None else []
    # a job's output is often a link: its names count from the project of the file it leads to
    for folder in dict.fromkeys([*given, *source.parents, *source.resolve().parents]):
        yield Path(os.path.normpath(folder / path))


def _find_shortened(name: str, source: Path, datadir: Path | None) -> Path:
    parts = [part for part in Path(os.path.normpath(name)).parts if part not in ("/", "..")]
    folders = [*([Path(os.path.abspath(datadir))] if datadir is not None else []), source.parent]
    for folder in folders:
        for start in range(len(parts)):
            path = folder.joinpath(*parts[start:])
            if path.is_file():
                return path
    looked = f"{datadir} and " if datadir is not None else ""
    raise FileNotFoundError(
        f"{source} names the stack {name}, which is not in {looked}{source.parent} or the folders "
        "above; "
        "give the folder of the stacks as --datadir."
    )
