"""`cryodeco path`, and `cryodeco movie --path`, as they are typed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_cryodeco.cli import main
from napari_cryodeco.explore import trajectory


def test_a_path_is_made_kept_and_filmed(planted_run, tmp_path, capsys) -> None:
    z = planted_run.epoch().latents()
    first = [str(row) for row in np.flatnonzero(z[:, 0] < 2)[:3]]
    assert main(["path", str(planted_run.path), "--rows", *first, "--frames", "4", "--loop"]) == 0
    file = next(planted_run.paths.trajectories.glob("*.json"))
    said = capsys.readouterr()
    assert str(file) in said.out and said.out.count("particles within") == 4
    path = trajectory.load(file)
    np.testing.assert_array_equal(path.points[0], z[int(first[0])])
    recipe = json.loads(file.read_text())["recipe"]
    assert recipe["route"]["kind"] == "graph" and recipe["route"]["closed"]
    movie = tmp_path / "loop"
    assert main(["movie", str(planted_run.path), "--path", str(file), "-o", str(movie)]) == 0
    assert len(list(movie.glob("*.mrc"))) == 4
    again = tmp_path / "again.json"
    assert main(["path", str(planted_run.path), "--again", str(file), "-o", str(again)]) == 0
    np.testing.assert_array_equal(trajectory.load(again).points, path.points)


def test_a_line_between_islands_says_which_frames_are_made_up(planted_run, capsys) -> None:
    z = planted_run.epoch().latents()
    rows = [str(int(np.argmin(z[:, 0]))), str(int(np.argmax(z[:, 0])))]
    command = ["path", str(planted_run.path), "--rows", *rows, "--frames", "9"]
    assert main([*command, "--join", "line"]) == 0
    assert "Hardly any particles support frames" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "one of --rows"),
        (["--rows", "0", "999"], "row 999: "),
        (["--rows", "3"], "at least two points"),
        (["--clusters", "1", "2"], "cluster"),
    ],
)
def test_what_cannot_be_is_one_sentence(planted_run, capsys, options, words) -> None:
    assert main(["path", str(planted_run.path), *options]) != 0
    said = capsys.readouterr().err.strip()
    assert words in said and "Traceback" not in said
    assert not list(planted_run.paths.trajectories.glob("*"))


def test_a_path_of_another_run_is_refused(planted_run, tmp_path, capsys) -> None:
    file = tmp_path / "other.json"
    trajectory.save(trajectory.through(np.eye(2), 5), file)
    output = ["-o", str(tmp_path / "x.gif")]
    assert main(["movie", str(planted_run.path), "--path", str(file), *output]) == 1
    assert "points of 2 numbers, but z" in capsys.readouterr().err
