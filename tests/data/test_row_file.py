"""Rows read from a file against the array that was written, and what a short file is told."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_cryodeco.data.row_file import RowFile
from napari_cryodeco.data.stored_images import StoredImages

VALUES = np.random.default_rng(2).normal(size=(300, 37)).astype(np.float16)
ROWS = {
    "none": np.arange(0),
    "in order": np.arange(40, 250),
    "scattered": np.random.default_rng(1).permutation(300),
    "again": np.array([7, 7, 8, 9, 7, 299, 0]),
    "backwards": np.arange(299, -1, -1),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", VALUES)
    return tmp_path / "a.npy"


@pytest.mark.parametrize("system", ["with preadv", "without"])
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS.keys())
@pytest.mark.parametrize("count", [None, 1, 20, 37, 99])
def test_rows_are_those_of_the_array(
    path: Path,
    rows: np.ndarray,
    count: int | None,
    system: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if system == "without":
        monkeypatch.delattr(os, "preadv", raising=False)
    file = RowFile(path, VALUES.dtype, np.load(path, mmap_mode="r").offset, 37)
    assert np.array_equal(file.read(rows, count), VALUES[rows, :count])


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="reads through a map")
def test_a_file_that_ends_too_early_is_told(path: Path) -> None:
    file = RowFile(path, VALUES.dtype, 128, 37)
    os.truncate(path, 128 + 37 * 2 * 100)
    assert len(file.read(np.arange(100))) == 100
    for rows in (np.array([100]), np.arange(300)[::-1]):
        with pytest.raises(ValueError, match=r"a.npy ends within row \d+: it was cut off"):
            file.read(rows)


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_fork_reads_too(path: Path) -> None:
    images, rows = StoredImages(path), torch.arange(299, -1, -1)
    expected = images[rows]  # starts the threads that a fork has not
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.equal(images[rows], expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_stored_images_are_indexed_as_a_tensor_is(path: Path) -> None:
    images, tensor = StoredImages(path), torch.from_numpy(VALUES)
    rows = torch.tensor([299, 4, 4, 17])
    assert images.shape == tensor.shape and len(images) == 300
    assert images.nbytes == VALUES.nbytes
    for index in (rows, slice(280, 400), slice(None), (rows, slice(9)), (slice(5), slice(None, 2))):
        assert torch.equal(images[index], tensor[index])
    for wrong in (torch.tensor([300]), torch.tensor([-1]), (rows, slice(3, 5))):
        with pytest.raises(IndexError):
            images[wrong]


@pytest.mark.parametrize("part", [slice(None), slice(40, 90), slice(250, None), slice(299, 400)])
def test_a_part_of_the_rows_is_counted_from_its_first(path: Path, part: slice) -> None:
    images, tensor = StoredImages(path, part), torch.from_numpy(VALUES)[part]
    assert (images.shape, images.nbytes) == (tensor.shape, tensor.nbytes)
    assert torch.equal(images[:], tensor)
    assert torch.equal(images[torch.tensor([len(tensor) - 1]), :5], tensor[-1:, :5])
    with pytest.raises(IndexError):
        images[torch.tensor([len(tensor)])]


def test_closed_with_its_object(path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no list of open files here")
    before = len(os.listdir("/proc/self/fd"))
    files = [RowFile(path, VALUES.dtype, 128, 37) for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) == before + 5
    del files
    assert len(os.listdir("/proc/self/fd")) == before
