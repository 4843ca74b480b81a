"""The table of the peers as Markdown: what was measured, and what the issue asks of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peers_known import seconds_to

from napari_cryodeco.atomic import write_text

OURS = "napari-cryodeco"
Row = dict[str, Any]
HEAD = """# Peers, side by side

Written by `benchmarks/peers.py` from `peers.json`, which has every figure and command.
Both programs ran on the same machine and files, on one thread; the peer with glibc's malloc tuned
(`MALLOC_MMAP_THRESHOLD_`, `MALLOC_TRIM_THRESHOLD_`, `MALLOC_TOP_PAD_`), so that it does not pay for
returning memory.
CPU-s = user + system of the process and its children. GFLOP/s: of a float32 matrix product on one
thread, median of probes before, while and after; the machine was shared, so compare CPU-s, and
those to 20 %.
FSC: mean over shells 1 … D/2 − 1 with the true map, no mask. ARI: Gaussian mixture of z, true
number of species. Pose errors: median in degrees of each species, after the best global rotation,
either hand, modulo its symmetry."""
SECTIONS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "search": (
        "Pose search per image",
        (
            ("set", "set"),
            ("images", "images"),
            ("CPU-s per image", "per_image"),
            ("its own log says", "per_image_by_its_log"),
            ("set-up, CPU-s once", "set_up_cpu_seconds"),
            ("pose errors, °", "median_degrees"),
            ("with the true map, °", "true_map_degrees"),
        ),
    ),
    "whole": (
        "From nothing, 1,000 images of four species at 32 px",
        (
            ("CPU-s", "cpu_seconds"),
            ("ARI", "ari"),
            ("15-NN", "knn15"),
            ("1-NN", "knn1"),
            ("pose errors, °", "median_degrees"),
            ("peak MiB", "peak_mib"),
        ),
    ),
    "known": (
        "Poses known, 1,600 images of four species at 32 px",
        (
            ("CPU-s", "cpu_seconds"),
            ("epochs", "epoch"),
            ("ARI", "ari"),
            ("15-NN", "knn15"),
            ("map FSC at the true groups", "fsc_of_true_groups"),
            ("at the found groups", "fsc_of_found_groups"),
            ("peak MiB", "peak_mib"),
        ),
    ),
    "decode": (
        "One map from z",
        (
            ("map", "set"),
            ("CPU-s per map", "per_map"),
            ("command with start-up, CPU-s", "command_cpu_seconds"),
            ("FSC with fp32", "fsc_with_fp32"),
        ),
    ),
}


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(rows: list[Row], columns: tuple[tuple[str, str], ...]) -> list[str]:
    shown = [(title, key) for title, key in columns if any(key in row for row in rows)]
    shown = [("program", "program"), ("settings", "variant"), *shown, ("GFLOP/s", "gflops_median")]
    lines = ["| " + " | ".join(title for title, _ in shown) + " |", "|---" * len(shown) + "|"]
    for row in rows:
        lines.append("| " + " | ".join(_text(row.get(key)) for _, key in shown) + " |")
    return lines


def _pair(rows: list[Row], **where: str) -> tuple[list[Row], list[Row]]:
    rows = [row for row in rows if all(row[key] == value for key, value in where.items())]
    ours = [row for row in rows if row["program"] == OURS]
    return [row for row in rows if row["program"] != OURS], ours


def _search(rows: list[Row]) -> list[str]:
    lines = []
    for name in dict.fromkeys(row["set"] for row in rows):
        theirs, ours = _pair(rows, set=name)
        for row in ours if theirs else []:
            # the lower of both figures for the peer: in its favour
            cost = min(theirs[0]["per_image"], theirs[0]["per_image_by_its_log"])
            pairs = zip(row["median_degrees"], row["true_map_degrees"], strict=True)
            worst = max(found / known for found, known in pairs)
            lines.append(
                f"{name}, {row['variant']}: **{cost / row['per_image']:.0f} times** less CPU per "
                f"image (goal 100, aim 300); pose error at most {worst:.2f} times that of the "
                "same search in the true map (goal 1.5)."
            )
    return lines


def _whole(rows: list[Row]) -> list[str]:
    theirs, ours = _pair(rows)
    lines = [
        f"{row['program']}: ARI {row['ari']}, median pose error under 10° for "
        f"{sum(error < 10 for error in row['median_degrees'])} of {len(row['median_degrees'])} "
        f"species, in {row['cpu_seconds']:.0f} CPU-s."
        for row in (*theirs, *ours)
    ]
    if theirs and ours:
        lines.append(
            f"Ours took {_ratio(theirs[0], ours[0])} of the peer's CPU time. The peer's grid is "
            "cut down and it is made for ten times as many images: this says what a small CPU "
            "gives, not that the method is poor."
        )
    return lines


def _known(rows: list[Row]) -> list[str]:
    theirs, ours = _pair(rows)
    if not theirs or not ours:
        return []
    first, second = (float(np.mean(row["fsc_of_true_groups"])) for row in (theirs[0], ours[0]))
    both = min(first, second)
    equal = [seconds_to(row, both) for row in (theirs[0], ours[0])]
    return [
        f"Ours: {_ratio(theirs[0], ours[0])} of the peer's CPU time (goal 1/4), ARI "
        f"{ours[0]['ari']} against {theirs[0]['ari']}, mean map FSC {second:.3f} against "
        f"{first:.3f} at the true groups.",
        f"To the mean FSC that both reach ({both:.3f}): the peer {_text(equal[0])} CPU-s, ours "
        f"{_text(equal[1])} (read off checkpoints; a checkpoint's CPU time is its share of the "
        "epochs for the peer, of the wall time for ours).",
    ]


def _decode(rows: list[Row]) -> list[str]:
    lines = []
    for name in dict.fromkeys(row["set"] for row in rows):
        theirs, ours = _pair(rows, set=name)
        for peer in theirs:
            for row in ours:
                lines.append(
                    f"{name}, {row['variant']} against {peer['variant']}: "
                    f"**{peer['per_map'] / row['per_map']:.1f} times** less CPU."
                )
    return lines


def _ratio(theirs: Row, ours: Row) -> str:
    return f"{ours['cpu_seconds'] / theirs['cpu_seconds']:.3f}"


VERDICTS: dict[str, Callable[[list[Row]], list[str]]] = {
    "search": _search,
    "whole": _whole,
    "known": _known,
    "decode": _decode,
}


def write_report(rows: list[Row], out: Path) -> None:
    """Write the tables and what follows from them."""
    lines = [HEAD]
    for name, (title, columns) in SECTIONS.items():
        mine = [row for row in rows if row["row"] == name]
        if mine:
            lines += ["", f"## {title}", "", *_table(mine, columns), ""]
            lines += [f"- {line}" for line in VERDICTS[name](mine)]
            lines += ["", "```", *(row["command"] for row in mine if "command" in row), "```"]
    write_text(out, "\n".join(lines) + "\n")
