"""A copy of a run that another machine serves: what the explorer needs, and no images.

Files come whole, checked by SHA-256, and appear under their name at once. Nothing is ever sent
back; what the user makes here (selections, views, paths) stays here and is never replaced.
Standard library only: the window uses it.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from napari_cryodeco.atomic import replacing, replacing_folder, write_text
from napari_cryodeco.explore import wire
from napari_cryodeco.explore.connection import Connection, ServerRefused
from napari_cryodeco.explore.served_files import OF_USER, SOURCE, is_served, stamp
from napari_cryodeco.explore.wire import Address, parse_address
from napari_cryodeco.runs.json_file import read_record, write_json
from napari_cryodeco.runs.mirrored import POINTER, Mirrored, read_mirrored, write_mirrored
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import Status

EARLIER_BYTES = 2**30  # of epochs before the newest; the rest stays on the other machine
_INDEX = ".copied.json"
_LONGEST_NAME = 60  # characters of the name of a copy that are those of its run
_CONFIG, _DATA, _STATUS = "run.yaml", "data.json", "status.json"

Progress = Callable[[int, int], None]
Stamp = list[int]
Index = dict[str, list[Stamp]]  # by name: the stamp there, and that of the copy


def _silent(done: int, of: int) -> None:
    pass


def default_home() -> Path:
    """Where copies are kept: not in a cache, the user's own selections lie in them."""
    return Path.home() / "cryodeco" / "remote"


@dataclass(frozen=True)
class _Listing:
    """What the server says of its run; names that no server may give are left out."""

    record: dict[str, Any]

    @classmethod
    def asked_of(cls, connection: Connection) -> _Listing:
        """Ask for it; whoever answers need not be of our program."""
        record = connection.get(wire.RUN)
        if not _is_listing(record):
            raise connection.not_understood()
        return cls(record)

    @property
    def files(self) -> dict[str, Stamp]:
        return {name: told for name, told in self.record["files"].items() if is_served(name)}

    @property
    def epochs(self) -> dict[int, list[str]]:
        """Names of the files of each epoch, the newest first."""
        found: dict[int, list[str]] = {}
        for name in self.files:
            if name.startswith("epochs/"):
                found.setdefault(int(name.split("/")[1]), []).append(name)
        return dict(sorted(found.items(), reverse=True))

    @property
    def others(self) -> list[str]:
        """All other files; the one that makes a folder a run comes last."""
        names = [name for name in self.files if not name.startswith("epochs/")]
        return sorted(names, key=lambda name: (name == _CONFIG, name))


class _UsersOwn(Exception):
    """A file that is not replaced."""


