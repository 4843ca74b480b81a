"""``cryodeco serve`` and ``mirror``: a run here, its window elsewhere."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, TextIO

from cyclopts import Parameter

from napari_cryodeco.atomic import write_private
from napari_cryodeco.commands.common import require_run
from napari_cryodeco.explore.mirror import connect, default_home
from napari_cryodeco.explore.server import DecodeServer
from napari_cryodeco.runs.mirrored import refuse_mirror
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.terminal import Bar, say

_LOGIN = "SLURM_SUBMIT_HOST"  # the machine from which the job was sent


def serve(
    run: Path,
    /,
    *,
    port: Annotated[int, Parameter(negative="")] = 0,
    device: str = "auto",
) -> None:
    """Serve a run to a window on another machine, through an ssh tunnel, until Ctrl-C.

    Only programs on this machine that know the token can reach it; nothing of the run is changed.
    What to type on the other machine is printed, and kept in RUN/serve.txt for its user alone.

    Parameters
    ----------
    run
        Run directory, also one that is being trained.
    port
        On the loopback of this machine; 0: any that is free.
    device
        auto (beside a training the CPU), cpu, cuda:0 … or mps.
    """
    require_run(run)
    refuse_mirror(run)
    if not 0 <= port < 65536:
        raise ValueError(f"--port {port}: give a number from 1024 to 65535, or 0 for any.")
    try:
        server = DecodeServer(run, port, device)
    except OSError as error:
        raise OSError(f"Port {port} cannot be had ({error.strerror}): leave --port out.") from None
    with server:
        lines = _instructions(server.address.port, str(server.address))
        with _kept(RunPaths(run).address, lines) as where:
            say(f"Serving {run}; Ctrl-C ends it.\n{where}")
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's way
            server.serve_forever()


def mirror(
    address: str, /, *, output: Annotated[Path | None, Parameter(["-o", "--output"])] = None
) -> None:
    """Copy the run that `cryodeco serve` serves, without its images, or what is new of it.

    The copy is a run for all other commands; its maps are decoded by the server. Of epochs before
    the newest as many are copied as fit into 1 GiB.

    Parameters
    ----------
    address
        What `cryodeco serve` printed; - reads it from standard input, where no other user sees it.
    output
        Folder in which copies are kept, ~/cryodeco/remote where not given.
    """
    text = sys.stdin.readline() if address == "-" else address
    made = connect(text, output or default_home())
    with Bar("copy") as bar:
        while made.sync(bar.count):
            pass  # an epoch at a time
    say(f"{made.path} is a copy of {made.mirrored.path} on {made.mirrored.host}.")


def _instructions(port: int, address: str) -> str:
    """The line for a terminal of the other machine, and the address for its window."""
    me, host, login = getpass.getuser(), socket.gethostname(), os.environ.get(_LOGIN, "")
    through = f"-J {me}@{login} " if login and login != host else ""
    return (
        f"On your machine: ssh -N {through}-L {port}:127.0.0.1:{port} {me}@{host}\n"
        f"In its Explorer, ▾ beside Open run…, Address: {address}"
    )


@contextmanager
def _kept(note: Path, lines: str) -> Iterator[str]:
    """Keep the lines in a file of the run while it is served; gives what to say.

    That is the lines, or where they are if others may read what is said here.
    """
    hidden = _others_can_read(sys.stdout)
    try:
        write_private(note, lines + "\n")
    except OSError:
        if hidden:
            raise
        yield lines  # a run that may only be read is served all the same
        return
    try:
        yield f"Others may read this log, so the address is in {note}." if hidden else lines
    finally:
        with suppress(OSError):
            if lines in note.read_text(encoding="utf-8"):  # and not of a later server
                note.unlink()


def _others_can_read(stream: TextIO) -> bool:
    """Whether what is said may be read by others: not on a terminal, nor in a file of mode 0600.

    A batch system passes on what it reads from a pipe.
    """
    with suppress(OSError, ValueError):
        mode = os.fstat(stream.fileno()).st_mode
        return not stream.isatty() and not (stat.S_ISREG(mode) and not mode & 0o077)
    return True
