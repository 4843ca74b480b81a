"""MRC image stacks: header, images, and a float32 stack written as it comes.

Modes 0 (int8), 1 (int16), 2 (float32), 6 (uint16) and 12 (float16), either byte order, any
extended header. Source: MRC2014 format, https://www.ccpem.ac.uk/mrc_format/mrc2014.php
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from napari_cryodeco.data.row_file import RowFile

HEADER_BYTES = 1024
FLOAT16_MODE = 12
_TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", FLOAT16_MODE: "f2"}
_LARGEST_SIDE = 2**16


@dataclass(frozen=True)
class StackHeader:
    """What the first 1024 bytes say.

    Sides in pixels, `offset` of the first image in bytes, `pixel_size` in Å or 0 if not given.
    """

    path: Path
    width: int
    height: int
    images: int
    mode: int
    offset: int
    pixel_size: float
    dtype: np.dtype

    def open(self) -> RowFile:
        """Open the images, a row of ``height · width`` numbers each, in the type of the file."""
        return RowFile(self.path, self.dtype, self.offset, self.height * self.width)


def read_header(path: Path) -> StackHeader:
    """Read and check the header of an MRC stack.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        If it is no MRC file, has an unknown mode or fewer bytes than its header says.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: check the path or give the folder of the stacks (--datadir)."
        )
    with path.open("rb") as file:
        raw = file.read(HEADER_BYTES)
    if len(raw) < HEADER_BYTES:
        raise ValueError(
            f"{path} has {len(raw)} bytes, too few for an MRC header: copy the file again."
        )
    order = _byte_order(raw)
    if order is None:
        raise ValueError(f"{path} is no MRC file: choose the .mrcs stack of the particles.")
    header = _parse(path, raw, order)
    _check_length(header)
    return header


def _byte_order(raw: bytes) -> str | None:
    for order in "<>":
        width, height, images, mode = struct.unpack_from(order + "4i", raw)
        if (
            0 < width < _LARGEST_SIDE
            and 0 < height < _LARGEST_SIDE
            and images > 0
            and 0 <= mode < 256
        ):
            return order
    return None


def _parse(path: Path, raw: bytes, order: str) -> StackHeader:
    width, height, images, mode = struct.unpack_from(order + "4i", raw)
    if mode not in _TYPES:
        known = ", ".join(map(str, _TYPES))
        raise ValueError(
            f"{path} is in MRC mode {mode}; convert it to one of the modes {known}, for example "
            "to float32."
        )
    (columns,) = struct.unpack_from(order + "i", raw, 28)
    (length,) = struct.unpack_from(order + "f", raw, 40)
    (extended,) = struct.unpack_from(order + "i", raw, 92)
    if extended < 0:
        raise ValueError(
            f"{path} has a broken MRC header (extended header of {extended} bytes): copy the file "
            "again."
        )
    pixel_size = length / columns if columns > 0 and length > 0 else 0.0
    dtype = np.dtype(order + _TYPES[mode])
    return StackHeader(
        path, width, height, images, mode, HEADER_BYTES + extended, pixel_size, dtype
    )


def _check_length(header: StackHeader) -> None:
    image = header.width * header.height * header.dtype.itemsize
    whole = (header.path.stat().st_size - header.offset) // image
    if whole < header.images:
        raise ValueError(
            f"{header.path} is truncated: {max(whole, 0)} of {header.images} images are there; "
            "copy or extract it again."
        )


def write_header(file: BinaryIO, images: int, box: int, pixel_size: float) -> None:
    """Write the header of a little-endian float32 stack of square images at the start of `file`.

    The density statistics are marked as unknown, as the format allows.
    """
    header = bytearray(HEADER_BYTES)
    struct.pack_into("<4i", header, 0, box, box, images, 2)
    struct.pack_into("<3i", header, 28, box, box, images)
    struct.pack_into("<3f", header, 40, box * pixel_size, box * pixel_size, images * pixel_size)
    struct.pack_into("<3f", header, 52, 90.0, 90.0, 90.0)
    struct.pack_into("<3i", header, 64, 1, 2, 3)
    struct.pack_into("<3f", header, 76, 0.0, -1.0, -2.0)  # dmin > dmax, mean below both: not known
    struct.pack_into("<i", header, 108, 20140)
    header[208:212] = b"MAP "
    header[212:216] = bytes((0x44, 0x44, 0, 0))
    struct.pack_into("<f", header, 216, -1.0)
    file.write(header)
