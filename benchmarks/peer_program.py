"""The peer, cryoDRGN 4.3.1, as a program in an environment of its own.

The peer is GPL: it is run, never imported, and nothing of it is copied. Its pickles are written
and read inside its own environment by ``peer_files.py``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from peer_cost import Spent, cryodeco, measured
from torch import Tensor

from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_mrc

PEER = "cryodrgn==4.3.1"
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Without these glibc maps and unmaps the peer's huge temporaries: half of its time is system's."""


class Peer:
    """The peer; installed under `cache` when it is first needed."""

    name = "cryoDRGN 4.3.1"

    def __init__(self, cache: Path) -> None:
        self.cache = cache

    @cached_property
    def _bin(self) -> Path:
        where = self.cache / "peer-env"
        if not (where / "bin" / "cryodrgn").is_file():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(where)], check=True)
            subprocess.run([str(where / "bin" / "pip"), "install", PEER], check=True)
        return where / "bin"

    @property
    def program(self) -> Path:
        """``cryodrgn`` itself, for what is measured in another way."""
        return self._bin / "cryodrgn"

    def run(self, folder: Path, *words: object) -> Spent:
        """Run ``cryodrgn`` tuned, on one thread; see :func:`measured`."""
        return measured([str(self._bin / "cryodrgn"), *map(str, words)], folder, TUNED)

    def versions(self) -> dict[str, str]:
        """Version of the peer, its torch and its numpy."""
        wanted = ("cryodrgn", "torch", "numpy")
        code = f"import importlib.metadata as m; print(*map(m.version, {wanted!r}))"
        python = str(self._bin / "python")
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
        return dict(zip(wanted, done.stdout.split(), strict=True))

    def ctf(self, where: Path) -> Path:
        """CTF of a set as the peer wants it."""
        return self._parsed("parse_ctf_star", where / "particles.star", where.name, "ctf.pkl")

    def true_poses(self, where: Path) -> Path:
        """True poses of a set as the peer wants them."""
        star = where / "gt" / "particles_gt.star"
        return self._parsed("parse_pose_star", star, where.name, "poses.pkl")

    def _parsed(self, verb: str, star: Path, name: str, kind: str) -> Path:
        out = self.cache / "inputs" / name / kind
        if not out.is_file():
            out.parent.mkdir(parents=True, exist_ok=True)
            command = [str(self._bin / "cryodrgn"), verb, str(star), "-o", str(out)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return out

    def first_rows(self, count: int) -> Path:
        """The first rows of a set as ``--ind`` wants them."""
        out = self.cache / "inputs" / f"first_{count}.pkl"
        out.parent.mkdir(parents=True, exist_ok=True)
        np.save(out.with_suffix(".npy"), np.arange(count))
        self._convert("rows", out.with_suffix(".npy"), out)
        return out

    def write(self, out: Path, array: np.ndarray) -> None:
        """Write an array as a pickle of the peer."""
        np.save(out.with_suffix(".npy"), array)
        self._convert("rows", out.with_suffix(".npy"), out)
        out.with_suffix(".npy").unlink()

    def write_poses(self, out: Path, rotations: np.ndarray, shifts: np.ndarray) -> None:
        """Write rotations ``(n, 3, 3)`` and shifts ``(n, 2)`` in box sides as the peer's poses."""
        files = [out.with_name(f"{name}.npy") for name in ("rotations", "shifts")]
        for file, array in zip(files, (rotations, shifts), strict=True):
            np.save(file, array)
        self._convert("poses", *files, out)
        for file in files:
            file.unlink()

    def array(self, pickle: Path) -> np.ndarray:
        """Read latents ``(n, d)``."""
        out = pickle.with_suffix(".npy")
        self._convert("array", pickle, out)
        return np.load(out, allow_pickle=False)

    def rotations(self, pickle: Path) -> Tensor:
        """Read rotations ``(n, 3, 3)``: its convention is ours."""
        out = pickle.with_suffix(".npy")
        self._convert("rotations", pickle, out)
        return torch.from_numpy(np.load(out, allow_pickle=False)).float()

    def _convert(self, *words: object) -> None:
        script = Path(__file__).with_name("peer_files.py")
        subprocess.run([str(self._bin / "python"), str(script), *map(str, words)], check=True)

    def decode(self, out: Path, epoch: int, z: np.ndarray, folder: Path) -> Spent:
        """Decode maps at z ``(m, d)`` by the weights of an epoch; they go to ``folder/maps``."""
        points = folder.with_suffix(".txt")
        points.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(points, z, fmt="%.7g")
        words = ("-c", out / "config.yaml", "--zfile", points, "-o", folder / "maps")
        return self.run(folder, "eval_vol", out / f"weights.{epoch}.pkl", *words)

    def maps(self, out: Path, epoch: int, z: np.ndarray) -> list[np.ndarray]:
        """Decode maps ``(D, D, D)`` at z ``(m, d)`` and read them."""
        folder = out.parent / f"maps_{epoch}_{zlib.crc32(z.tobytes()):08x}"
        self.decode(out, epoch, z, folder)
        return [read_mrc(path)[0] for path in sorted((folder / "maps").glob("*.mrc"))]


@dataclass(frozen=True)
class Bench:
    """Where the sets are, where all that was computed is kept, and the peer."""

    data: Path
    cache: Path

    @cached_property
    def peer(self) -> Peer:
        """The peer."""
        return Peer(self.cache)

    def train(self, name: str, star: Path, options: tuple[str, ...]) -> tuple[Run, Spent]:
        """Make and train a run of ours on one thread by its command line, or give the one kept."""
        folder = self.cache / "ours" / name
        if not (folder / "train" / "spent.json").is_file():
            shutil.rmtree(folder, ignore_errors=True)  # a killed run's time would be lost
        run = str(folder / "run")
        made = cryodeco(folder / "new", "new", str(star), run, "--set", "threads=1", *options)
        trained = cryodeco(folder / "train", "train", run)
        total = {key: round(made[key] + trained[key], 1) for key in ("cpu_seconds", "seconds")}
        command = f"{made['command']} && {trained['command']}"
        return Run.open(run), trained | total | {"command": command}

    def plain(self, command: str) -> str:
        """A command without the folders of this machine."""
        folders = {self.cache / "peer-env" / "bin": "", self.cache: "CACHE", self.data: "DATA"}
        for folder, name in folders.items():
            command = command.replace(f"{folder}/" if not name else str(folder), name)
        return command.replace(sys.executable, "python")