class Mirror:
    """The copy of one run, brought up to date by `sync`; for one thread at a time.

    Examples
    --------
    >>> mirror = connect("http://localhost:8000/#token", default_home())
    >>> mirror.sync(print)
    >>> run = Run.open(mirror.path)
    """

    def __init__(self, path: Path, mirrored: Mirrored) -> None:
        self.path, self.mirrored = path, mirrored
        self._connection = Connection(parse_address(mirrored.address))
        self._tell: Progress = _silent
        self._done = self._of = 0

    def sync(self, progress: Progress | None = None) -> bool:
        """Copy what is new: all small files, and one epoch that is not here yet, the newest first.

        Parameters
        ----------
        progress
            Called with (done, of) kilobytes; raising in it cancels, and what is whole stays.

        Returns
        -------
        bool
            Whether there are more epochs to copy.

        Raises
        ------
        ServerGone, ServerRefused
            When no server answers, or the one that does serves another run.
        OSError
            When the copy cannot be written.
        """
        listing = self._listing()
        index = self._index()
        names = [name for name in listing.others if self._wants(name, listing, index)]
        epochs = [number for number in _affordable(listing) if self._lacks(number, listing, index)]
        newest = next(iter(listing.epochs), None)
        chosen = [newest] if newest in epochs else epochs[:1]
        sizes = [listing.files[name][0] for name in names]
        sizes += [listing.files[name][0] for number in chosen for name in listing.epochs[number]]
        self._tell, self._done, self._of = progress or _silent, 0, sum(sizes)
        before_config = names[:-1] if names[-1:] == [_CONFIG] else names
        for name in before_config:
            self._copy(name, listing, index)
        for number in chosen:
            self._copy_epoch(number, listing, index)
        for name in names[len(before_config) :]:
            self._copy(name, listing, index)
        self._forget_epochs(listing, index)
        self._show_status(listing.record["status"])
        return len(epochs) > len(chosen)

    # ---- what is there, and what is wanted

    def _listing(self) -> _Listing:
        listing = _Listing.asked_of(self._connection)
        if listing.record["identity"] != self.mirrored.identity:
            raise ServerRefused(
                f"{self._connection.address.place} serves another run now, "
                f"{listing.record['path']} on {listing.record['host']}: open its address."
            )
        return listing

    def _index(self) -> Index:
        found: Index | None = read_record(self.path / _INDEX, dict, "delete it")
        return found or {}

    def _wants(self, name: str, listing: _Listing, index: Index) -> bool:
        there, local = listing.files[name], self.path / name
        if name.split("/")[0] not in OF_USER:
            return name not in index or index[name][0] != there or not local.exists()
        if name not in index:
            return not local.exists()
        unchanged = local.exists() and stamp(local) == index[name][1]
        return unchanged and index[name][0] != there  # changed or deleted here: the user's own

    def _lacks(self, number: int, listing: _Listing, index: Index) -> bool:
        if not RunPaths(self.path).epoch(number).is_dir():
            return True
        names = listing.epochs[number]
        return any(name not in index or index[name][0] != listing.files[name] for name in names)

    # ---- copying

    def _copy(self, name: str, listing: _Listing, index: Index) -> None:
        with suppress(_UsersOwn):
            with replacing(self.path / name) as part:
                self._download(name, part, listing)
                if name == _DATA:
                    write_text(part, _with_source_here(part.read_text(encoding="utf-8"), listing))
                if not self._wants(name, listing, index):
                    raise _UsersOwn  # made or changed here meanwhile
            self._note(index, [name], listing)

    def _download(self, name: str, part: Path, listing: _Listing) -> None:
        """Write a file with its own time of change: the newest clusters are known by it."""
        self._connection.download(name, part, self._count)
        changed = listing.files[name][1]
        os.utime(part, ns=(changed, changed))

    def _copy_epoch(self, number: int, listing: _Listing, index: Index) -> None:
        names = listing.epochs[number]
        with replacing_folder(RunPaths(self.path).epoch(number), overwrite=True) as part:
            for name in names:
                self._download(name, part / PurePosixPath(name).name, listing)
            if number in listing.record["decoders"]:
                write_json(part / POINTER, {"host": listing.record["host"]})
        self._note(index, names, listing)

    def _note(self, index: Index, names: Iterable[str], listing: _Listing) -> None:
        noted = {name: [listing.files[name], stamp(self.path / name)] for name in names}
        index.update(noted)
        write_json(self.path / _INDEX, self._index() | noted)  # another window may copy, too

    def _count(self, size: int) -> None:
        self._done += size
        self._tell(self._done // 1000, max(self._of // 1000, 1))

    def _forget_epochs(self, listing: _Listing, index: Index) -> None:
        """Remove copied epochs that the run no longer has: it was made anew."""
        for number in RunPaths(self.path).epoch_numbers():
            gone = [name for name in index if name.startswith(f"epochs/{number:04d}/")]
            if number not in listing.epochs and gone:
                shutil.rmtree(RunPaths(self.path).epoch(number))
                for name in gone:
                    del index[name]
                write_json(self.path / _INDEX, index)

    def _show_status(self, status: dict[str, Any]) -> None:
        """Write what the run does; its process is not of this machine, whose clock may differ."""
        here = {"pid": 0, "host": self.mirrored.host, "beat": 0.0}
        told = json.dumps(_plain_status(status) | here) + "\n"
        path = self.path / _STATUS
        if not path.is_file() or path.read_text(encoding="utf-8") != told:
            write_text(path, told)


def connect(address: Address | str, home: Path) -> Mirror:
    """Ask a server for its run, and find or make the folder of its copy in `home`.

    Raises
    ------
    ValueError, ServerGone, ServerRefused
        When this is no address, or nothing answers there that can be understood.
    """
    known = parse_address(address) if isinstance(address, str) else address
    record = _Listing.asked_of(Connection(known)).record
    host, path, identity = record["host"], record["path"], record["identity"]
    name = PurePosixPath(path).name[:_LONGEST_NAME]
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
    folder = home / f"{plain.strip('.') or 'run'}-{identity[:8]}"
    mirrored = Mirrored(host, path, str(known), identity)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("epochs", "views", "selections"):
        (folder / name).mkdir(exist_ok=True)
    write_mirrored(folder, mirrored)
    return Mirror(folder, mirrored)


def mirror_at(path: Path) -> Mirror | None:
    """The mirror whose copy is `path`; None: it is no copy."""
    mirrored = read_mirrored(path)
    return None if mirrored is None else Mirror(path, mirrored)


def _affordable(listing: _Listing) -> list[int]:
    """The newest epoch, and as many before it as fit into `EARLIER_BYTES`."""
    found: list[int] = []
    room = EARLIER_BYTES
    for number, names in listing.epochs.items():
        if found:
            room -= sum(listing.files[name][0] for name in names)
        if room < 0:
            break
        found.append(number)
    return found


def _with_source_here(text: str, listing: _Listing) -> str:
    """Data.json whose particle file is the one copied along; where none is, as it was."""
    record = json.loads(text)
    if not isinstance(record, dict) or not isinstance(record.get("source"), str):
        raise ServerRefused(f"The decode server sent a {_DATA} that is none.")
    name = f"{SOURCE}/{PurePosixPath(record['source'].replace(chr(92), '/')).name}"
    return json.dumps(record | {"source": name} if name in listing.files else record, indent=1)


def _is_listing(record: Any) -> bool:
    """Whether a server's record has the parts that `Service.describe` gives."""
    if not isinstance(record, dict):
        return False
    words = [record.get(name) for name in ("identity", "host", "path")]
    files = record.get("files")
    return (
        all(
            isinstance(word, str) and 0 < len(word) <= 4096 and word.isprintable() for word in words
        )
        and re.fullmatch("[0-9a-f]{64}", record["identity"]) is not None
        and isinstance(record.get("status"), dict)
        and isinstance(record.get("decoders"), list)
        and isinstance(files, dict)
        and all(_is_stamp(told) for told in files.values())
    )


def _is_stamp(told: Any) -> bool:
    """Size in bytes and time in ns since 1970, as files can have them."""
    if not isinstance(told, list) or len(told) != 2:
        return False
    return all(type(one) is int and 0 <= one < 2**63 for one in told)


def _plain_status(told: dict[str, Any]) -> dict[str, Any]:
    """The fields of a status that are of their kind."""
    kept: dict[str, Any] = {}
    for field in fields(Status):
        value = told.get(field.name)
        if isinstance(field.default, str):
            right = isinstance(value, str)
        else:
            right = isinstance(value, int | float) and math.isfinite(value)
        if right:
            kept[field.name] = value
    return kept
