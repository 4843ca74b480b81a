"""The tables of `interaction.py`, in Markdown, each figure of ours beside its goal."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

OURS = "napari-cryodeco"
ORDER = (OURS, "pyqtgraph", "matplotlib", "napari", "cryoDRGN 4.3.1")
NAMES = {"napari": "napari Points", "cryoDRGN 4.3.1": "cryoDRGN dashboard, its server"}
GOALS = {  # milliseconds, at a million particles
    "first view": 2000,
    "pan": 50,
    "zoom": 50,
    "recolour": 150,
    "lasso to result": 250,
}
HARDER = {"pan, half selected, coloured by a number": 50}
BEGIN, END = "<!-- interaction: begin -->", "<!-- interaction: end -->"
Rows = list[dict[str, Any]]


def milliseconds(taken: list[dict[str, float]], clock: str) -> tuple[float, float]:
    """Least and median."""
    values = [1000 * took[clock] for took in taken]
    return min(values), statistics.median(values)


def verdict(value: float, goal: float, least: bool = False) -> str:
    """PASS or FAIL; `least`: the goal is the least that will do."""
    return "PASS" if (value >= goal if least else value <= goal) else "FAIL"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def _cell(row: dict[str, Any] | None, stopped: dict[str, Any] | None) -> str:
    if row is None or not row["taken"]:
        return f"> {stopped['limit_s']} CPU-s" if stopped else "–"
    words = " / ".join(_short(value) for value in milliseconds(row["taken"], "cpu"))
    words += f" ({_short(milliseconds(row['taken'], 'wall')[0])})"
    return words + (f", {row['bytes'] / 1e6:.1f} MB" if "bytes" in row else "")


def plots(rows: Rows) -> str:
    """One line a program and a count."""
    found = {(row["program"], row["particles"], row["act"]): row for row in rows}
    counts = sorted({row["particles"] for row in rows if row["act"] in GOALS})
    lines = [
        "| particles | program | " + " | ".join(GOALS) + " |",
        "|" + "---|" * (2 + len(GOALS)),
    ]
    for count in counts:
        for program in ORDER:
            for more in ("", ", all points"):
                cells = [
                    _cell(
                        found.get((program, count, act + more)),
                        found.get((program, count, "limit")),
                    )
                    for act in GOALS
                ]
                if set(cells) != {"–"} and (not more or cells[0][0] not in ">–"):
                    name = NAMES.get(program, program) + more
                    lines.append(f"| {count:,} | {name} | " + " | ".join(cells) + " |")
    lines += ["", "| goal at 1,000,000 | ours, median | |", "|---|---|---|"]
    for act, goal in (GOALS | HARDER).items():
        row = found.get((OURS, max(counts, default=0), act))
        if row:
            _, median = milliseconds(row["taken"], "cpu")
            lines.append(f"| {act} ≤ {goal} ms | {_short(median)} ms | {verdict(median, goal)} |")
    return "\n".join(lines)


def window(rows: Rows) -> str:
    """Gaps, maps a second, draws, sessions."""
    lines = ["| goal | measured | |", "|---|---|---|"]
    for row in rows:
        if row["program"] == "window":
            lines += _window_lines(row)
        elif row["program"] == "session":
            (least, median), (wall, _) = (milliseconds(row["taken"], c) for c in ("cpu", "wall"))
            words = f"{median / 1000:.1f} CPU-s, least {least / 1000:.1f} ({wall / 1000:.1f} s)"
            act = f"{row['particles']:,}, {row['act']}"
            lines.append(f"| {act} ≤ 3 s | {words} | {verdict(median, 3000)} |")
    return "\n".join(lines)


def _window_lines(row: dict[str, Any]) -> list[str]:
    act, gap, own = f"{row['particles']:,}, {row['act']}", 1000 * row["p99"], 1000 * row["own_p99"]
    words = f"{_short(own)} ms ({_short(gap)} ms)"
    lines = [f"| {act}: gaps ≤ 50 ms, 99th percentile | {words} | {verdict(own, 50)} |"]
    if "maps_a_second" in row:
        rate, own_rate = row["maps_a_second"], row["own_maps_a_second"]
        spent = 1000 * row["cpu_a_second"] / rate
        words = f"{own_rate:.1f} ({rate:.1f}); {spent:.0f} CPU-ms a map, all threads"
        lines.append(f"| {act}: maps a second ≥ 10 | {words} | {verdict(own_rate, 10, True)} |")
        draw, wall = 1000 * row["draw_own_median"], 1000 * row["draw_wall_median"]
        words = f"{draw:.0f} ms ({wall:.0f} ms), {row['faces_most']:,} triangles at most"
        lines.append(f"| {act}: a draw ≤ 120 ms, median | {words} | {verdict(draw, 120)} |")
    return lines


def write_report(rows: Rows, docs: Path) -> str:
    """Put both tables between the marks of a page; they are given back, too."""
    loads = [row["load"] for row in rows] or [0.0]
    speeds = [speed for row in rows for speed in row["gflops_fp32"]] or [0]
    note = (
        f"Measured under a load of {min(loads):.0f} – {max(loads):.0f} on two cores, "
        f"{min(speeds)} – {max(speeds)} GFLOP/s, software OpenGL."
    )
    text = "\n\n".join((plots(rows), window(rows), note))
    page = docs.read_text(encoding="utf-8")
    if BEGIN in page:
        before, rest = page.split(BEGIN, 1)
        page = f"{before}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}"
        docs.write_text(page, encoding="utf-8")
    return text
