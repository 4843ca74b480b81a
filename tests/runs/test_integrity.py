"""A run whose working images were damaged says so, on opening or when it is asked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from napari_cryodeco.cli import main
from napari_cryodeco.data.copy_record import record_path
from napari_cryodeco.runs.integrity import check_images, repair_images, source_warning
from napari_cryodeco.runs.run import Run


@pytest.fixture
def run(planted_run: Run, tmp_path: Path) -> Run:
    """A prepared run of our own, and a stack of our own that it was made from."""
    shutil.copytree(planted_run.path, tmp_path / "run")
    return Run.open(tmp_path / "run")


def damage(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte ^ 1]))


def test_damage_is_named_and_repaired(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    expected = run.paths.images.read_bytes()
    assert main(["check", str(run.path)]) == 0
    assert "60 images in 1 blocks are as they were written" in capsys.readouterr().out
    damage(run.paths.images)
    assert main(["check", str(run.path)]) == 1
    text = capsys.readouterr().err
    assert "block 1 of 1 (images 1 to 60) is damaged: `cryodeco check" in text
    assert len(text.strip().splitlines()) == 1
    assert main(["check", str(run.path), "--repair"]) == 0
    assert run.paths.images.read_bytes() == expected


def test_images_that_are_cut_off_do_not_open(run: Run) -> None:
    with run.paths.images.open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(ValueError, match=r"is cut off.*cryodeco check .* --repair"):
        run.stored_images()[:]
    repair_images(run)
    assert len(run.stored_images()[:]) == 60


def test_runs_of_an_older_version_open(run: Run) -> None:
    record_path(run.paths.images).unlink()
    assert len(run.stored_images()[:]) == 60
    assert "older version" in check_images(run)
    assert source_warning(run) == ""


def test_images_that_are_not_copied_yet(run: Run) -> None:
    run.paths.images.unlink()
    record_path(run.paths.images).unlink()
    with pytest.raises(ValueError, match=r"0 of 60 images are copied: `cryodeco train"):
        check_images(run)


def test_a_stack_that_changed_since_is_told(run: Run) -> None:
    assert source_warning(run) == ""
    record = record_path(run.paths.images)
    stack = run.particles.stacks[0]
    modified = str(stack.stat().st_mtime_ns)
    record.write_text(record.read_text().replace(modified, "12345"))
    assert source_warning(run).startswith(f"{stack} has changed since its images were copied: ")
    assert len(run.stored_images()[:]) == 60  # the copy is whole all the same
