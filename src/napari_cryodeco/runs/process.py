"""Whether a process is alive, and which of several (torchrun) this one is."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def world_size() -> int:
    """Count the processes that torchrun, or a batch system in its way, started together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def world_rank() -> int:
    """Number of this process among them, from 0."""
    return int(os.environ.get("RANK", "0")) if world_size() > 1 else 0


def alive(pid: int) -> bool:
    """Tell whether the process `pid` of this machine runs; a zombie does not."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        return _alive_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it exists and belongs to someone else
    return not _zombie(pid)


def _zombie(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False  # no /proc (macOS), or it ended this moment
    return text.rpartition(")")[2].split()[0] in "ZX"


def _alive_windows(pid: int) -> bool:
    import ctypes  # Windows only; os.kill(pid, 0) would end the process there

    query_limited_information, still_active = 0x1000, 259
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle = kernel.OpenProcess(query_limited_information, False, pid)
    if not handle:
        return False
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return code.value == still_active
