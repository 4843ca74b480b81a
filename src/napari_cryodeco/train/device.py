"""Which device computes, with how many threads, and how reproducibly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

CPU_BOX, GPU_BOX = 64, 128
"""Largest working box in pixels that is chosen by itself."""


def choose_device(name: str) -> torch.device:
    """Turn a setting ("auto", "cpu", "cuda:0", "mps") into a device that is there.

    Raises
    ------
    ValueError
        If the device asked for is not there.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ValueError(
            f"device {name}: {found} CUDA devices found here; use --device auto or cpu."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device mps: there is none here; use --device auto or cpu.")
    return device


def choose_box(box: int | None, source_box: int, device: torch.device) -> int:
    """Working box in pixels: as asked, else the images' own up to what the device can do."""
    return box or min(source_box, CPU_BOX if device.type == "cpu" else GPU_BOX)


@contextmanager
def numerics(threads: int, deterministic: bool, device: torch.device) -> Iterator[None]:
    """Compute with so many threads (0: all), or to the bit the same every time."""
    before = torch.get_num_threads()
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    wanted = 1 if deterministic else threads
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
        # Some CUDA kernels have no deterministic form: there a warning must do.
        torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    if wanted:
        torch.set_num_threads(wanted)
    try:
        with threadpool_limits(wanted or None):
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(was_deterministic)


@contextmanager
def memory_advice(sentence: str) -> Iterator[None]:
    """Turn running out of memory into a ValueError: `sentence` names the setting to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        short = "out of memory" in text or "enough memory" in text
        if not (short or isinstance(error, MemoryError)):
            raise
        raise ValueError(sentence) from error
