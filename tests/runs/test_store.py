from __future__ import annotations

import errno
import os
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from napari_cryodeco.atomic import replacing, replacing_folder, sweep
from napari_cryodeco.runs import store


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    tensors = {
        "half": torch.randn(3, 4).half(),
        "count": torch.tensor(7),
        "view": torch.arange(12).reshape(3, 4).T,  # not contiguous
    }
    store.write_tensors(tmp_path / "a.safetensors", tensors, {"unit": 3, "name": "Å"})
    back, header = store.read_tensors(tmp_path / "a.safetensors")
    assert header == {"unit": 3, "name": "Å"}
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_no_tensors_still_have_a_header(tmp_path: Path) -> None:
    store.write_tensors(tmp_path / "a.safetensors", {}, {"finished": 1})
    assert store.read_tensors(tmp_path / "a.safetensors") == ({}, {"finished": 1})


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(RuntimeError), replacing(file) as part:
        part.write_text("half")
        raise RuntimeError
    assert file.read_text() == "old"
    assert names(tmp_path) == {"a.txt"}


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), replacing_folder(tmp_path / "out") as part:
        (part / "a").write_text("half")
        raise RuntimeError
    assert names(tmp_path) == set()


def test_only_the_leftovers_of_killed_writers_are_swept(tmp_path: Path) -> None:
    for name in (".mine.tmp", ".x.tmp.txt", "a.12345678.tmp", ".vimrc", "b.txt"):
        (tmp_path / name).touch()
    kept = names(tmp_path)
    (tmp_path / ".images.0a1b2c3d.tmp.npy").touch()
    (tmp_path / ".0003.0a1b2c3d.tmp").mkdir()
    (tmp_path / ".0003.0a1b2c3d.tmp" / "field.safetensors").touch()
    sweep(tmp_path, tmp_path / "nothing")
    assert names(tmp_path) == kept


def test_a_folder_is_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(FileExistsError, match="exists already"), replacing_folder(tmp_path / "out"):
        pass
    assert names(tmp_path / "out") == {"mine"}
    with replacing_folder(tmp_path / "out", overwrite=True) as part:
        (part / "new").touch()
    assert names(tmp_path / "out") == {"new"}
    assert names(tmp_path) == {"out"}


def test_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"a\.npy: no space is left on this disk; free some"),
        replacing(tmp_path / "a.npy"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == set()


def test_full_disk_inside_safetensors_is_the_same_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(tensors: object, path: Path, metadata: object) -> None:
        Path(path).write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")  # its own words

    monkeypatch.setattr(store, "save_file", fill_the_disk)
    with pytest.raises(OSError, match="no space is left on this disk"):
        store.write_tensors(tmp_path / "a.safetensors", {"x": torch.zeros(3)})
    assert names(tmp_path) == set()


def test_maps_have_their_voxel_size_and_origin(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).normal(size=(6, 6, 6)).astype(np.float32)
    store.write_mrc(tmp_path / "a.mrc", torch.from_numpy(volume), 3.25)
    with mrcfile.open(tmp_path / "a.mrc") as mrc:
        assert mrc.is_volume()
        assert [float(mrc.voxel_size[axis]) for axis in "xyz"] == [3.25] * 3
        assert [float(mrc.header.origin[axis]) for axis in "xyz"] == [0] * 3
        assert mrc.data.dtype == np.float32
    back, pixel_size = store.read_mrc(tmp_path / "a.mrc")
    assert pixel_size == 3.25
    np.testing.assert_array_equal(back, volume)
    assert mrcfile.validate(tmp_path / "a.mrc")


def test_stacks_are_stacks(tmp_path: Path) -> None:
    store.write_stack(tmp_path / "a.mrcs", np.zeros((5, 8, 8)), 2.0)
    with mrcfile.open(tmp_path / "a.mrcs") as mrc:
        assert mrc.is_image_stack()
        assert float(mrc.voxel_size.x) == 2.0


def test_a_map_without_a_pixel_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        store.write_mrc(tmp_path / "a.mrc", np.zeros((4, 4, 4)), 0.0)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    with pytest.raises(ValueError, match=r"a\.safetensors is no readable safetensors file"):
        store.read_tensors(tmp_path / "a.safetensors")
