"""Arrays, records and maps on disk: safetensors, JSON and MRC, each written whole or not at all."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_cryodeco.atomic import replacing
from napari_cryodeco.runs.json_file import existing

_HEADER = "json"


def write_tensors(
    path: Path | str, tensors: Mapping[str, Tensor], header: Mapping[str, Any] | None = None
) -> None:
    """Write named tensors to one safetensors file, with a header of plain values kept as JSON."""
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as part:
        try:
            save_file(flat, part, metadata={_HEADER: json.dumps(dict(header or {}))})
        except SafetensorError as error:
            raise _as_os_error(error) from error


def _as_os_error(error: SafetensorError) -> OSError:
    """Give a failed write its error number back, which safetensors keeps in words only."""
    number = re.search(r"os error (\d+)", str(error))
    return OSError(int(number[1]) if number else errno.EIO, str(error))


def read_header(path: Path | str) -> dict[str, Any]:
    """Read the header of a file made by `write_tensors` without its tensors."""
    try:
        with safe_open(existing(path), framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no readable safetensors file ({error}): delete it and run the step again."
        ) from error
    header: dict[str, Any] = json.loads(metadata.get(_HEADER, "{}"))
    return header


def read_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read ``(tensors, header)`` of a file made by `write_tensors`."""
    header = read_header(path)
    with safe_open(existing(path), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118  (no iterator)


def tensor_shape(path: Path | str, name: str) -> tuple[int, ...]:
    """Shape of one tensor of a file, without reading it."""
    with safe_open(existing(path), framework="pt") as file:
        return tuple(file.get_slice(name).get_shape())


def write_mrc(path: Path | str, volume: Tensor | np.ndarray, pixel_size: float) -> None:
    """Write a map ``(z, y, x)`` as float32 MRC with its voxel size in Å and origin 0."""
    data = _checked(volume, pixel_size, path)
    with replacing(path) as part, mrcfile.new(part, overwrite=True) as mrc:
        mrc.set_data(data)
        mrc.set_volume()
        mrc.voxel_size = pixel_size


def write_volume_stack(
    path: Path | str, volumes: Iterable[np.ndarray], count: int, pixel_size: float
) -> None:
    """Write `count` maps ``(z, y, x)`` of one shape as one 4-D file, with their voxel size in Å.

    An MRC2014 volume stack (space group 401), float32; one map at a time is in memory.
    """
    with replacing(path) as part:
        mrc = None
        for index, volume in enumerate(volumes):
            data = _checked(volume, pixel_size, path)
            if mrc is None:
                mrc = mrcfile.new_mmap(part, (count, *data.shape), mrc_mode=2, overwrite=True)
            mrc.data[index] = data
        if mrc is None:
            raise ValueError(f"{path}: there is no map to write.")
        with mrc:
            mrc.voxel_size = pixel_size
            mrc.update_header_stats()


def write_stack(path: Path | str, images: Tensor | np.ndarray, pixel_size: float) -> None:
    """Write images ``(n, y, x)`` as a float32 MRC stack with its pixel size in Å."""
    data = _checked(images, pixel_size, path)
    with replacing(path) as part, mrcfile.new(part, overwrite=True) as mrc:
        mrc.set_data(data)
        mrc.set_image_stack()
        mrc.voxel_size = pixel_size


def _checked(array: Tensor | np.ndarray, pixel_size: float, path: Path | str) -> np.ndarray:
    data = np.asarray(
        array.detach().cpu() if isinstance(array, Tensor) else array, dtype=np.float32
    )
    if data.ndim != 3:
        raise ValueError(f"{path}: a map or a stack has three axes, not {data.ndim}.")
    if not pixel_size > 0:
        raise ValueError(f"{path}: pixel size {pixel_size} Å; it must be positive.")
    return data


def read_mrc(path: Path | str) -> tuple[np.ndarray, float]:
    """Read ``(map (z, y, x) float32, voxel size in Å)``."""
    with mrcfile.open(existing(path), permissive=False) as mrc:
        return np.array(mrc.data, dtype=np.float32), float(mrc.voxel_size.x)
