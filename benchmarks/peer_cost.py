"""What a program costs: CPU-seconds of the process and its children, beside GFLOP/s."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring import Stopwatch, machine, provenance

from napari_cryodeco.runs.json_file import read_json, write_json

SOURCE = Path(__file__).parents[1] / "src"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
PROBE_EVERY = 120.0  # seconds
Spent = dict[str, Any]


def measured(words: Sequence[str], folder: Path, extra: dict[str, str]) -> Spent:
    """Run a program to its end on one thread, or give what is kept of an earlier run.

    Parameters
    ----------
    words
        The command; its output goes to ``folder/log.txt``, its files to ``folder`` by its options.
    folder
        Made anew; ``spent.json`` in it is written when the program ends well.
    extra
        Environment variables beside those that keep it to one thread.

    Returns
    -------
    dict
        ``cpu_seconds`` (user + system, with its children), ``system_seconds``, ``seconds``, begin
        and end (seconds since 1970), peak memory in MiB, our commit, and GFLOP/s: before, while
        (each two minutes, beside the program) and after, the median and the least.

    Raises
    ------
    SystemExit
        If the program fails, with the end of its log.
    """
    kept = folder / "spent.json"
    if kept.is_file():
        return read_json(kept)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(" ".join(words), flush=True)
    speeds, begun = [_speed()], time.time()
    with (folder / "log.txt").open("w") as log:
        child = subprocess.Popen(
            words, stdout=log, stderr=log, env=os.environ | ONE_THREAD | extra, cwd=folder
        )
        usage, status = _wait(child.pid, speeds)
        child.returncode = os.waitstatus_to_exitcode(status)
    ended = time.time()
    if child.returncode:
        tail = (folder / "log.txt").read_text()[-1500:]
        sys.exit(f"{' '.join(words)} failed ({child.returncode}), see {folder}/log.txt:\n{tail}")
    spent = {
        "command": " ".join(words),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "system_seconds": round(usage.ru_stime, 1),
        "seconds": round(ended - begun, 1),
        "begun": begun,
        "ended": ended,
        "peak_mib": round(usage.ru_maxrss / 1024),
        "commit": provenance()["commit"],
        **_speeds([*speeds, _speed()]),
    }
    write_json(kept, spent)
    return spent


def _wait(pid: int, speeds: list[float]) -> tuple[Any, int]:
    """Wait for a child; its resource usage and status. Adds to the `speeds` meanwhile."""
    probed = time.monotonic()
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return usage, status
        if time.monotonic() - probed > PROBE_EVERY:
            speeds.append(_speed())
            probed = time.monotonic()
        time.sleep(0.2)


def _speed() -> float:
    return float(machine()["gflops_fp32"])


def _speeds(speeds: list[float]) -> dict[str, float]:
    return {"gflops_median": statistics.median(speeds), "gflops_least": min(speeds)}


def cryodeco(folder: Path, *words: str) -> Spent:
    """Run ``cryodeco``; see :func:`measured`."""
    program = [sys.executable, "-m", "napari_cryodeco", *words]
    return measured(program, folder, {"PYTHONPATH": str(SOURCE)})


@contextmanager
def timed(spent: Spent) -> Iterator[None]:
    """Put CPU-seconds and GFLOP/s of a block of this process into `spent`."""
    before, watch = _speed(), Stopwatch()
    yield
    spent.update(watch.exact(), **_speeds([before, _speed()]))
