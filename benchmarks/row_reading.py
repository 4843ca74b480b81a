"""Random rows of a file that is not in memory: read where they lie, or through a memory map.

    python benchmarks/row_reading.py --cache CACHE

A working copy of 100,000 images at 128 px (2.6 GB of disk, removed at the end), in batches of 64.
Before each measurement the system is asked to forget the file (POSIX_FADV_DONTNEED; Linux).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, Table, cpu_seconds, provenance
from torch import Tensor

from napari_cryodeco.data.stored_images import StoredImages
from napari_cryodeco.imaging.ball import Ball

COUNT, BATCH, ASKED = 100_000, 64, 6400
WIDTH = len(Ball(63, 2))


def memory_map(path: Path) -> Tensor:
    """The file as a tensor that the system reads page by page."""
    return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))


def write(path: Path) -> None:
    """Write the file; what it holds is of no matter."""
    images = np.lib.format.open_memmap(path, "w+", "<f2", (COUNT, WIDTH))
    block = np.random.default_rng(0).standard_normal((4000, WIDTH)).astype("<f2")
    for start in range(0, COUNT, len(block)):
        images[start : start + len(block)] = block
    images.flush()


def forget(path: Path) -> None:
    """Take the file out of the memory of the system."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def bytes_read() -> int:
    """Bytes that this process has had fetched from the disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["read_bytes"])


def measure(images: Any, order: Tensor) -> dict[str, float]:
    """Read `order` in batches."""
    disk, cpu, wall = bytes_read(), cpu_seconds(), time.perf_counter()
    for rows in order.split(BATCH):
        images[rows].float()
    seconds = time.perf_counter() - wall
    return {
        "images_per_s": round(len(order) / seconds),
        "kB_read_per_image": round((bytes_read() - disk) / len(order) / 1e3, 1),
        "cpu_us_per_image": round(1e6 * (cpu_seconds() - cpu) / len(order)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cache", type=Path, required=True, help="a folder on the disk in question"
    )
    path = parser.parse_args().cache / "row_reading.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = Table(RESULTS / "row_reading.json", ("way", "order"))
    ways: dict[str, Callable[[Path], Any]] = {"rows": StoredImages, "memory map": memory_map}
    orders = {
        "random": torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))[:ASKED],
        "in order": torch.arange(ASKED),
    }
    try:
        write(path)
        for order, rows in orders.items():
            for way, opened in ways.items():
                forget(path)
                images = opened(path)
                for state in ("cold", "warm"):
                    row = {"way": way, "order": f"{order}, {state}"} | measure(images, rows)
                    print(row, flush=True)
                    table.put(row | {"kB_of_an_image": round(2 * WIDTH / 1e3, 1)} | provenance())
                del images
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
