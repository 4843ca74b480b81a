"""Check that every row of a metadata file has its image, in a whole stack of square images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_cryodeco.data.locate import locate
from napari_cryodeco.data.mrc import StackHeader, read_header


@dataclass(frozen=True)
class Images:
    """Where the image of each row lies.

    `stack_of` ``(n,)`` int32 is the place in `stacks`, `slice_of` ``(n,)`` int64 that in the stack.
    """

    stacks: tuple[Path, ...]
    stack_of: np.ndarray
    slice_of: np.ndarray
    box: int


def index_images(
    source: Path, names: Sequence[str], slices: np.ndarray, datadir: Path | None
) -> Images:
    """Find the stacks `names` (n of them) and check them.

    Parameters
    ----------
    source
        The metadata file, named in errors.
    names
        Stack of each row, as the file writes it.
    slices
        ``(n,)`` int64 places in the stacks, from 0.
    datadir
        Folder of the stacks, None to search near `source`.

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the file, the row and the cure.
    """
    place: dict[str, int] = {}
    stack_of = np.fromiter(
        (place.setdefault(name, len(place)) for name in names), np.int32, len(names)
    )
    paths = tuple(locate(place, source, datadir).values())
    headers = [read_header(path) for path in paths]
    box = _common_box(headers)
    counts = np.array([header.images for header in headers])
    beyond = np.flatnonzero((slices < 0) | (slices >= counts[stack_of]))
    if len(beyond):
        row = int(beyond[0])
        header = headers[stack_of[row]]
        raise ValueError(
            f"{source}, row {row + 1}: image {int(slices[row]) + 1} of {header.path}, which holds "
            f"{header.images}; "
            "this metadata file belongs to another stack, so choose the stack it was made with "
            "(--datadir)."
        )
    return Images(paths, stack_of, slices.astype(np.int64), box)


def _common_box(headers: list[StackHeader]) -> int:
    box = headers[0].width
    for header in headers:
        if header.width != header.height:
            raise ValueError(
                f"{header.path} has images of {header.width}×{header.height} px; extract the "
                "particles in square boxes."
            )
        if header.width % 2 or header.width < 8:
            raise ValueError(
                f"{header.path} has a box of {header.width} px; extract or rescale the particles "
                "to an even box "
                "of at least 8 px."
            )
        if header.width != box:
            raise ValueError(
                f"{header.path} has a box of {header.width} px but {headers[0].path} one of {box} "
                "px; "
                "rescale all particles to one box."
            )
    return box


def check_box(source: Path, stated: np.ndarray, box: int) -> None:
    """Raise ValueError where the metadata give another box (px) than the stacks have."""
    wrong = np.flatnonzero(stated != box)
    if len(wrong):
        raise ValueError(
            f"{source}, row {int(wrong[0]) + 1} says a box of {int(stated[wrong[0]])} px but its "
            f"stack has {box} px; "
            "use the metadata file that was written with these (rescaled) images."
        )


def common_pixel_size(source: Path, sizes: np.ndarray) -> float:
    """Return the one pixel size in Å of all rows ``(n,)``; groups may differ by a thousandth."""
    first = float(sizes[0])
    if not first > 0:
        raise ValueError(
            f"{source}, row 1 has a pixel size of {first} Å; correct it in the optics table."
        )
    wrong = np.flatnonzero(~(np.abs(sizes / first - 1) < 1e-3))
    if len(wrong):
        raise ValueError(
            f"{source}, row {int(wrong[0]) + 1} has a pixel size of {float(sizes[wrong[0]]):g} Å "
            "but row 1 one of "
            f"{first:g} Å; rescale the optics groups to one pixel size."
        )
    return first
