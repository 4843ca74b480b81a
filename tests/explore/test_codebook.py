"""Codebooks: maps where particles are, the nearest at once, and never those of other latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from napari_cryodeco.cli import main
from napari_cryodeco.explore.codebook import (
    Codebook,
    load_codebook,
    make_codebook,
    points_over,
    save_codebook,
)
from napari_cryodeco.explore.projection import NO_LATENTS
from napari_cryodeco.explore.volumes import Volume, VolumeDecoder, VolumeRequest
from napari_cryodeco.imaging.resample import resample
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_mrc, write_tensors


def horseshoe(n: int = 3000) -> np.ndarray:
    """A bent motion: the middle of its PC plane is empty."""
    random = np.random.default_rng(0)
    angle = random.uniform(0, 1.5 * np.pi, n)
    arc = np.stack([np.cos(angle), np.sin(angle)], 1) * 5
    return (np.pad(arc, ((0, 0), (0, 2))) + random.normal(size=(n, 4)) * 0.1).astype(np.float32)


@pytest.fixture
def made(planted_run: Run) -> Codebook:
    return make_codebook(planted_run, centres=6, side=3, box=12)


def test_no_point_lies_where_no_particle_is() -> None:
    z = horseshoe()
    points = points_over(z, 20, 10)
    assert len(points) > 30
    distance, _ = cKDTree(z).query(points)
    assert distance.max() < 0.6
    assert np.linalg.norm(points, axis=1).min() > 4  # nor in the hole
    far, _ = cKDTree(points).query(z)
    assert far.max() < 2  # and they are everywhere


def test_points_of_one_dimension_and_of_none() -> None:
    z = np.random.default_rng(1).normal(size=(200, 1))
    assert points_over(z, 5, 4).shape == (9, 1)
    with pytest.raises(ValueError, match="no latent space") as caught:
        points_over(np.zeros((200, 0)), 5, 4)
    assert str(caught.value) == NO_LATENTS


def test_maps_are_those_of_the_decoder(made: Codebook, planted_run: Run) -> None:
    decoder = VolumeDecoder(planted_run.epoch().field_path)
    for place in (0, len(made.points) - 1):
        found = made.nearest(made.points[place])
        truth = decoder.decode(VolumeRequest(made.points[place], 5, 12))
        assert found.voxel_size == pytest.approx(truth.voxel_size)
        np.testing.assert_allclose(found.data, truth.data, atol=2e-3 * np.abs(truth.data).max())


def test_the_nearest_is_that_of_a_tree(made: Codebook) -> None:
    tree = cKDTree(made.points)
    for z in np.random.default_rng(2).normal(size=(20, 4)) * 3:
        request = made.nearest(z).request
        assert request is not None
        np.testing.assert_array_equal(request.z, made.points[tree.query(z)[1]])
    with pytest.raises(ValueError, match="z has 3 numbers, the codebook's points 4"):
        made.nearest(np.zeros(3))


def test_it_stands_in_for_a_decoder(made: Codebook) -> None:
    """Filters, boxes and previews of the window work on the nearest map."""
    decoder = VolumeDecoder(made.decoder())
    z = made.points[3] + 0.001
    whole = decoder.decode(VolumeRequest(z))
    nearest = made.nearest(z)
    expected = nearest.data - nearest.data.mean()  # working coefficients leave out the mean
    np.testing.assert_allclose(whole.data, expected, atol=2e-3 * np.abs(expected).max())
    fine = decoder.decode(VolumeRequest(z, None, 24))
    assert fine.voxel_size == pytest.approx(nearest.voxel_size / 2)
    np.testing.assert_allclose(fine.data[::2, ::2, ::2], whole.data, atol=1e-4)
    assert decoder.decode(decoder.preview(z, 0.05)).data.std() > 0


def test_maps_of_any_scale_come_back(made: Codebook, planted_run: Run) -> None:
    """float16 ends at 65,504 and has nothing under 6e-8."""
    for factor in (1e-9, 1e9):
        other = Codebook(**{**vars(made), "scale": made.scale * factor})
        save_codebook(other, planted_run)
        found = load_codebook(planted_run)
        assert found is not None
        z = made.points[0]
        np.testing.assert_allclose(found.nearest(z).data, made.nearest(z).data * factor, rtol=1e-5)


def test_a_codebook_of_other_latents_is_not_used(made: Codebook, planted_run: Run) -> None:
    assert load_codebook(planted_run) is None
    save_codebook(made, planted_run)
    found = load_codebook(planted_run)
    assert found is not None
    np.testing.assert_array_equal(found.maps, made.maps)
    field = planted_run.epoch().field_path
    kept = field.read_bytes()
    field.write_bytes(kept + b" ")
    assert load_codebook(planted_run) is None  # another decoder
    field.unlink()
    assert load_codebook(planted_run) is not None  # a copy without the decoder
    field.write_bytes(kept)
    latents = {"latents": torch.zeros(60, 4)}
    write_tensors(planted_run.epoch().path / "latents.safetensors", latents)
    assert load_codebook(planted_run) is None


def test_without_a_decoder_the_particles_make_the_maps(planted_run: Run, particle_set: Any) -> None:
    planted_run.epoch().field_path.unlink()
    made = make_codebook(planted_run, centres=2, side=1, box=16, near=30)
    assert not made.decoded
    for label, path in enumerate(particle_set.maps):
        truth = Volume(*read_mrc(path))
        small = resample(torch.from_numpy(truth.data), truth.voxel_size, 16, made.voxel_size)
        z = planted_run.epoch().latents()[particle_set.labels == label].mean(0)
        found = made.nearest(z).data
        assert np.corrcoef(found.ravel(), small.numpy().ravel())[0, 1] > 0.8


def test_the_command_says_what_it_wrote(
    planted_run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["codebook", str(planted_run.path), "--centres", "4", "--side", "2", "--box", "12"]
    assert main(words) == 0
    assert "maps of 12³ voxels" in capsys.readouterr().out
    assert load_codebook(planted_run) is not None
    assert main([*words[:2], "--side", "0"]) == 1
    assert "--side 0: give 1 or more" in capsys.readouterr().err
    assert main([*words[:2], "--box", "13"]) == 1
    assert "Maps of 13 voxels" in capsys.readouterr().err
