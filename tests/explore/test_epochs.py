"""Epochs turned onto the newest: nothing but a turn, the best one, and found again only once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group

from napari_cryodeco.explore import epochs
from napari_cryodeco.explore.epochs import aligned_pca, frame_onto
from napari_cryodeco.explore.projection import NO_LATENTS, pca
from napari_cryodeco.runs.checkpoint import Epoch, write_epoch
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import write_tensors

RANDOM = np.random.default_rng(0)


def cloud(n: int = 60, d: int = 4) -> np.ndarray:
    return (RANDOM.normal(size=(n, d)) * [5, 2, 1, 0.5] + 3).astype(np.float32)


def turned(latents: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """The same landscape in other axes, elsewhere."""
    rotation = ortho_group.rvs(latents.shape[1], random_state=3)
    moved = latents @ rotation + RANDOM.normal(size=latents.shape[1]) * 7
    return (moved + noise * RANDOM.normal(size=latents.shape)).astype(np.float32)


def add_epoch(run: Run, number: int, latents: np.ndarray) -> Epoch:
    tensors = {"latents": torch.from_numpy(latents)}
    return write_epoch(
        run.paths, number, lambda folder: write_tensors(folder / "latents.safetensors", tensors)
    )


def test_the_turn_is_that_of_scipy() -> None:
    target, latents = pca(cloud()).coordinates, turned(cloud(), 1.0)
    frame = frame_onto(latents, target)
    expected, _ = orthogonal_procrustes(latents - latents.mean(0), target - target.mean(0))
    np.testing.assert_allclose(frame.axes.T, expected, atol=1e-5)
    found = frame.project(latents).coordinates
    np.testing.assert_allclose(found, (latents - latents.mean(0)) @ expected, atol=1e-4)


def test_a_turned_landscape_is_shown_where_it_was() -> None:
    before = cloud()
    target, latents = pca(before).coordinates, turned(before)
    found = frame_onto(latents, target).project(latents).coordinates
    np.testing.assert_allclose(found, target, atol=1e-3)


def test_mirrored_axes_are_mirrored_back() -> None:
    before = cloud()
    target = pca(before).coordinates
    np.testing.assert_allclose(pca(-before).coordinates, -target, atol=1e-4)  # the flip
    found = frame_onto(-before, target).project(-before).coordinates
    np.testing.assert_allclose(found, target, atol=1e-4)


def test_distances_stay_and_points_lead_back_to_z() -> None:
    latents = turned(cloud(), 1.0)
    found = frame_onto(latents, pca(cloud()).coordinates).project(latents, 3)
    np.testing.assert_allclose(pdist(found.coordinates), pdist(latents), rtol=1e-4)
    assert found.components is not None
    assert found.explained is not None
    again = found.mean + found.coordinates @ found.components
    np.testing.assert_allclose(again, latents, atol=1e-4)
    assert found.explained.sum() == pytest.approx(1, abs=1e-5)
    assert (found.method, found.epoch) == ("pca", 3)


def test_earlier_epochs_of_a_run_follow_the_newest(planted_run: Run) -> None:
    first = planted_run.epoch(1)
    own = pca(first.latents()).coordinates
    np.testing.assert_array_equal(aligned_pca(planted_run, first).coordinates, own)
    newest = add_epoch(planted_run, 2, turned(first.latents()))
    shown = aligned_pca(planted_run, newest).coordinates
    np.testing.assert_array_equal(shown, pca(newest.latents()).coordinates)
    np.testing.assert_allclose(aligned_pca(planted_run, first).coordinates, shown, atol=1e-3)


def test_a_frame_is_made_once_and_anew_when_the_newest_is_another(
    planted_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = planted_run.epoch(1)
    add_epoch(planted_run, 2, turned(first.latents(), 0.1))
    before = aligned_pca(planted_run, first).coordinates
    with monkeypatch.context() as patch:
        patch.setattr(epochs, "frame_onto", None)  # it is not asked again
        np.testing.assert_allclose(aligned_pca(planted_run, first).coordinates, before, atol=1e-5)
    newest = add_epoch(planted_run, 3, -first.latents())
    after = aligned_pca(planted_run, first).coordinates
    np.testing.assert_allclose(after, pca(newest.latents()).coordinates, atol=1e-3)


def test_other_particles_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(60, 4\) cannot be turned onto .*\(50, 4\)"):
        frame_onto(cloud(), cloud(50))


def test_a_run_without_z_says_so(planted_run: Run) -> None:
    empty = np.zeros((60, 0), np.float32)
    epoch = add_epoch(planted_run, 2, empty)
    with pytest.raises(ValueError, match="no latent space") as caught:
        aligned_pca(planted_run, epoch)
    assert str(caught.value) == NO_LATENTS
