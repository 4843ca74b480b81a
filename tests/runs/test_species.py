"""The record of what speaks for each species."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from napari_cryodeco.cli import main
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.species import SpeciesRecord, read_species, summary, write_species

GOOD = SpeciesRecord(images=400, again=True, agreement=0.93, sides=1.0, resolution=21.5)
ALONE = SpeciesRecord(images=80, again=False, agreement=0.0, sides=0.97, resolution=40.0)
FLAT = SpeciesRecord(images=250, again=True, agreement=0.97, sides=0.6, resolution=30.0)
MIXED = replace(GOOD, explained=0.8)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    RunPaths(tmp_path).config.write_text("", encoding="utf-8")
    return tmp_path


def test_what_is_written_comes_back(run: Path) -> None:
    assert read_species(run) == ()
    write_species(run, [GOOD, ALONE, FLAT, MIXED])
    assert read_species(run) == (GOOD, ALONE, FLAT, MIXED)


def test_a_record_of_an_older_version_says_nothing_of_the_signal(run: Path) -> None:
    write_species(run, [GOOD])
    rows = json.loads(RunPaths(run).species.read_text(encoding="utf-8"))
    assert rows[0].pop("explained", 0) is None
    RunPaths(run).species.write_text(json.dumps(rows), encoding="utf-8")
    assert read_species(run) == (GOOD,) and GOOD.sound


def test_a_map_that_leaves_much_of_its_particles_unexplained_is_not_sound() -> None:
    assert not MIXED.sound and "80%" in MIXED.verdict
    assert replace(GOOD, explained=0.96).sound


def test_a_map_found_once_or_seen_from_one_side_is_not_sound() -> None:
    assert GOOD.sound and not ALONE.sound and not FLAT.sound
    assert "wrong" in ALONE.verdict and "60%" in FLAT.verdict
    assert "empty" in SpeciesRecord(0, False, 0.0, 0.0, 99.0).verdict


def test_the_summary_names_those_in_doubt() -> None:
    assert summary([GOOD, ALONE, FLAT]).endswith("do not trust 2, 3 yet.")
    assert "doubt" not in summary([GOOD]) and summary([]) == ""


def test_a_damaged_file_is_a_sentence(run: Path) -> None:
    RunPaths(run).species.write_text("[{]", encoding="utf-8")
    with pytest.raises(ValueError, match="is damaged"):
        read_species(run)


def test_the_command_prints_one_line_for_each(run: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["species", str(run)]) == 1
    assert "no species yet" in capsys.readouterr().err
    write_species(run, [replace(GOOD, explained=0.96), ALONE])
    assert main(["species", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "96%" in lines[1] and "–" in lines[2]
    assert len(lines) == 4 and "400" in lines[1] and "0.93" in lines[1] and "wrong" in lines[2]
