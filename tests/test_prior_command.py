"""``cryodeco prior``, and the names of priors that ``cryodeco new`` takes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_cryodeco.cli import main
from napari_cryodeco.model import official
from napari_cryodeco.model.prior import PriorEncoder
from napari_cryodeco.model.weights import read_weights, write_small
from napari_cryodeco.runs.run import Run

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    encoder = PriorEncoder(2, widths=(8, 16, 16), depths=(1, 1, 1), dim=12)
    write_small(tmp_path / "mine.safetensors", encoder, {"recipe": "three steps"})
    return tmp_path / "mine.safetensors"


def fetched(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    """Have `download` copy these weights."""

    def copy(name: str, into: Path, progress: Any) -> Path:
        into.mkdir(parents=True)
        (into / official.FILE).write_bytes(weights.read_bytes())
        progress(1, 1)
        return into

    monkeypatch.setattr(official, "download", copy)


def test_list_names_every_prior_and_where_it_is(capsys: Capture, home: Path) -> None:
    assert main(["prior", "list"]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("bundled", "none", "FOLDER", *official.OFFICIAL))
    assert "academic research only" in said and "prior download cryo-ief" in said
    folder = official.default_folder("cryo-ief")
    folder.mkdir(parents=True)
    (folder / official.FILE).touch()
    main(["prior", "list"])
    assert str(folder) in capsys.readouterr().out


def test_info_tells_what_a_file_is(capsys: Capture, mine: Path) -> None:
    assert main(["prior", "info", str(mine)]) == 0
    said = capsys.readouterr().out
    assert "kind: small" in said
    assert "recipe: three steps" in said
    assert read_weights(mine).sha256 in said


def test_info_shows_a_card_where_there_is_one(capsys: Capture, mine: Path) -> None:
    card = {"title": "Mine", "sha256": read_weights(mine).sha256, "limits": ["only a test"]}
    mine.with_suffix(".json").write_text(json.dumps(card))
    assert main(["prior", "info", str(mine)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("# Mine") and "- only a test" in said


def test_nothing_is_fetched_without_consent(
    capsys: Capture, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))  # piped in: nobody has read it
    assert main(["prior", "download", "cryo-ief"]) == 1
    said = capsys.readouterr()
    assert "Commercial use is prohibited" in said.out
    assert "--accept-licence" in said.err
    assert not home.exists()


def test_download_shows_the_licence_and_loads_what_came(
    capsys: Capture, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched(monkeypatch, mine)
    words = ["prior", "download", "cryo-ief", "--accept-licence", "--into", str(tmp_path / "here")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "Commercial use is prohibited" in said
    assert f"--prior {tmp_path / 'here'}" in said


def test_what_came_and_does_not_load_is_one_sentence(
    capsys: Capture, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine.write_bytes(mine.read_bytes()[:100])
    fetched(monkeypatch, mine)
    words = ["prior", "download", "cryo-ief", "--accept-licence", "--into", str(tmp_path / "here")]
    assert main(words) == 1
    assert "no readable safetensors file" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["bundled", "none"])
def test_new_takes_the_words_of_the_settings(tmp_path: Path, particle_set: Any, word: str) -> None:
    assert main(["new", str(particle_set.star), str(tmp_path / "run"), "--prior", word]) == 0
    assert Run.open(tmp_path / "run").config.encoder.prior == word


def test_new_takes_the_name_of_downloaded_weights(
    tmp_path: Path, particle_set: Any, capsys: Capture
) -> None:
    words = ["new", str(particle_set.star), str(tmp_path / "run"), "--prior", "cryo-ief"]
    assert main(words) == 1
    assert "run `cryodeco prior download cryo-ief`" in capsys.readouterr().err
    folder = official.default_folder("cryo-ief")
    folder.mkdir(parents=True)
    (folder / official.FILE).touch()
    assert main(words) == 0
    assert Run.open(tmp_path / "run").config.encoder.prior == str(folder)
