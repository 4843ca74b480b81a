"""MRC stacks against mrcfile, and what a broken one is answered with."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from napari_cryodeco.data.mrc import read_header, write_header

TYPES = ["int8", "int16", "float32", "uint16", "float16"]


@pytest.mark.parametrize("kind", TYPES)
def test_every_mode_reads_as_mrcfile_wrote_it(tmp_path: Path, kind: str, stack_writer) -> None:
    values = np.random.default_rng(1).integers(0, 100, (3, 8, 12)).astype(kind)
    path = stack_writer(tmp_path / "a.mrcs", values, 1.25)
    header = read_header(path)
    assert (header.images, header.height, header.width) == values.shape
    assert header.pixel_size == pytest.approx(1.25)
    assert np.array_equal(header.open().read(np.arange(3)), values.reshape(3, -1))


@pytest.mark.parametrize("kind", TYPES)
def test_big_endian_stacks_read_the_same(tmp_path: Path, kind: str, stack_writer) -> None:
    values = np.random.default_rng(1).integers(0, 100, (3, 8, 8)).astype(kind)
    path = stack_writer(tmp_path / "little.mrcs", values)
    raw = path.read_bytes()
    words = np.frombuffer(raw[:224], "<i4").copy()
    words[52:54] = np.frombuffer(raw[208:216], ">i4")  # "MAP " and the stamp are bytes, not numbers
    swapped = words.astype(">i4").tobytes() + raw[224:1024]
    big = tmp_path / "big.mrcs"
    big.write_bytes(swapped + values.astype(values.dtype.newbyteorder(">")).tobytes())
    assert np.array_equal(read_header(big).open().read(np.arange(3)), values.reshape(3, -1))


def test_the_extended_header_is_stepped_over(tmp_path: Path) -> None:
    values = np.arange(2 * 8 * 8, dtype=np.float32).reshape(2, 8, 8)
    path = tmp_path / "a.mrcs"
    with mrcfile.new(path) as mrc:
        mrc.set_data(values)
        mrc.set_extended_header(np.zeros(7, dtype="V16"))
    assert read_header(path).offset == 1024 + 7 * 16
    assert np.array_equal(read_header(path).open().read(np.arange(2)), values.reshape(2, -1))


def test_a_stack_that_we_write_is_valid_to_mrcfile(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(4, 8, 8)).astype("<f4")
    path = tmp_path / "a.mrcs"
    with path.open("wb") as file:
        write_header(file, 4, 8, 1.5)
        file.write(values.tobytes())
    with mrcfile.open(path) as mrc:  # not permissive: raises on an odd header
        assert np.array_equal(mrc.data, values)
        assert mrc.voxel_size.x == pytest.approx(1.5)
        assert mrc.is_image_stack()


def test_a_truncated_stack_says_how_much_is_left(tmp_path: Path, images, stack_writer) -> None:
    path = stack_writer(tmp_path / "a.mrcs", images)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"a.mrcs is truncated: 5 of 6 images .* again"):
        read_header(path)


def test_other_files_are_no_stacks(tmp_path: Path, images, stack_writer) -> None:
    path = tmp_path / "a.mrcs"
    path.write_bytes(b"hello" * 300)
    with pytest.raises(ValueError, match=r"no MRC file"):
        read_header(path)
    path.write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"too few for an MRC header"):
        read_header(path)
    complex_stack = stack_writer(tmp_path / "c.mrcs", images.astype(np.complex64))
    with pytest.raises(ValueError, match=r"mode 4; convert"):
        read_header(complex_stack)
    with pytest.raises(FileNotFoundError, match=r"none.mrcs is missing"):
        read_header(tmp_path / "none.mrcs")
