"""Rows of the table "what comes out right": sets from nothing or with known poses, and an oracle.

    python benchmarks/rows.py --data DIR --cache CACHE --set dev_mix4_d64 --count 500 --set-seed 1
    python benchmarks/rows.py --data DIR --cache CACHE --set shared_core --latent 4 16 64
    python benchmarks/rows.py --data DIR --cache CACHE --set linker --poses file --latent 4 16 64
    python benchmarks/rows.py --data DIR --cache CACHE --set dev_mix4_d32 --poses true-maps
    python benchmarks/rows.py --report

Without ``--latent`` a run ends with the stage joint: classes and poses on explicit maps. With it
the field is fitted too, and z is scored. ``--poses file`` trains with the true poses.
``--poses true-maps`` is the oracle: one full pass of the joint stage in the true maps.
Each row is a process of its own. Runs are kept in ``CACHE/rows_ENGINE``, where ENGINE is the last
commit that changed what a run computes; a run that was killed goes on, a finished row is not made
again. What takes longer than ``--minutes`` of CPU is stopped, and its row says so. ``--report``
prints all rows with their species, and writes the tables of docs/results.md.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import RESULTS, Stopwatch, Table, engine, machine, provenance
from prior_abinitio import open_run, train_until
from prior_sets import SIZES, folder
from row_scores import joint_scores, latent_scores, oracle_scores
from rows_report import line, report, write_page

from napari_cryodeco.runs.json_file import read_json
from napari_cryodeco.runs.run import Run

FILE = RESULTS / "rows.json"
KEYS = ("set", "count", "set_seed", "snr", "poses", "prior", "classes", "latent_dim", "seed")
SHARED = ("prepare", "features", "abinit", "joint")  # what does not depend on the size of z


class TooLongError(Exception):
    """The CPU-minutes that a row may take are over."""


def limited(minutes: float) -> None:
    """Raise :class:`TooLongError` in this process once it has used so many CPU-minutes."""

    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]

    def stop(number: int, frame: object) -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))  # else it comes every second
        raise TooLongError

    signal.signal(signal.SIGXCPU, stop)
    resource.setrlimit(resource.RLIMIT_CPU, (int(60 * minutes), hard))


def settings(key: dict[str, Any], where: Path, species: int) -> dict[str, Any]:
    """The settings of a row's run; all others have their defaults."""
    values: dict[str, Any] = {"seed": key["seed"], "encoder": {"prior": key["prior"]}}
    if key["poses"] == "file":
        source = where / "gt" / "particles_gt.star"
        values |= {"poses": "file", "data": {"source": source, "datadir": where}}
    else:
        classes = {"true": species, "auto": "auto"}.get(key["classes"]) or int(key["classes"])
        values |= {"poses": "abinitio", "abinitio": {"classes": classes}}
        values |= {"data": {"source": where / "particles.star"}}
    if key["latent_dim"] is not None:
        values |= {"latent_dim": key["latent_dim"]}
    return values


def joined(run: Run, base: Path) -> Run:
    """The run with the stages that a run of another size of z, at `base`, has done already."""
    done = Run.open(base).paths
    if run.paths.images.is_file() or not all(done.stage(name).is_file() for name in SHARED):
        return run
    run.paths.stage("joint").parent.mkdir(parents=True, exist_ok=True)
    os.link(done.images, run.paths.images)
    stages = [done.stage(name) for name in SHARED]
    for file in (*stages, done.geometry, base / "benchmark.json"):
        shutil.copy(file, run.path / file.relative_to(done.root))
    return Run.open(run.path)


def trained(key: dict[str, Any], where: Path, runs: Path, species: int) -> tuple[Run, dict]:
    """The run of a row, trained as far as the row goes, and what it cost."""
    stem = "_".join(str(value) for value in key.values())
    values = settings(key, where, species)
    run = open_run(runs / stem, Path(values["data"]["source"]), values)
    from_nothing = key["poses"] == "abinitio"
    if from_nothing and key["latent_dim"] is not None:
        base = runs / "_".join(str(value) for value in (key | {"latent_dim": None}).values())
        if base.is_dir():
            run = joined(run, base)
    stage = "joint" if key["latent_dim"] is None else "refine"
    return run, train_until(run, stage)


def one(key: dict[str, Any], asked: argparse.Namespace) -> dict[str, Any]:
    """Run and score one row."""
    where = folder(key["set"], key["set_seed"], key["snr"], asked.data, asked.cache, key["count"])
    species = len(read_json(where / "info.json")["models"])
    runs = asked.cache / f"rows_{engine()}"
    begun, used = machine(), {}
    watch = Stopwatch()
    if key["poses"] == "true-maps":
        found = oracle_scores(where, runs / f"oracle_{where.name}")
        used = watch.read()
    else:
        run, used = trained(key, where, runs, species)
        found = joint_scores(run, where) if key["poses"] == "abinitio" else {}
        if key["latent_dim"] is not None:
            found |= latent_scores(run, where)
    return found | used | begun


def in_its_own_process(key: dict[str, Any], asked: argparse.Namespace) -> None:
    """Make one row, with a limit on its CPU time."""
    row = dict(key)
    try:
        limited(asked.minutes)
        row |= one(key, asked)
    except TooLongError:
        row |= {"stopped": f"after {asked.minutes:g} CPU-minutes"}
    Table(FILE, KEYS).put(row | {"engine": engine()} | provenance())
    print(line(row | {"engine": engine()}), flush=True)


def keys(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows that are asked for."""
    sizes = asked.latent or [None]
    choices = itertools.product(asked.seeds, asked.prior, asked.classes, sizes)
    rows = []
    for seed, prior, classes, size in choices:
        row = {"set": asked.set, "count": asked.count or SIZES[asked.set][2]}
        row |= {"set_seed": asked.set_seed, "snr": asked.snr, "poses": asked.poses}
        rows.append(row | {"prior": prior, "classes": classes, "latent_dim": size, "seed": seed})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the shared data folder")
    parser.add_argument("--cache", type=Path, help="where sets and runs are kept")
    parser.add_argument("--set", default="dev_mix4_d64", choices=list(SIZES))
    parser.add_argument("--count", type=int, default=0, help="images a species; 0: as the recipe")
    parser.add_argument("--set-seed", type=int, default=0)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--poses", choices=["abinitio", "file", "true-maps"], default="abinitio")
    parser.add_argument("--prior", nargs="+", default=["bundled"])
    parser.add_argument("--classes", nargs="+", default=["true"], help="true, auto or a number")
    parser.add_argument("--latent", nargs="+", type=int, help="numbers in z; none: no field")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--minutes", type=float, default=40, help="CPU-minutes a row may take")
    parser.add_argument(
        "--report",
        action="store_true",
        help="print what is known and write it into docs/results.md; run nothing",
    )
    parser.add_argument("--alone", action="store_true", help="run the one row in this process")
    asked = parser.parse_args()
    table = Table(FILE, KEYS)
    if asked.report:
        report(table.rows())
        write_page(table.rows())
        return
    wanted = keys(asked)
    if asked.alone:
        in_its_own_process(wanted[0], asked)
        return
    for key in wanted:
        known = table.find(**key)
        if known is None or known["engine"] != engine():
            choice = {"--seeds": key["seed"], "--prior": key["prior"], "--classes": key["classes"]}
            if key["latent_dim"] is not None:
                choice["--latent"] = key["latent_dim"]
            rest = [str(text) for pair in choice.items() for text in pair]
            command = [sys.executable, __file__, *sys.argv[1:], *rest, "--alone"]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
