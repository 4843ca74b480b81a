"""``cryodeco pretrain``: settings that last, wrong inputs that leave nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from napari_cryodeco.cli import main
from napari_cryodeco.model.weights import read_weights
from napari_cryodeco.pretrain_config import LIMITS, PretrainConfig
from napari_cryodeco.runs.pretraining import read_settings
from napari_cryodeco.runs.store import read_header

SHAPE = "shape={widths: [8, 8, 16], depths: [1, 1, 1], dim: 16}"
TINY = ("--batch", "8", "--device", "cpu", "--precision", "fp32", "--threads", "1", "--set", SHAPE)
Capture = pytest.CaptureFixture[str]


def call(*words: object) -> int:
    return main(["pretrain", *map(str, words)])


def fails(capsys: Capture, *words: object) -> str:
    """Call, expect one sentence on standard error, and return it."""
    capsys.readouterr()
    assert call(*words) == 1
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert captured.out == ""
    return lines[0]


def test_begun_once_it_goes_on_by_its_folder_alone(
    tmp_path: Path, particle_set: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.chdir(particle_set.folder.parent)
    star = Path(particle_set.folder.name) / "particles.star"
    probe = ("--probe", particle_set.folder.name)
    assert call(out, "--sets", star, star, *probe, "--steps", "2", "--seed", "9", *TINY) == 0
    said = capsys.readouterr().out
    assert str(out / "prior.safetensors") in said and "2 steps in" in said and "k-NN" in said
    config = read_settings(out)
    assert config is not None
    assert (config.objective, config.seed, config.batch) == ("moco", 9, 8)
    assert config.sets == (particle_set.star, particle_set.star)  # absolute: any folder will do
    monkeypatch.chdir(tmp_path)
    assert call(out, "--steps", "3") == 0
    assert call(out) == 0  # nothing is left to do
    assert read_header(out / "state.safetensors")["step"] == 3
    assert "begun with seed 9, not 10" in fails(capsys, out, "--seed", "10")


def test_simulated_species_need_no_particles(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call(out, "--synthetic", "6", "--steps", "1", *TINY[2:], "--batch", "32") == 0
    assert read_settings(out).objective == PretrainConfig().objective  # type: ignore[union-attr]
    assert (out / "prior.safetensors").is_file()
    more = ("--begin-from", out / "prior.safetensors", "--synthetic", "6", "--steps", "1")
    assert call(tmp_path / "more", *more, *TINY[2:-2], "--batch", "32") == 0  # of the same shape
    header = read_weights(tmp_path / "more" / "prior.safetensors").header
    assert header["begun_from"] == read_weights(out / "prior.safetensors").sha256
    assert header["shape"]["widths"] == [8, 8, 16]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--sets", "nowhere.star"], "nowhere.star is missing"),
        (["--sets", "SET", "--objective", "identity"], "sees no particle sets"),
        (["--objective", "moco"], "nothing to learn from"),
        (["--sets", "SET", "--batch", "64"], "60 particles, fewer than a batch of 64"),
        (["--sets", "SET", "--probe", "nowhere"], "nowhere is no labelled set"),
        (["--structures", "nowhere"], "nowhere"),
        (["--synthetic", "4", "--begin-from", "nowhere"], "prior nowhere: no such folder"),
        (["--device", "gpu"], "device"),
        (["--batch", "1"], "batch"),
        (["--minutes", "-1"], "minutes"),
        (["--set", "sped=3"], "sped"),
        (["--set", "steps"], "NAME=VALUE"),
    ],
)
def test_wrong_input_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, particle_set: Any, capsys: Capture, words: list[str], says: str
) -> None:
    words = [str(particle_set.star) if word == "SET" else word for word in words]
    sentence = fails(capsys, tmp_path / "out", *words, "--set", SHAPE)
    assert says in sentence
    assert not (tmp_path / "out").exists()


def test_other_peoples_folders_are_left_alone(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "thesis.pdf").touch()
    assert "holds thesis.pdf: choose a new folder" in fails(capsys, tmp_path, "--synthetic", "4")
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.pdf"]


def test_damaged_settings_are_named(tmp_path: Path, capsys: Capture) -> None:
    for text, says in (("{", "is not YAML"), ("", "holds no settings"), ("stps: 3", "stps")):
        (tmp_path / "pretrain.yaml").write_text(text)
        sentence = fails(capsys, tmp_path)
        assert "pretrain.yaml" in sentence and says in sentence


def test_every_setting_is_explained_and_limits_are_settings() -> None:
    assert set(PretrainConfig.model_fields) > LIMITS
    for name, field in PretrainConfig.model_fields.items():
        assert field.title, name
        assert field.description and field.description.endswith("."), name


def test_settings_survive_yaml() -> None:
    config = PretrainConfig.of(
        {"sets": ["a.star"], "objective": "moco", "shape": {"widths": [8, 16]}, "minutes": 3}, "x"
    )
    assert PretrainConfig.from_yaml(config.to_yaml(), "x") == config
    assert yaml.safe_load(config.to_yaml())["sets"] == ["a.star"]


def test_the_settings_load_no_torch() -> None:
    code = (
        "import sys, napari_cryodeco.commands.pretraining;"
        "sys.exit(str({'torch', 'timm', 'sklearn'} & set(sys.modules)))"
    )
    source = Path(sys.modules[main.__module__].__file__ or "").parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == "set()"
