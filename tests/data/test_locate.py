"""Stacks are found where users keep them, and never confused."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_cryodeco.data.locate import locate


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_beside_the_file_and_up_its_parents(tmp_path: Path) -> None:
    source = tmp_path / "p" / "Refine3D" / "job1" / "data.star"
    beside = touch(source.with_name("a.mrcs"))
    root = touch(tmp_path / "p" / "Extract" / "b.mrcs")
    found = locate(["a.mrcs", "Extract/b.mrcs", str(root)], source)
    assert found == {"a.mrcs": beside, "Extract/b.mrcs": root, str(root): root}


def test_the_given_folder_comes_first(tmp_path: Path) -> None:
    source = tmp_path / "data.star"
    touch(tmp_path / "Extract" / "a.mrcs")
    given = touch(tmp_path / "elsewhere" / "Extract" / "a.mrcs")
    assert locate(["Extract/a.mrcs"], source, tmp_path / "elsewhere")["Extract/a.mrcs"] == given


def test_leading_folders_may_be_missing(tmp_path: Path) -> None:
    source = tmp_path / "data.star"
    given = touch(tmp_path / "scratch" / "job7" / "a.mrcs")
    names = ["Extract/job7/a.mrcs", "/old/machine/Extract/job7/a.mrcs"]
    for name in names:
        assert locate([name], source, tmp_path / "scratch") == {name: given}


def test_equal_base_names_of_two_folders_stay_apart(tmp_path: Path) -> None:
    source = tmp_path / "data.star"
    a, b = touch(tmp_path / "A" / "x.mrcs"), touch(tmp_path / "B" / "x.mrcs")
    assert locate(["A/x.mrcs", "B/x.mrcs"], source) == {"A/x.mrcs": a, "B/x.mrcs": b}


def test_two_names_that_would_meet_in_one_file_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "data.star"
    touch(tmp_path / "x.mrcs")
    with pytest.raises(ValueError, match=r"A/x.mrcs and B/x.mrcs both lead to .*--datadir"):
        locate(["A/x.mrcs", "B/x.mrcs"], source)
    touch(tmp_path / "A" / "x.mrcs")
    with pytest.raises(ValueError, match=r"both lead to"):  # B/x.mrcs is gone, A's is not for it
        locate(["A/x.mrcs", "B/x.mrcs"], source, tmp_path / "A")


def test_a_linked_star_counts_from_the_project_it_lies_in(tmp_path: Path) -> None:
    real = touch(tmp_path / "p" / "Refine3D" / "data.star")
    stack = touch(tmp_path / "p" / "Extract" / "a.mrcs")
    link = tmp_path / "desk" / "data.star"
    link.parent.mkdir()
    link.symlink_to(real)
    assert locate(["Extract/a.mrcs"], link) == {"Extract/a.mrcs": stack}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"names the stack A/x.mrcs.*--datadir"):
        locate(["A/x.mrcs"], tmp_path / "data.star")
    with pytest.raises(FileNotFoundError, match=r"no is no folder"):
        locate(["A/x.mrcs"], tmp_path / "data.star", tmp_path / "no")
