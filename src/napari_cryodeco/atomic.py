"""Files and folders that appear under their name only when they are whole.

Standard library only: any layer may use it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{8}\.tmp(\.\w+)?$")


def explain(error: OSError, path: Path) -> None:
    """Raise a full disk or a read-only folder again as one sentence with file and cure."""
    if error.errno in _FULL:
        raise OSError(
            f"{path}: no space is left on this disk; free some or choose another folder."
        ) from error
    if error.errno in _FORBIDDEN:
        raise PermissionError(
            f"{path} cannot be written: {path.parent} is read-only; choose another folder."
        ) from error


def _temporary(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{suffix}")


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise FileExistsError if `path` is there and may not be replaced."""
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists already: choose another name or allow it to be overwritten."
        )


def sweep(*folders: Path) -> None:
    """Remove what writers that were killed left in `folders` under temporary names."""
    for folder in folders:
        for entry in folder.glob(".*.tmp*") if folder.is_dir() else ():
            if not _TEMPORARY.match(entry.name):
                continue
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # Windows cannot open folders; its rename is durable enough
        with suppress(OSError):  # some network file systems refuse it
            _sync(folder)


@contextmanager
def replacing(path: Path | str, durable: bool = True) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block ends well.

    The temporary name keeps the suffix, because writers choose their format by it. If the block
    raises, the temporary file is removed and `path` stays as it was. Not `durable` saves the wait
    for the disk where a power cut may cost the last state.

    Raises
    ------
    OSError
        With one clear sentence when the disk is full or the folder read-only.
    """
    path = Path(path)
    part = _temporary(path, path.suffix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if durable:
            _sync(part)
        os.replace(part, path)
    except OSError as error:
        explain(error, path)
        raise
    finally:
        with suppress(OSError):
            part.unlink()
    if durable:
        _sync_folder(path.parent)


@contextmanager
def replacing_folder(path: Path | str, overwrite: bool = False) -> Iterator[Path]:
    """Give a new temporary folder beside `path`; rename it to `path` when the block ends well.

    Raises
    ------
    FileExistsError
        If `path` is there and `overwrite` is false.
    OSError
        With one clear sentence when the disk is full or the folder read-only.
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    part = _temporary(path, "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                _sync(file)
        _swap(part, path)
    except OSError as error:
        explain(error, path)
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _sync_folder(path.parent)


def _swap(part: Path, path: Path) -> None:
    if not path.exists():
        os.replace(part, path)
        return
    old = _temporary(path, ".old")
    os.replace(path, old)
    os.replace(part, path)
    shutil.rmtree(old) if old.is_dir() else old.unlink()


def write_text(path: Path | str, text: str) -> None:
    """Write a text file (UTF-8) as a whole."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_private(path: Path | str, text: str) -> None:
    """Write a text file (UTF-8) as a whole that only its user may read (POSIX: mode 0600)."""
    with replacing(path) as part:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
