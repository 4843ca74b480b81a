"""A map turned, moved and mirrored by scipy is found again; boxes and voxels may differ."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from napari_cryodeco.cli import main
from napari_cryodeco.explore.alignment import align_maps
from napari_cryodeco.explore.volumes import Volume
from napari_cryodeco.imaging.resample import resample
from napari_cryodeco.runs.store import read_mrc, write_mrc

VOXEL = 4.0


def blobs(box: int, voxel: float, seed: int = 0) -> np.ndarray:
    """A lopsided cloud of Gaussians of 7 Å in a box of any sampling, zyx."""
    points = np.random.default_rng(seed).uniform(-1, 1, (25, 3)) * (34, 30, 24)
    axis = (np.arange(box) - box // 2) * voxel
    lines = np.exp(-((axis - points[..., None]) ** 2) / (2 * 7.0**2))
    return np.einsum("ax,ay,az->zyx", lines[:, 0], lines[:, 1], lines[:, 2]).astype(np.float32)


def moved(data: np.ndarray, turn: Rotation, shift: np.ndarray, mirrored: bool) -> np.ndarray:
    """What is at x goes to R(±x) + shift: scipy asks where each new voxel comes from."""
    back = turn.as_matrix().T[::-1, ::-1] * (-1 if mirrored else 1)
    middle = np.full(3, len(data) // 2)
    return affine_transform(data, back, middle - back @ (middle + shift[::-1]), order=5)


@pytest.mark.parametrize(("seed", "mirrored"), [(0, False), (1, True)])
def test_the_planted_motion_is_found_to_a_degree_and_a_third_of_a_voxel(
    seed: int, mirrored: bool
) -> None:
    data = blobs(32, VOXEL)
    turn = Rotation.random(random_state=seed)
    shift = np.array([2.3, -1.6, 0.7])
    reference = moved(data, turn, shift, mirrored)
    noise = np.random.default_rng(3).standard_normal(reference.shape)
    reference = (reference + 0.2 * reference.std() * noise).astype(np.float32)
    found = align_maps(Volume(data, VOXEL), Volume(reference, VOXEL))
    assert found.frame.mirrored is mirrored
    error = Rotation.from_matrix(found.frame.rotation) * turn.inv()
    assert np.degrees(error.magnitude()) < 1
    assert np.linalg.norm(found.frame.shift / VOXEL - shift) < 0.3
    assert found.before < 0.4 < found.after
    inner = np.corrcoef(found.volume.data.ravel(), reference.ravel())[0, 1]
    assert inner > 0.97


def test_another_box_and_voxel_size_are_brought_to_the_references() -> None:
    turn, shift = Rotation.from_rotvec([0.5, -0.9, 0.4]), np.array([1.5, 2.0, -1.0])
    reference = moved(blobs(32, VOXEL), turn, shift, False).astype(np.float32)
    found = align_maps(Volume(blobs(54, 2.5), 2.5), Volume(reference, VOXEL))
    assert found.volume.data.shape == reference.shape
    assert found.volume.voxel_size == VOXEL
    error = Rotation.from_matrix(found.frame.rotation) * turn.inv()
    assert np.degrees(error.magnitude()) < 1
    np.testing.assert_allclose(found.frame.shift / VOXEL, shift, atol=0.3)
    np.testing.assert_allclose(found.volume.data, reference, atol=0.05 * reference.max())


@pytest.mark.parametrize(("box", "voxel"), [(32, 4.0), (64, 2.0), (40, 3.2), (26, 5.0), (48, 4.0)])
def test_resampling_draws_the_same_density(box: int, voxel: float) -> None:
    """The blobs are wide enough for the coarsest grid: each grid holds the formula's values."""
    data = torch.from_numpy(blobs(32, VOXEL))
    again = resample(data, VOXEL, box, voxel).numpy()
    expected = blobs(box, voxel)
    axis = (np.arange(box) - box // 2) * voxel
    inside = (axis >= -64) & (axis <= 60)
    kept = np.ix_(inside, inside, inside)
    np.testing.assert_allclose(again[kept], expected[kept], atol=0.02 * expected.max())


def test_a_coarser_grid_holds_nothing_that_it_cannot() -> None:
    wave = np.cos(2 * np.pi * 12 / 32 * np.arange(32)).astype(np.float32)
    data = torch.from_numpy(np.broadcast_to(wave, (32, 32, 32)).copy())
    assert resample(data, 1.0, 16, 2.0).abs().max() < 1e-5  # Nyquist of the new grid: 8 of 32
    with pytest.raises(ValueError, match="must be a cube"):
        resample(data[:8], 1.0, 16, 2.0)


def test_the_command_writes_the_map_and_says_what_it_did(tmp_path, capsys) -> None:
    data = blobs(32, VOXEL)
    turn = Rotation.from_rotvec([0.0, 0.0, np.radians(40)])
    reference = moved(data, turn, np.array([1.0, 0.0, -2.0]), False)
    write_mrc(tmp_path / "map.mrc", data, VOXEL)
    write_mrc(tmp_path / "reference.mrc", reference, VOXEL)
    words = ["align", tmp_path / "map.mrc", "--to", tmp_path / "reference.mrc"]
    words = [str(word) for word in [*words, "-o", tmp_path / "out.mrc"]]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert (
        re.search(r"Turned by (39\.[89]|40\.[012])°", said)
        and "the same hand" in said
        and "Mean FSC" in said
    )
    written, voxel = read_mrc(tmp_path / "out.mrc")
    assert voxel == pytest.approx(VOXEL)
    np.testing.assert_allclose(written, reference, atol=0.05 * reference.max())
    assert main(words) == 1
    assert "exists already" in capsys.readouterr().err


def test_maps_that_cannot_be_aligned_are_named() -> None:
    good = Volume(blobs(16, 8.0), 8.0)
    for bad, words in (
        (Volume(np.zeros((16, 16, 16), np.float32), 8.0), "flat"),
        (Volume(np.ones((16, 16, 8), np.float32), 8.0), "even cube"),
        (Volume(good.data, 0.0), "without voxel size"),
    ):
        with pytest.raises(ValueError, match=words):
            align_maps(bad, good)


def test_aligning_loads_no_triton() -> None:
    """Its LLVM and that of Mesa's software OpenGL kill the window's process."""
    program = (
        "import sys, numpy as np;"
        "from napari_cryodeco.explore.alignment import align_maps;"
        "from napari_cryodeco.explore.volumes import Volume;"
        "maps = [Volume(m, 8.0) for m in np.random.default_rng(0).random((2, 12, 12, 12))];"
        "align_maps(*maps);"
        "sys.exit('triton' in sys.modules or 'torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
