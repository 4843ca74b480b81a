"""A whole run exported: read back with other programs' readers, row by row."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
import torch

from napari_cryodeco.data.read import read_particles
from napari_cryodeco.explore import landscape
from napari_cryodeco.explore.exporting import export_maps, export_run
from napari_cryodeco.explore.volumes import VolumeDecoder, VolumeRequest


@pytest.fixture
def exported(planted_run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(planted_run, tmp_path_factory.mktemp("export") / "out")


def test_everything_is_there(exported: Path) -> None:
    names = sorted(str(path.relative_to(exported)) for path in exported.rglob("*"))
    assert names == [
        "README.txt",
        "latents.npy",
        "maps",
        "maps/class_001.mrc",
        "maps/class_002.mrc",
        "particles.star",
    ]


def test_row_i_is_row_i_of_the_input(exported: Path, planted_run, particle_set) -> None:
    latents = np.load(exported / "latents.npy", allow_pickle=False)
    np.testing.assert_array_equal(latents, planted_run.epoch().latents())
    before = starfile.read(particle_set.star_with_poses)
    after = starfile.read(exported / "particles.star")
    assert len(after["particles"]) == len(particle_set) == len(latents)
    kept = [name for name in before["particles"] if "Defocus" in name]
    assert kept
    for name in kept:
        np.testing.assert_allclose(after["particles"][name], before["particles"][name])
    assert after["optics"].equals(before["optics"])


def test_classes_and_posteriors_are_those_of_the_clustering(
    exported: Path, planted_run, particle_set
) -> None:
    table = starfile.read(exported / "particles.star")["particles"]
    clusters = landscape.latest_clustering(planted_run.paths.views, 1)
    np.testing.assert_array_equal(table["rlnClassNumber"], clusters.labels + 1)
    np.testing.assert_allclose(
        table["rlnMaxValueProbDistribution"], clusters.posteriors.max(1), atol=1e-5
    )
    # the planted clusters lie at 0 and 4 along the first axis: class 2 is the second species
    np.testing.assert_array_equal(table["rlnClassNumber"] - 1, particle_set.labels)


def test_poses_come_back_as_they_are(exported: Path, planted_run) -> None:
    again = read_particles(exported / "particles.star")
    poses = planted_run.epoch().poses()
    torch.testing.assert_close(again.poses.rotations, poses.rotations, atol=1e-5, rtol=0)
    torch.testing.assert_close(again.poses.shifts, poses.shifts, atol=1e-4, rtol=0)
    assert again.stacks[0].resolve() == planted_run.particles.stacks[0].resolve()


def test_maps_are_decoded_at_the_mean_of_their_class(exported: Path, planted_run) -> None:
    table = starfile.read(exported / "particles.star")["particles"]
    latents = np.load(exported / "latents.npy")
    decoder = VolumeDecoder(planted_run.epoch().field_path)
    for number in (1, 2):
        centre = latents[table["rlnClassNumber"] == number].mean(0)
        expected = decoder.decode(VolumeRequest(centre))
        with mrcfile.open(exported / "maps" / f"class_{number:03d}.mrc") as mrc:
            scale = np.abs(expected.data).max()
            np.testing.assert_allclose(mrc.data, expected.data, atol=1e-3 * scale)
            assert mrc.voxel_size.x == pytest.approx(planted_run.geometry.pixel_size)


def test_the_readme_counts(exported: Path, particle_set) -> None:
    text = (exported / "README.txt").read_text()
    assert f"Particles: {len(particle_set)}" in text
    assert "class   1:       30 particles (50.0%)" in text


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(
    planted_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("precious")
    with pytest.raises(FileExistsError, match="exists already"):
        export_run(planted_run, tmp_path / "mine")
    with pytest.raises(FileExistsError, match="exists already"):
        export_maps(planted_run, np.zeros((1, 4)), tmp_path / "mine")

    def cancel(done: int, of: int) -> None:
        if done == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        export_run(planted_run, tmp_path / "out", progress=cancel)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "file"]


def test_maps_alone(planted_run, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    centres = planted_run.epoch().latents()[:3]
    paths = export_maps(planted_run, centres, tmp_path / "maps", lambda *c: calls.append(c))
    assert [path.name for path in paths] == [f"class_{i:03d}.mrc" for i in (1, 2, 3)]
    assert all(path.is_file() for path in paths) and calls == [(1, 3), (2, 3), (3, 3)]
