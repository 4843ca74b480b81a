"""Working images that stay on disk and are indexed as a tensor is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.data.row_file import RowFile

Rows = Tensor | slice


class StoredImages:
    """Coefficients ``(n, p)`` float16 of an ``.npy`` file; what is asked for is read each time.

    Examples
    --------
    >>> images = StoredImages(path)
    >>> images[rows]  # (b, p) on the CPU, rows a tensor (b,) or a slice
    >>> images[rows, :count]  # (b, count), and no more than that is read

    Parameters
    ----------
    path
        The file.
    part
        Which of its rows these are, without steps: row 0 is the first of them.
    """

    device = torch.device("cpu")

    def __init__(self, path: Path, part: slice = slice(None)) -> None:
        header = np.load(path, mmap_mode="r", allow_pickle=False)
        first = part.indices(len(header))[0]
        offset = header.offset + first * header.strides[0]
        header = header[part]
        self.shape, self.nbytes = torch.Size(header.shape), int(header.nbytes)
        self._file = RowFile(path, header.dtype, offset, header.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Rows | tuple[Rows, slice]) -> Tensor:
        rows, columns = index if isinstance(index, tuple) else (index, slice(None))
        first, count, step = columns.indices(self.shape[1])
        if (first, step) != (0, 1):
            raise IndexError("Stored images are cut at their end only: images[rows, :count].")
        if isinstance(rows, slice):
            rows = torch.arange(*rows.indices(len(self)))
        return torch.from_numpy(self._file.read(self._checked(rows), count))

    def _checked(self, rows: Tensor) -> np.ndarray:
        numbers: np.ndarray = rows.cpu().numpy()
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"Rows {numbers.min()} to {numbers.max()} of {len(self)} images.")
        return numbers


Images = Tensor | StoredImages
"""Working images ``(n, p)``: held in memory, or read from disk as they are asked for."""
