"""The table of `benchmarks/interaction.py`: goals and what did not end in time."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def report(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("interaction_report")


def row(program: str, act: str, *seconds: float) -> dict[str, Any]:
    taken = [{"cpu": value, "wall": 2 * value} for value in seconds]
    return {"program": program, "particles": 1_000_000, "act": act, "taken": taken}


def test_a_goal_is_kept_up_to_its_bound(report: ModuleType) -> None:
    assert report.verdict(50, 50) == "PASS" and report.verdict(50.1, 50) == "FAIL"
    assert report.verdict(10, 10, least=True) == "PASS"
    assert report.verdict(9.9, 10, least=True) == "FAIL"


def test_the_median_is_judged_and_the_least_is_shown(report: ModuleType) -> None:
    table = report.plots([row(report.OURS, "pan", 0.04, 0.06, 0.2)])
    assert "| 40 / 60 (80) |" in table
    assert "| pan ≤ 50 ms | 60 ms | FAIL |" in table


def test_what_did_not_end_in_time_says_so(report: ModuleType) -> None:
    stopped = {"program": "napari", "particles": 1_000_000, "act": "limit", "limit_s": 240}
    table = report.plots([row("napari", "first view", 5.0), stopped])
    (line,) = [line for line in table.splitlines() if "napari Points" in line]
    assert line.count("> 240 CPU-s") == 4 and "5,000 / 5,000 (10,000)" in line


def test_a_page_keeps_what_is_not_between_the_marks(report: ModuleType, tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    rows = [row(report.OURS, "pan", 0.04) | {"load": 1.0, "gflops_fp32": [60, 70]}]
    text = report.write_report(rows, page)
    assert page.read_text() == f"before\n{report.BEGIN}\n{text}\n{report.END}\nafter\n"
    assert report.write_report(rows, page) == text
