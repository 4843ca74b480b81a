"""How fast the scatter plot answers at 100k, 300k and a million particles, beside its peers.

    python benchmarks/interaction.py --run RUN --cache CACHE --counts 100000 300000 1000000

RUN is a small finished run (`cryodeco demo` makes one); its particles are drawn again and again.
All windows open under ``xvfb-run``, ours in napari at 1280 × 800, each program in a process of its
own, driven by mouse and keyboard events of Qt. Peers: matplotlib, pyqtgraph (both installed by pip
under CACHE), napari's Points, and the server of cryoDRGN's dashboard (as `peers.py` installs it).
What is there of a program and a count is not measured again but with ``--again``.

Writes ``results/interaction.json`` and the tables of docs/explorer.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import interaction_dashboard
import torch
from interaction_report import OURS, write_report
from interaction_sets import run_of
from measuring import RESULTS, Table, machine, provenance
from peer_cost import SOURCE
from peer_program import Peer

from napari_cryodeco.runs.run import Run

HERE = Path(__file__).parent
PYQTGRAPH, MATPLOTLIB = "pyqtgraph==0.14.0", "matplotlib==3.11.2"
NEED = ("colorama", "contourpy", "cycler", "fonttools", "kiwisolver", "pyparsing")
WIDGETS = ("matplotlib", "pyqtgraph", "napari")
SUBJECTS = ("ours", *WIDGETS, "cryodrgn", "window", "session")
KEYS = ("program", "particles", "act")
KILLED = (128 + signal.SIGKILL, 128 + signal.SIGXCPU)  # as a shell tells it
PAUSES = (0, 10)  # seconds from the Explorer standing there to opening a run
SECONDS = 8  # with the mouse held down
WINDOW, SESSION = (100_000, 1_000_000), 100_000  # particles of the runs opened for these


class Bench:
    """What the parts share.

    Parameters
    ----------
    asked
        The command line.
    """

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked, self.cache = asked, asked.cache.resolve()
        self.source = Run.open(asked.run.resolve())
        self.table = Table(RESULTS / "interaction.json", KEYS)

    def run(self, count: int) -> Path:
        """A run of so many particles."""
        return run_of(count, self.source, self.cache / "sets")

    def child(self, script: str, *words: object) -> Iterator[dict[str, Any]]:
        """Lines that a script prints, in a window of its own, until its processor time is over."""
        command = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24", sys.executable]
        command += [str(HERE / f"{script}.py"), *map(str, words)]
        paths = [str(SOURCE), str(self.cache / "plots")]
        given = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        limit = (self.asked.limit, self.asked.limit)
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            env=os.environ | given,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, limit),
        )
        yield from (json.loads(line) for line in done.stdout.splitlines() if line[:1] == b"{")
        if done.returncode in KILLED:
            yield {"act": "limit", "limit_s": self.asked.limit}
        elif done.returncode:
            print(f"{script} {words} ended with {done.returncode}", file=sys.stderr)

    def put(self, program: str, count: int, found: Iterable[dict[str, Any]]) -> None:
        """Keep rows, with the speed of this machine at this moment."""
        before = machine()["gflops_fp32"]
        rows = list(found)
        now = {"gflops_fp32": [before, machine()["gflops_fp32"]], "load": os.getloadavg()[0]}
        for row in rows:
            row = {"program": program, "particles": count} | row | now | self.origin()
            self.table.put(row)
            print(json.dumps(row), flush=True)

    def origin(self) -> dict[str, str]:
        """The command without the folders of this machine, and the commit."""
        now, asked = provenance(), self.asked
        for folder, name in ((asked.run, "RUN"), (asked.cache, "CACHE")):
            now["command"] = now["command"].replace(str(folder), name)
        return now

    def missing(self, program: str, count: int) -> bool:
        """Whether it is to be measured."""
        there = {(row["program"], row["particles"]) for row in self.table.rows()}
        return self.asked.again or (program, count) not in there

    def plot_size(self, count: int) -> list[int]:
        """Width and height that our plot had, for the others to have the same."""
        row = self.table.find(program=OURS, particles=count, act="first view")
        return row["size"] if row else [460, 397]


def plots(bench: Bench, count: int) -> None:
    """First view, pan, zoom, recolour and lasso of every program."""
    run, asked = bench.run(count), bench.asked
    if "ours" in asked.subjects and bench.missing(OURS, count):
        bench.put(OURS, count, bench.child("interaction_ours", run, asked.repeats))
    for name in WIDGETS:
        if name in asked.subjects and bench.missing(name, count):
            words = (name, run.parent, asked.repeats, *bench.plot_size(count))
            bench.put(name, count, bench.child("interaction_peers", *words))
    if "cryodrgn" in asked.subjects and bench.missing(Peer.name, count):
        found = interaction_dashboard.measure(run, Peer(bench.cache), min(asked.repeats, 3))
        bench.put(Peer.name, count, found)


def window(bench: Bench) -> None:
    """What our window does while it decodes and beside a training; a session restored."""
    asked = bench.asked
    for count in set(WINDOW) & set(asked.counts) if "window" in asked.subjects else ():
        if bench.missing("window", count):
            run, script = bench.run(count), "interaction_window"
            bench.put("window", count, bench.child(script, "live", run, SECONDS))
            words = (bench.source.config.data.source, bench.cache / "training")
            bench.put("window", count, bench.child(script, "training", run, SECONDS, *words))
    if "session" in asked.subjects and bench.missing("session", SESSION):
        bench.put("session", SESSION, sessions(bench, bench.run(SESSION)))


def sessions(bench: Bench, run: Path) -> Iterator[dict[str, Any]]:
    """Leave one, then open it in new processes."""
    list(bench.child("interaction_window", "leave", run))
    for pause in PAUSES:
        words = ("restore", run, pause)
        opened = [
            list(bench.child("interaction_window", *words))
            for _ in range(min(3, bench.asked.repeats))
        ]
        for rows in zip(*opened, strict=True):
            yield rows[0] | {"taken": [took for row in rows for took in row["taken"]]}


def install(cache: Path) -> None:
    """Install pyqtgraph and matplotlib into a folder of their own."""
    if not (cache / "plots").is_dir():
        words = ["install", "--no-deps", "--target", str(cache / "plots"), PYQTGRAPH, MATPLOTLIB]
        subprocess.run([sys.executable, "-m", "pip", *words, *NEED], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="a small finished run")
    parser.add_argument("--cache", type=Path, required=True, help="where sets and peers are kept")
    parser.add_argument("--counts", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--repeats", type=int, default=7, help="of each act")
    parser.add_argument(
        "--limit", type=int, default=300, help="CPU-seconds of a program and a count"
    )
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--docs", type=Path, default=HERE.parent / "docs" / "explorer.md")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(asked)
    install(bench.cache)
    for count in asked.counts:
        plots(bench, count)
    window(bench)
    print(write_report(bench.table.rows(), asked.docs))


if __name__ == "__main__":
    main()
