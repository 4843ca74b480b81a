"""``columns``, ``stability``, ``judge``, ``select`` and ``bundle`` as they are typed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import starfile

from napari_cryodeco.cli import main
from napari_cryodeco.explore import shelf
from napari_cryodeco.explore.selection import Selection
from napari_cryodeco.runs.run import Run

Capture = pytest.CaptureFixture[str]


def call(*words: object) -> int:
    return main([str(word) for word in words])


def fails(capsys: Capture, *words: object) -> str:
    capsys.readouterr()
    assert call(*words) != 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "Traceback" not in lines[0]
    return lines[0]


@pytest.fixture
def run(planted_run: Run) -> Path:
    assert call("cluster", planted_run.path, "-k", 2) == 0
    return planted_run.path


def test_columns_are_listed_added_and_written(run: Path, tmp_path: Path, capsys: Capture) -> None:
    np.save(tmp_path / "ice.npy", np.arange(60.0))
    assert call("columns", run, "--add", tmp_path / "ice.npy") == 0
    capsys.readouterr()
    assert call("columns", run) == 0
    said = capsys.readouterr().out
    assert "file     rlnDefocusU" in said
    assert "user     ice" in said
    table = tmp_path / "table.csv"
    assert call("columns", run, "--names", "ice, cluster,rlnImageName", "-o", table) == 0
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["ice"]) for row in rows] == list(range(60))
    assert {row["cluster"] for row in rows} == {"1", "2"}
    assert "exists already" in fails(capsys, "columns", run, "-o", table)
    assert "written as .csv" in fails(capsys, "columns", run, "-o", tmp_path / "a.npy")
    assert "say where to write" in fails(capsys, "columns", run, "--names", "ice")
    assert "no column tall" in fails(
        capsys, "columns", run, "--names", "tall", "-o", tmp_path / "b.csv"
    )
    np.save(tmp_path / "short.npy", np.arange(5.0))
    assert "5 rows but the run 60" in fails(capsys, "columns", run, "--add", tmp_path / "short.npy")


def test_a_selection_is_judged_by_name(run: Path, tmp_path: Path, capsys: Capture) -> None:
    shelf.keep(Selection("rods", np.arange(30)), Run.open(run).paths.selections)
    capsys.readouterr()
    assert call("judge", run, "--selection", "rods", "-o", tmp_path / "card.json") == 0
    said = capsys.readouterr().out
    record = json.loads((tmp_path / "card.json").read_text())
    assert said.startswith(record["verdict"].upper())
    assert record["count"] == 30
    assert "30 of 60 (50.0%)" in said
    assert "no selection named discs (it has: rods)" in fails(
        capsys, "judge", run, "--selection", "discs"
    )
    assert "needs one of" in fails(capsys, "judge", run)
    assert "no cluster 5" in fails(capsys, "judge", run, "--labels", 5)


def test_core_and_confident_particles(run: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "core.txt"
    assert "run `cryodeco stability" in fails(
        capsys, "select", run, "--labels", "1", "--confident", 0.9, "-o", out
    )
    assert call("stability", run, "--trials", 2) == 0
    assert "cluster 2: comes back with a Jaccard index of 1.00: stable" in capsys.readouterr().out
    words = ("select", run, "--labels", "1", "--core", 0.9, "--confident", 0.9)
    assert call(*words, "-o", out) == 0
    assert len(out.read_text().split()) == 30
    assert "--core 2: give a probability" in fails(
        capsys, "select", run, "--labels", "1", "--core", 2, "-o", tmp_path / "a.txt"
    )
    assert "--trials 1" in fails(capsys, "stability", run, "--trials", 1)


def test_a_selection_goes_back_to_another_file(
    run: Path, tmp_path: Path, capsys: Capture, particle_set: Any
) -> None:
    out, members = tmp_path / "back.star", np.flatnonzero(particle_set.labels == 1)
    words = ("select", run, "--labels", "2", "--onto", particle_set.star)
    assert call(*words, "--poses", "-o", out) == 0
    assert "30 of 30 particles matched (30 by image name)" in capsys.readouterr().out
    table = starfile.read(out)["particles"]
    whole = starfile.read(particle_set.star_with_poses)["particles"].iloc[members]
    np.testing.assert_allclose(table["rlnAngleTilt"], whole["rlnAngleTilt"], atol=1e-3)
    assert "are for --onto" in fails(
        capsys, "select", run, "--labels", "2", "--poses", "-o", tmp_path / "b.star"
    )
    text = particle_set.star.read_text().split("\n")
    short = tmp_path / "short.star"
    short.write_text(
        "\n".join(line for line in text if f"{members[3] + 1:06d}@" not in line).replace(
            "particles.mrcs", str(particle_set.stack)
        )
    )
    words = ("select", run, "--labels", "2", "--onto", short, "-o", tmp_path / "c.star")
    assert "29 of 30 particles matched" in fails(capsys, *words)
    assert not (tmp_path / "c.star").exists()
    assert call(*words, "--partial") == 0
    assert "1 unmatched" in capsys.readouterr().err


def test_a_bundle_of_each_cluster(run: Path, tmp_path: Path, capsys: Capture) -> None:
    assert call("bundle", run, "--each", "-o", tmp_path / "all", "--device", "cpu") == 0
    made = tmp_path / "all"
    assert {path.name for path in (made / "maps").iterdir()} == {"cluster_1.mrc", "cluster_2.mrc"}
    assert f"{made}: " in capsys.readouterr().out
    assert "exists already" in fails(capsys, "bundle", run, "--each", "-o", made)
    other = tmp_path / "other"
    assert "--each takes all" in fails(
        capsys, "bundle", run, "--each", "--labels", "1", "-o", other
    )
    assert "above 0" in fails(capsys, "bundle", run, "--each", "--level", "-1", "-o", other)
    assert "needs one of" in fails(capsys, "bundle", run, "-o", other)
    assert "project" in fails(capsys, "bundle", run, "--each", "--view", "umap", "-o", other)
    assert not other.exists()
