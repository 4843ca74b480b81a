"""Where maps are decoded: a training needs its GPU more than a window does."""

from __future__ import annotations

import socket
from pathlib import Path

import torch

from napari_cryodeco.runs.progress import read_status

CPU = torch.device("cpu")
FULL = "the GPU has no memory left"
TRAINING = "the GPU is training this run"
_LEAST_FREE = 2**30  # bytes: a map of 256 px and the network's points at once


def device_of(name: torch.device | str) -> torch.device:
    """The device of this name; ``"auto"``: the first GPU if there is one."""
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def has_room(device: torch.device) -> bool:
    """Whether so much memory of a GPU is free that maps can be decoded; True for other devices."""
    if device.type != "cuda":
        return True
    try:
        free, _ = torch.cuda.mem_get_info(device)
    except RuntimeError:  # not even its context fits
        return False
    return free >= _LEAST_FREE


def out_of_memory(error: RuntimeError) -> bool:
    """Whether a device ran out of memory; CUDA's libraries say so in several ways."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in text for words in ("out of memory", "alloc_failed", "not_initialized")
    )


def beside_training(run: Path, device: str) -> tuple[str, str]:
    """Choose where a window decodes the maps of a run, and say why where that is not plain.

    While the run is being trained on this machine's GPU that is the CPU: memory that a window takes
    may be what the training needs next. Any GPU may do when it rests, with the CPU behind it.

    Parameters
    ----------
    run
        Run directory.
    device
        As the run's settings have it.
    """
    if not (device == "auto" or device.startswith("cuda")):
        return device, ""
    status = read_status(run)
    lives = status.state == "running" and status.host == socket.gethostname()
    if lives and torch.cuda.is_available():
        return "cpu", TRAINING
    return "auto", ""
