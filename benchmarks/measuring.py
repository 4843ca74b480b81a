"""What every benchmark of the prior records beside its numbers, and where it writes them."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import napari_cryodeco  # noqa: F401  # isort: skip  (before torch: it says how threads wait)
import torch

from napari_cryodeco.model.precision import choose, gigaflops
from napari_cryodeco.runs.json_file import read_json, write_json
from napari_cryodeco.train.device import choose_device

RESULTS = Path(__file__).parent / "results"
IMAGES = Path(__file__).parents[1] / "docs" / "images"


def cpu_seconds() -> float:
    """User and system time of this process and of those it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class Stopwatch:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), cpu_seconds()

    def read(self) -> dict[str, float]:
        """Give both, to a tenth."""
        return {name: round(value, 1) for name, value in self.exact().items()}

    def exact(self) -> dict[str, float]:
        """Give both as measured."""
        wall, cpu = time.perf_counter() - self._wall, cpu_seconds() - self._cpu
        return {"seconds": wall, "cpu_seconds": cpu}


def machine() -> dict[str, Any]:
    """Device, threads and GFLOP/s of this process at this moment."""
    device = choose_device("auto")
    speed = {
        "gflops_fp32": round(gigaflops(torch.float32, device)),
        "gflops_chosen": round(gigaflops(choose("auto", device), device)),
    }
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"device": name, "threads": torch.get_num_threads()} | speed


def provenance() -> dict[str, str]:
    """The command and the commit."""
    script = Path(sys.argv[0]).name
    return {
        "command": " ".join(["python", f"benchmarks/{script}", *sys.argv[1:]]),
        "commit": _git("rev-parse", "--short", "HEAD"),
    }


def engine() -> str:
    """The last commit that changed what a run computes: runs of different ones never mix."""
    parts = ("train", "model", "imaging", "priors", "stage_config.py", "config.py", "efforts.py")
    source = Path(__file__).parents[1] / "src" / "napari_cryodeco"
    return _git("log", "-1", "--format=%h", "--", *(str(source / part) for part in parts))


def _git(*command: str) -> str:
    git = ["git", "-C", str(Path(__file__).parent), *command]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


class Table:
    """Rows of a results file, each known by some of its columns, so that a run can be resumed.

    Parameters
    ----------
    path
        JSON file, a list of rows.
    keys
        Columns that name a row.
    """

    def __init__(self, path: Path, keys: tuple[str, ...]) -> None:
        self.path, self._keys = path, keys

    def rows(self) -> list[dict[str, Any]]:
        """All rows so far."""
        return read_json(self.path) if self.path.is_file() else []

    def find(self, **wanted: Any) -> dict[str, Any] | None:
        """The row of these key values, if it is there."""
        return next((row for row in self.rows() if self._key(row) == self._key(wanted)), None)

    def put(self, row: dict[str, Any]) -> None:
        """Add a row, or replace the one of the same key; read anew, as others may write too."""
        rest = [old for old in self.rows() if self._key(old) != self._key(row)]
        write_json(self.path, [*rest, row])

    def _key(self, row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row.get(key) for key in self._keys)
