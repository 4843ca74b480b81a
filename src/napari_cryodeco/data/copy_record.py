"""What lies beside a working copy: of which files it was made, and a checksum of each block.

``images.json`` beside ``images.npy`` is written after each block, so that a copy that was killed
goes on there. Copies of older versions have none; they are used as they are.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from napari_cryodeco.atomic import write_text
from napari_cryodeco.data.particles import Particles

_PIECE = 1 << 22  # bytes read at once


@dataclass(frozen=True)
class Stamp:
    """A file as it was: `path`, `size` in bytes, time of its last change in ns."""

    path: str
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Take the stamp of a file."""
        found = path.stat()
        return cls(str(path.resolve()), found.st_size, found.st_mtime_ns)

    def change(self) -> str:
        """What happened to the file since, in words; empty: nothing."""
        try:
            now = Stamp.of(Path(self.path))
        except OSError:
            return "is gone"
        return "" if (now.size, now.modified) == (self.size, self.modified) else "has changed"


@dataclass(frozen=True)
class CopyRecord:
    """What a working copy holds, whole or in part.

    `count` images of `points` coefficients, from a working box of `box` px, in blocks of `block`
    images; `rows` is a checksum of which image each row is; `sigma`, `contrast` and `score` are
    those of the calibration; `checksums` are the CRC-32 of the blocks that are written.
    """

    count: int
    points: int
    box: int
    rows: int
    sigma: float
    contrast: Literal["light", "dark"]
    score: float | None
    sources: tuple[Stamp, ...]
    block: int
    checksums: tuple[int, ...] = ()

    @property
    def blocks(self) -> int:
        """Number of blocks of the whole copy."""
        return -(-self.count // self.block)

    @property
    def finished(self) -> bool:
        """Whether all blocks are written."""
        return len(self.checksums) == self.blocks

    def bounds(self, block: int) -> tuple[int, int]:
        """First row of a block, and the one after its last."""
        return block * self.block, min((block + 1) * self.block, self.count)

    def offset(self, row: int) -> int:
        """Byte at which a row begins."""
        return len(self.header) + 2 * self.points * row

    @property
    def reached(self) -> int:
        """Number of images that are written."""
        return self.bounds(len(self.checksums) - 1)[1] if self.checksums else 0

    @property
    def header(self) -> bytes:
        """First bytes of the ``.npy`` file."""
        file = io.BytesIO()
        shape = (self.count, self.points)
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f2", "fortran_order": False, "shape": shape}
        )
        return file.getvalue()

    def changed_source(self) -> str:
        """What happened to the first stack that is no longer as it was; empty: nothing."""
        for stamp in self.sources:
            if change := stamp.change():
                return f"{stamp.path} {change}"
        return ""


def record_path(copy: Path) -> Path:
    """Where the record of a working copy lies."""
    return copy.with_suffix(".json")


def part_path(copy: Path) -> Path:
    """Name of a working copy that is not whole yet."""
    return copy.with_name(f"{copy.stem}.part{copy.suffix}")


def stamps(particles: Particles) -> tuple[Stamp, ...]:
    """Stamps of all stacks.

    Raises
    ------
    FileNotFoundError
        If one is gone.
    """
    for path in particles.stacks:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: put this stack of images back.")
    return tuple(map(Stamp.of, particles.stacks))


def rows_checksum(particles: Particles) -> int:
    """CRC-32 of which image each row is."""
    first = zlib.crc32(particles.stack_of.numpy().astype("<i4").tobytes())
    return zlib.crc32(particles.slice_of.numpy().astype("<i8").tobytes(), first)


def read_record(copy: Path) -> CopyRecord | None:
    """Read the record of a working copy; None where there is none, as beside copies of old.

    Raises
    ------
    ValueError
        If it is no such record.
    """
    path = record_path(copy)
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        sources = tuple(Stamp(**stamp) for stamp in values.pop("sources"))
        return CopyRecord(sources=sources, checksums=tuple(values.pop("checksums")), **values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} is no record of a working copy ({error}): delete it, the images stay usable, "
            "but damage to them is no longer seen."
        ) from error


def write_record(copy: Path, record: CopyRecord) -> None:
    """Write the record of a working copy."""
    write_text(record_path(copy), json.dumps(asdict(record)) + "\n")


def check_size(copy: Path) -> None:
    """See at once whether a finished working copy has the header and the size it should have.

    Raises
    ------
    ValueError
        If not; the sentence names the cure.
    """
    try:
        array = np.load(copy, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError):
        raise ValueError(_useless(copy, "is cut off, or its header is damaged")) from None
    size, wanted = copy.stat().st_size, array.offset + array.nbytes
    if size != wanted:
        raise ValueError(_useless(copy, f"has {size:,} bytes instead of {wanted:,}"))
    record = read_record(copy)
    if record is not None and record.finished and array.shape != (record.count, record.points):
        raise ValueError(_useless(copy, f"is not the file that {record_path(copy)} describes"))


def _useless(copy: Path, what: str) -> str:
    return f"{copy} {what}: `cryodeco check {copy.parent} --repair` copies it again."


def damaged_blocks(
    copy: Path, record: CopyRecord, progress: Callable[[int, int], None] | None = None
) -> list[int]:
    """Read the whole of a working copy and list the blocks that differ from their checksums."""
    damaged = []
    with copy.open("rb") as file:
        for block, wanted in enumerate(record.checksums):
            if checksum(_pieces(file, record, block)) != wanted:
                damaged.append(block)
            if progress is not None:
                progress(block + 1, len(record.checksums))
    return damaged


def checksum(pieces: Iterable[bytes]) -> int:
    """CRC-32 of all pieces one after the other."""
    found = 0
    for piece in pieces:
        found = zlib.crc32(piece, found)
    return found


def _pieces(file: BinaryIO, record: CopyRecord, block: int) -> Iterator[bytes]:
    first, end = map(record.offset, record.bounds(block))
    file.seek(first)
    while first < end and (piece := file.read(min(_PIECE, end - first))):
        first += len(piece)
        yield piece
