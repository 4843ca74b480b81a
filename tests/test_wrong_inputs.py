"""Each wrong input ends in one clear sentence that names file, row and cure, and leaves nothing."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from napari_cryodeco import atomic
from napari_cryodeco.cli import main
from napari_cryodeco.runs.progress import read_status

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, particle_set: Any) -> Path:
    """A copy of the particle set that may be spoilt."""
    shutil.copytree(particle_set.folder, tmp_path / "set")
    return tmp_path / "set"


def new(star: Path, run: Path, *options: str) -> int:
    return main(["new", str(star), str(run), *options])


def sentence(capsys: Capture) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def write_stack(path: Path, images: np.ndarray) -> None:
    with mrcfile.new(path, images.astype(np.float32), overwrite=True) as mrc:
        mrc.set_image_stack()
        mrc.voxel_size = 8.0


def without_column(star: Path, name: str) -> None:
    """Rename a column so that it is missing."""
    star.write_text(star.read_text().replace(f"_rln{name} ", f"_rlnNot{name} "))


def missing_stack(folder: Path) -> None:
    (folder / "particles.mrcs").unlink()


def row_beyond(folder: Path) -> None:
    star = folder / "particles.star"
    star.write_text(star.read_text().replace("000060@", "000061@"))


def odd_box(folder: Path) -> None:
    write_stack(folder / "particles.mrcs", np.random.default_rng(0).normal(size=(60, 21, 21)))


def not_square(folder: Path) -> None:
    write_stack(folder / "particles.mrcs", np.random.default_rng(0).normal(size=(60, 20, 24)))


def nan_image(folder: Path) -> None:
    with mrcfile.open(folder / "particles.mrcs", "r+") as mrc:
        mrc.data[59, 3, 4] = np.nan


def truncated(folder: Path) -> None:
    stack = folder / "particles.mrcs"
    os.truncate(stack, stack.stat().st_size - 1000)


def not_mrc(folder: Path) -> None:
    (folder / "particles.mrcs").write_text("not an image stack" * 200)


def no_defocus(folder: Path) -> None:
    without_column(folder / "particles.star", "DefocusU")


def no_images(folder: Path) -> None:
    without_column(folder / "particles.star", "ImageName")


def no_rows(folder: Path) -> None:
    star = folder / "particles.star"
    lines = [line for line in star.read_text().splitlines() if "@" not in line]
    star.write_text("\n".join(lines) + "\n")


def empty_file(folder: Path) -> None:
    (folder / "particles.star").write_text("")


TABLE: list[tuple[Callable[[Path], None], tuple[str, ...]]] = [
    (missing_stack, ("particles.star", "particles.mrcs", "--datadir")),
    (row_beyond, ("particles.star", "row 60", "61")),
    (odd_box, ("particles.mrcs", "21")),
    (not_square, ("particles.mrcs", "24", "20")),
    (nan_image, ("particles.star", "row 60", "NaN")),
    (truncated, ("particles.mrcs", "truncated", "59 of 60")),
    (not_mrc, ("particles.mrcs", "MRC")),
    (no_defocus, ("particles.star", "rlnDefocusU")),
    (no_images, ("particles.star", "rlnImageName")),
    (no_rows, ("particles.star",)),
    (empty_file, ("particles.star",)),
]


@pytest.mark.parametrize(("spoil", "words"), TABLE, ids=[spoil.__name__ for spoil, _ in TABLE])
def test_spoilt_particles(
    folder: Path,
    tmp_path: Path,
    capsys: Capture,
    spoil: Callable[[Path], None],
    words: tuple[str, ...],
) -> None:
    spoil(folder)
    assert new(folder / "particles.star", tmp_path / "run") == 1
    text = sentence(capsys)
    assert [word for word in words if word not in text] == [], text
    assert {entry.name for entry in tmp_path.iterdir()} == {"set"}


def test_cs_of_another_job(tmp_path: Path, capsys: Capture) -> None:
    exposures = np.zeros(3, dtype=[("uid", "u8"), ("micrograph_blob/path", "S40")])
    with (tmp_path / "exposures.cs").open("wb") as file:
        np.save(file, exposures)
    assert new(tmp_path / "exposures.cs", tmp_path / "run") == 1
    text = sentence(capsys)
    assert "exposures.cs" in text and "blob" in text
    assert not (tmp_path / "run").exists()


def test_a_pickle_is_not_opened(tmp_path: Path, capsys: Capture) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "a.npy").rename(tmp_path / "a.cs")
    assert new(tmp_path / "a.cs", tmp_path / "run") == 1
    assert "a.cs" in sentence(capsys)


def test_a_file_that_is_not_there(tmp_path: Path, capsys: Capture) -> None:
    assert new(tmp_path / "nothing.star", tmp_path / "run") == 1
    assert "nothing.star" in sentence(capsys)


def test_a_file_of_another_kind(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a.pdf").write_text("%PDF")
    assert new(tmp_path / "a.pdf", tmp_path / "run") == 1
    assert ".star" in sentence(capsys)


def test_a_bare_stack_without_ctf(particle_set: Any, tmp_path: Path, capsys: Capture) -> None:
    assert new(particle_set.stack, tmp_path / "run") == 1
    assert "defocus" in sentence(capsys)


def test_no_space_when_the_run_is_made(
    particle_set: Any, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "_sync", full)
    assert new(particle_set.star, tmp_path / "run") == 1
    assert "no space is left on this disk" in sentence(capsys)
    assert not list(tmp_path.iterdir())


def test_no_space_for_the_images(
    particle_set: Any, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert new(particle_set.star, tmp_path / "run") == 0
    capsys.readouterr()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    assert main(["train", str(tmp_path / "run")]) == 1
    text = sentence(capsys)
    assert "images.npy" in text and "disk" in text
    status = read_status(tmp_path / "run")
    assert status.state == "failed"
    assert text == f"cryodeco: {status.error}"  # the window says the same
    assert not (tmp_path / "run" / "images.npy").exists()


def read_only_place(tmp_path: Path) -> Path:
    place = tmp_path / "read-only"
    place.mkdir()
    place.chmod(0o555)
    if os.access(place, os.W_OK):  # root may write anywhere but here
        place = Path("/sys")
    if not place.is_dir():
        pytest.skip("no folder is read-only for this user")
    return place


def test_a_read_only_folder(particle_set: Any, tmp_path: Path, capsys: Capture) -> None:
    place = read_only_place(tmp_path)
    assert new(particle_set.star, place / "run") == 1
    text = sentence(capsys)
    assert str(place) in text and "read-only" in text
