"""The working copy: killed and gone on with, damaged and repaired, its stacks changed."""

from __future__ import annotations

import binascii
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_cryodeco.data import working_copy
from napari_cryodeco.data.copy_record import (
    check_size,
    damaged_blocks,
    part_path,
    read_record,
    record_path,
)
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.read import CtfOptions, read_particles
from napari_cryodeco.data.stack import ParticleStack
from napari_cryodeco.data.working_copy import repair, write_working_copy

COUNT, BLOCK = 110, 32  # four blocks, the last of 14


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 32 images, read in batches of 16."""
    monkeypatch.setattr(working_copy, "BLOCK", BLOCK)
    batches = ParticleStack.batches

    def few(self: ParticleStack, start: int, stop: int):
        for first in range(start, stop, 16):
            yield from batches(self, first, min(first + 16, stop))

    monkeypatch.setattr(ParticleStack, "batches", few)


@pytest.fixture
def noise(tmp_path: Path, stack_writer: Callable[..., Path]) -> Particles:
    values = np.random.default_rng(0).normal(5.0, 3.0, (COUNT, 16, 16)).astype(np.float32)
    return read_particles(
        stack_writer(tmp_path / "noise.mrcs", values, 2.0), ctf_options=CtfOptions(15000)
    )


def flip(path: Path, row: int) -> None:
    """Change one bit of an image of the copy."""
    record = read_record(path)
    assert record is not None
    with path.open("r+b") as file:
        file.seek(record.offset(row) + 5)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("place", [16, 48, 80, 110])
def test_killed_and_gone_on_with_equals_unkilled(
    noise: Particles, tmp_path: Path, place: int
) -> None:
    whole, killed = tmp_path / "whole.npy", tmp_path / "killed.npy"
    geometry = write_working_copy(noise, 12, whole)

    def kill(done: int, of: int) -> None:
        if done == place:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        write_working_copy(noise, 12, killed, kill)
        os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert not killed.exists()
    seen: list[int] = []
    assert write_working_copy(noise, 12, killed, lambda done, of: seen.append(done)) == geometry
    assert seen[0] == min(
        16 + BLOCK * ((place - 1) // BLOCK), COUNT
    )  # nothing before that block was read
    assert killed.read_bytes() == whole.read_bytes()
    assert read_record(killed) == read_record(whole)
    assert not part_path(killed).exists()


def test_killed_before_the_last_name_is_given(noise: Particles, tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    write_working_copy(noise, 12, path)
    expected = path.read_bytes()
    path.rename(part_path(path))
    write_working_copy(noise, 12, path, pytest.fail)
    assert path.read_bytes() == expected
    write_working_copy(noise, 12, path, pytest.fail)  # all is there: nothing is read


@pytest.mark.parametrize("what", ["stack", "box", "rows", "contrast", "part"])
def test_a_begun_copy_of_something_else_is_not_gone_on_with(
    noise: Particles, tmp_path: Path, what: str
) -> None:
    path, asked, box = tmp_path / "images.npy", noise, 12

    def stop(done: int, of: int) -> None:
        if done > 2 * BLOCK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_working_copy(noise, box, path, stop)
    if what == "stack":
        with noise.stacks[0].open("r+b") as file:
            file.seek(1024)
            file.write(np.full(256, 7.0, np.float32).tobytes())
        os.utime(noise.stacks[0], ns=(1, 1))
    elif what == "box":
        box = 16
    elif what == "rows":
        asked = noise[np.arange(COUNT)[::-1].copy()]
    elif what == "contrast":
        asked = replace(noise, contrast="dark")
    else:
        part_path(path).write_bytes(b"short")
    write_working_copy(asked, box, path)
    anew = tmp_path / "anew.npy"
    write_working_copy(asked, box, anew)
    assert path.read_bytes() == anew.read_bytes()


@pytest.mark.parametrize(("row", "block"), [(0, 0), (63, 1), (64, 2), (109, 3)])
def test_a_flipped_bit_is_found_in_its_block_and_repaired(
    noise: Particles, tmp_path: Path, row: int, block: int
) -> None:
    path = tmp_path / "images.npy"
    write_working_copy(noise, 12, path)
    expected, record = path.read_bytes(), read_record(path)
    assert record is not None and damaged_blocks(path, record) == []
    flip(path, row)
    check_size(path)  # the quick check cannot see it
    assert damaged_blocks(path, record) == [block]
    assert repair(noise, path) == []
    assert path.read_bytes() == expected


def test_a_copy_that_was_cut_off_is_told_and_repaired(noise: Particles, tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    write_working_copy(noise, 12, path)
    expected = path.read_bytes()
    for damage in (expected[:-700], expected + b"\0", b"garbage" + expected[7:], b""):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=r"images.npy .*: `cryodeco check .* --repair`"):
            check_size(path)
        assert repair(noise, path) == []
        assert path.read_bytes() == expected


def test_what_the_stacks_no_longer_hold_stays_damaged(noise: Particles, tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    write_working_copy(noise, 12, path)
    record = read_record(path)
    assert record is not None and record.changed_source() == ""
    with noise.stacks[0].open("r+b") as file:
        file.seek(1024 + 4 * 16 * 16 * 40)
        file.write(np.full(256, 7.0, np.float32).tobytes())
    assert record.changed_source() == f"{noise.stacks[0]} has changed"
    flip(path, 40)
    flip(path, 100)
    assert repair(noise, path) == [1]
    noise.stacks[0].unlink()
    assert record.changed_source() == f"{noise.stacks[0]} is gone"


def test_a_copy_of_an_older_version_has_no_record(noise: Particles, tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    write_working_copy(noise, 12, path)
    record_path(path).unlink()
    check_size(path)
    assert read_record(path) is None
    with pytest.raises(ValueError, match=r"no whole list of checksums"):
        repair(noise, path)
    record_path(path).write_text('{"count": 3}')
    with pytest.raises(ValueError, match=r"images.json is no record of a working copy"):
        read_record(path)


def test_the_checksum_is_the_crc_of_the_zip_format(noise: Particles, tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    write_working_copy(noise, 12, path)
    record = read_record(path)
    assert record is not None
    rows = np.load(path)[BLOCK : 2 * BLOCK]
    assert record.checksums[1] == binascii.crc32(rows.tobytes())


def test_a_stack_that_is_gone_is_told(noise: Particles, tmp_path: Path) -> None:
    noise.stacks[0].unlink()
    with pytest.raises(FileNotFoundError, match=r"noise.mrcs is missing: put this stack"):
        write_working_copy(noise, 12, tmp_path / "images.npy")
