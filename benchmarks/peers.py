"""cryoDRGN 4.3.1 and ours side by side: same machine, same files, one thread, one scoring code.

    python benchmarks/peers.py --data DIR --cache CACHE            # what is missing, both
    python benchmarks/peers.py --data DIR --cache CACHE --rows search --ours   # ours anew, alone

DIR holds `dev_mix4_d32` and `dev_mix4_d64`. The peer is installed by pip under CACHE, and what it
computed is kept there. Writes ``results/peers.json`` and ``results/peers.md``.

Rows: `known` (poses given), `whole` (from nothing), `search` (poses, per image), `decode` (one
map). Allow four CPU-hours for the peer, one for ours.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import peers_decode
import peers_known
import peers_search
import peers_whole
import torch
from measuring import RESULTS, Table, provenance
from peer_program import Bench, Peer
from peers_report import write_report

ROWS: dict[str, ModuleType] = {
    "search": peers_search,
    "whole": peers_whole,
    "known": peers_known,
    "decode": peers_decode,
}
RUNS = {
    "search": ("known_d64", "known_d32"),
    "whole": ("whole",),
    "known": ("known_d32",),
    "decode": ("known_d64",),
}
"""Runs of ours that a row stands on."""
KEYS = ("row", "set", "program", "variant")
PRIVATE = ("begun", "ended")


def put(table: Table, bench: Bench, name: str, found: list[dict[str, Any]]) -> None:
    """Add rows to the table, without the folders of this machine."""
    for row in found:
        shown = {key: value for key, value in row.items() if key not in PRIVATE}
        if "command" in shown:
            shown["command"] = bench.plain(shown["command"])
        now = provenance()  # of what was kept: the commit that it was computed with
        origin = {"script": bench.plain(now["command"]), "commit": now["commit"]}
        table.put({"row": name} | origin | shown)


def fill(table: Table, bench: Bench, name: str, asked: argparse.Namespace) -> None:
    """Compute what is missing of a row, or ours anew."""
    there = {row["program"] for row in table.rows() if row["row"] == name}
    if not asked.ours and Peer.name not in there:
        put(table, bench, name, ROWS[name].theirs(bench))
    if asked.ours or "napari-cryodeco" not in there:
        put(table, bench, name, ROWS[name].ours(bench))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--cache", type=Path, required=True, help="where all is kept")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--ours", action="store_true", help="measure ours again, never the peer")
    parser.add_argument("--keep-runs", action="store_true", help="with --ours: not the training")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(asked.data.resolve(), asked.cache.resolve())
    table = Table(asked.out / "peers.json", KEYS)
    if asked.ours and not asked.keep_runs:
        for run in {run for name in asked.rows for run in RUNS[name]}:
            shutil.rmtree(bench.cache / "ours" / run, ignore_errors=True)
    for name in asked.rows:
        fill(table, bench, name, asked)
    write_report(table.rows(), asked.out / "peers.md")


if __name__ == "__main__":
    main()
