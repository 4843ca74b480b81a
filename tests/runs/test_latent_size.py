"""The record of how long z is, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from napari_cryodeco.cli import main
from napari_cryodeco.runs.latent_size import (
    Component,
    LatentSize,
    enough,
    read_latent_size,
    size_sentence,
    species_sentence,
    write_latent_size,
)
from napari_cryodeco.runs.paths import RunPaths

SURE = Component(gain=9.0, error=0.5, reliability=0.9, share=0.3)
NOISE = Component(gain=-0.4, error=0.1, reliability=0.3, share=0.02)
BARELY = Component(gain=0.5, error=0.4, reliability=0.5, share=0.05)
FOUR = LatentSize(5, True, (SURE, SURE, SURE, *[NOISE] * 5), 4, (30.0, 20.0, 10.0, 15.0))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    RunPaths(tmp_path).config.write_text("", encoding="utf-8")
    return tmp_path


def test_what_is_written_comes_back(run: Path) -> None:
    assert read_latent_size(run) is None
    write_latent_size(run, FOUR)
    assert read_latent_size(run) == FOUR


def test_a_component_must_help_beyond_its_error() -> None:
    assert SURE.confirmed and not NOISE.confirmed and not BARELY.confirmed
    assert not Component(0.0, 0.0, 0.0, 0.0).confirmed  # an empty one


@pytest.mark.parametrize(
    ("sure", "tried", "species", "size"),
    [
        (0, 16, 1, 2),  # nothing: still a plane to look at
        (1, 16, 1, 3),
        (3, 16, 4, 5),
        (1, 16, 6, 8),  # five tell six species apart
        (8, 16, 1, 12),  # half as many again
        (8, 9, 1, 9),  # never more than were tried
        (3, 4, 9, 4),
        (0, 1, 1, 1),
    ],
)
def test_there_are_as_many_numbers_as_needed_and_some_to_spare(
    sure: int, tried: int, species: int, size: int
) -> None:
    components = [SURE] * sure + [NOISE] * (tried - sure)
    assert enough(components, species) == enough(components[::-1], species) == size


def test_the_sentence_tells_who_chose_and_what_would_do() -> None:
    assert size_sentence(FOUR).startswith("z has 5 numbers: 3 of 8 components help")
    asked = replace(FOUR, size=8, estimated=False)
    assert "as asked" in size_sentence(asked) and "it would have 5" in size_sentence(asked)
    rigid = LatentSize(2, True, (NOISE,) * 4)
    assert "latent_dim 0" in size_sentence(rigid)
    assert "latent_dim 0" not in size_sentence(replace(rigid, species=2))
    assert "may be more" in size_sentence(LatentSize(2, True, (SURE, SURE)))
    assert "2 tell 3 species apart" in size_sentence(replace(rigid, size=4, species=3))


def test_the_number_of_species_is_told_only_where_it_was_sought() -> None:
    said = species_sentence(FOUR, 2)
    assert said.startswith("2 species: 3 clusters")
    assert "30 with 1 component, 10 with 3, lowest of 1 to 4: 10" in said
    said = species_sentence(replace(FOUR, clusters=2), 2)
    assert said.startswith("2 species: 2 clusters") and "20 with 2, lowest of 1 to 4: 10" in said
    assert species_sentence(replace(FOUR, criterion=()), 2) == ""


def test_a_damaged_file_is_a_sentence(run: Path) -> None:
    for text in ("[{]", "{}", "[]"):
        RunPaths(run).latent_size.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="is damaged"):
            read_latent_size(run)


def test_the_command_prints_one_line_for_each(run: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["dimensions", str(run)]) == 1
    assert "does not know its dimensions yet" in capsys.readouterr().err
    write_latent_size(run, FOUR)
    assert main(["dimensions", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("confirmed") for line in lines) == 3
    assert lines[-2].startswith("z has 5") and "species" in lines[-1]
