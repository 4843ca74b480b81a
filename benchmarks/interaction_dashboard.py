"""What cryoDRGN's dashboard asks of its server for the same points: a part of `interaction.py`.

The dashboard is a web page. Measured is what its server does for one answer (`/api/scatter`, as the
page asks) and how large that is; what the browser does with it comes on top. The peer is run as a
program in its own environment.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from peer_cost import ONE_THREAD
from peer_program import Peer

from napari_cryodeco.explore.clustering import cluster
from napari_cryodeco.runs.run import Run

EPOCH, CLUSTERS = 1, 8
TICK = os.sysconf("SC_CLK_TCK")


def folder_of(run: Path, peer: Peer) -> Path:
    """Make of a run what the dashboard opens: z, poses, CTF, and an analysis with k-means."""
    where = run.parent / "dashboard"
    if (where / "config.yaml").is_file():
        return where
    labels = where / f"analyze.{EPOCH}" / f"kmeans{CLUSTERS}"
    labels.mkdir(parents=True, exist_ok=True)
    opened = Run.open(run)
    latents, poses, ctf = opened.epoch().latents(), opened.epoch().poses(), opened.particles.ctf
    n, box = len(latents), float(opened.particles.box)
    degrees = (np.degrees(ctf.angle), np.degrees(ctf.phase))
    columns = (ctf.defocus_u, ctf.defocus_v, degrees[0], ctf.voltage, ctf.cs, ctf.amplitude)
    sizes = [np.full(n, box), np.full(n, opened.particles.pixel_size)]
    table = np.stack([*sizes, *columns, degrees[1]], 1).astype(np.float32)
    found = cluster(latents, CLUSTERS, "kmeans", epoch=EPOCH)
    arrays = {
        where / f"z.{EPOCH}.pkl": latents,
        where / "ctf.pkl": table,
        labels / "labels.pkl": found.labels.astype(np.int32),
    }
    for target, array in arrays.items():
        peer.write(target, array)
    peer.write_poses(where / "poses.pkl", poses.rotations.numpy(), poses.shifts.numpy() / box)
    names = {"particles": str(opened.particles.source), "ctf": str(where / "ctf.pkl")}
    names |= {"poses": str(where / "poses.pkl")}
    settings = {
        "dataset_args": names | {"ind": None, "datadir": None},
        "model_args": {"encode_mode": "resid", "zdim": latents.shape[1]},
    }
    (where / "config.yaml").write_text(yaml.safe_dump(settings))
    return where


class Server:
    """A dashboard that runs, and its processor time."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self._port = process, port

    def cpu(self) -> float:
        """CPU-seconds of the server so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def ask(self, **words: object) -> tuple[dict[str, float], int]:
        """Ask for a scatter plot; what it took, and the bytes of the answer."""
        query = urllib.parse.urlencode({"explorer_scatter": 1, "x": "PC1", "y": "PC2"} | words)
        cpu, wall = self.cpu(), time.perf_counter()
        address = f"http://127.0.0.1:{self._port}/api/scatter?{query}"
        with urllib.request.urlopen(address) as answer:
            size = len(answer.read())
        return {"cpu": self.cpu() - cpu, "wall": time.perf_counter() - wall}, size


@contextmanager
def serving(program: Path, folder: Path) -> Iterator[Server]:
    """Run the dashboard until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [str(program), "dashboard", str(folder), "--no-browser", "--port", str(port)]
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            words, stdout=log, stderr=log, env=os.environ | ONE_THREAD, start_new_session=True
        )
        try:
            while process.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.2)
            yield Server(process, port)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def measure(run: Path, peer: Peer, repeats: int) -> Iterator[dict[str, Any]]:
    """First view and change of colour, as the page asks by default and with all points."""
    folder = folder_of(run, peer)
    with serving(peer.program, folder) as server:
        server.ask()  # the page before it has read the run already
        for name, words in (("", {}), (", all points", {"full": 1, "explorer_scatter": 0})):
            firsts = [server.ask(**words) for _ in range(repeats)]
            yield {"act": f"first view{name}", "taken": [took for took, _ in firsts]} | {
                "bytes": firsts[0][1]
            }
            colours = [
                server.ask(**words, color=colour) for colour in ("labels", "znorm") * repeats
            ]
            yield {"act": f"recolour{name}", "taken": [took for took, _ in colours]} | {
                "bytes": colours[0][1]
            }
