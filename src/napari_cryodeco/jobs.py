"""Long work as a process of its own, which survives the window that started it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from napari_cryodeco.atomic import explain
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.process import alive
from napari_cryodeco.runs.progress import announce, read_status

STEP_BACK = 10
"""Added to the nice value: a window on the same cores goes first, idle cores are used as before."""

_children: dict[int, subprocess.Popen[bytes]] = {}
"""Kept so that an ended child is reaped, and not taken for a living one."""


@dataclass(frozen=True)
class Job:
    """A process that was started: its `pid` and its `command`."""

    pid: int
    command: tuple[str, ...]


def start(command: str, run: str, *options: str) -> Job:
    """Start ``cryodeco COMMAND RUN …`` as a detached process; its output goes to ``RUN/log.txt``.

    It has a lower priority than this process.

    Raises
    ------
    FileNotFoundError
        If there is no such run.
    ValueError
        If `command` is "train" and the run is being trained already.
    PermissionError
        If the run's folder is read-only.
    """
    paths = RunPaths(Path(run).absolute())
    if not paths.config.is_file():
        raise FileNotFoundError(f"{paths.root} is no run: make one with `cryodeco new`.")
    if command == "train":
        if read_status(paths.root).state == "running":
            raise ValueError(f"{paths.root} is being trained already: stop it first.")
        paths.stop.unlink(missing_ok=True)  # an old request to stop
    line = (sys.executable, "-m", "napari_cryodeco", command, str(paths.root), *options)
    try:
        with paths.log.open("ab") as log:
            child = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"},
                start_new_session=True,  # a closed terminal or window does not end it
                creationflags=_windows_flags(),
            )
    except OSError as error:
        explain(error, paths.root)
        raise
    _children[child.pid] = child
    step_back(child.pid)
    if command == "train":
        announce(paths.root, child.pid)  # nobody shall read how the last training ended
    return Job(child.pid, line)


def stop(run: Path | str) -> None:
    """Ask the training of a run to stop at its next step; what is finished is kept.

    A file and no signal: it works from another machine too.
    """
    paths = RunPaths(Path(run))
    try:
        paths.stop.touch()
    except OSError as error:
        explain(error, paths.root)
        raise


def is_alive(job: Job) -> bool:
    """Tell whether the process of a job still runs."""
    child = _children.get(job.pid)
    return alive(job.pid) if child is None else child.poll() is None


def step_back(pid: int) -> None:
    """Give a process that has just begun a lower priority than this one's."""
    if sys.platform != "win32":  # there a flag of its start does it
        with suppress(OSError):  # it has ended, or this system does not allow it
            nice = os.getpriority(os.PRIO_PROCESS, 0) + STEP_BACK
            os.setpriority(os.PRIO_PROCESS, pid, nice)


def _windows_flags() -> int:
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        return flags | subprocess.BELOW_NORMAL_PRIORITY_CLASS
    return 0
