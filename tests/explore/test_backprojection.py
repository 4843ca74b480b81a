"""Back-projection at known poses: the truth comes out, noise and wrong poses do not agree."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from napari_cryodeco.explore import backprojection
from napari_cryodeco.explore.backprojection import (
    BackProjection,
    back_project,
    neighbours,
)
from napari_cryodeco.explore.volumes import Volume
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_mrc


@pytest.fixture
def members(particle_set: Any) -> np.ndarray:
    """Rows of one species."""
    return np.flatnonzero(particle_set.labels == 1)


@pytest.fixture
def truth(particle_set: Any) -> Volume:
    """Its true map."""
    return Volume(*read_mrc(particle_set.maps[1]))


@pytest.fixture
def found(planted_run: Run, members: np.ndarray) -> BackProjection:
    return back_project(planted_run, members)


def correlation(first: Volume, second: Volume) -> float:
    return float(np.corrcoef(first.data.ravel(), second.data.ravel())[0, 1])


def noisy(run: Run, noise: float) -> Any:
    """The run with noise added to its working images, whose own is 1."""
    images = run.stored_images()[:].float()
    made = images + noise * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    return SimpleNamespace(
        images=lambda: made, particles=run.particles, geometry=run.geometry, epoch=run.epoch
    )


def with_poses(run: Run, poses: Poses) -> Any:
    """The run with other poses."""
    epoch = SimpleNamespace(poses=lambda: poses)
    return SimpleNamespace(
        images=run.images,
        particles=run.particles,
        geometry=run.geometry,
        epoch=lambda number: epoch,
    )


# ---- what comes out


def test_the_particles_show_their_own_molecule_and_not_the_other(
    found: BackProjection, truth: Volume, particle_set: Any
) -> None:
    other = Volume(*read_mrc(particle_set.maps[0]))
    assert correlation(found.whole, truth) > 0.85
    assert correlation(found.whole, truth) > correlation(found.whole, other) + 0.2
    assert found.agreement(truth) < 0.6 * found.agreement(other)


def test_maps_have_the_box_and_voxels_of_the_decoded_ones(
    found: BackProjection, planted_run: Run, truth: Volume, members: np.ndarray
) -> None:
    geometry = planted_run.geometry
    for volume in (found.whole, *found.halves):
        assert volume.data.shape == (geometry.box,) * 3
        assert volume.data.dtype == np.float32
        assert volume.voxel_size == pytest.approx(geometry.pixel_size)
    assert found.fsc.shape == (geometry.radius,)
    assert found.count == len(members)
    # in the user's units: a Wiener filter takes some off, and adds nothing
    assert 0.4 < np.std(found.whole.data) / np.std(truth.data) < 1.05


def test_halves_agree_where_the_signal_is_and_less_with_noise(
    planted_run: Run, found: BackProjection, members: np.ndarray
) -> None:
    assert found.fsc[0] > 0.9
    assert found.fsc[:3].mean() > found.fsc[3:6].mean() > found.fsc[6:].mean()
    worse = back_project(noisy(planted_run, 3.0), members)
    assert worse.fsc.mean() < found.fsc.mean() - 0.1
    assert worse.resolution > found.resolution


def test_what_the_halves_promise_is_kept_against_the_truth(
    found: BackProjection, truth: Volume
) -> None:
    """Rosenthal & Henderson 2003: the map's FSC with the truth is √(2 FSC ∕ (1 + FSC))."""
    halves = found.fsc.clip(0)
    promised = np.sqrt(2 * halves / (1 + halves))
    np.testing.assert_allclose(found.compare(truth)[:6], promised[:6], atol=0.1)


def test_the_halves_are_two_disjoint_sets(planted_run: Run, members: np.ndarray) -> None:
    """Without signal they do not agree, as they would if they shared particles."""
    images = torch.randn(
        planted_run.stored_images()[:].shape, generator=torch.Generator().manual_seed(2)
    )
    run = noisy(planted_run, 0.0)
    run.images = lambda: images
    found = back_project(run, np.arange(len(planted_run.particles)))
    assert abs(found.fsc[2:].mean()) < 0.2


def test_shuffled_poses_do_not_show_the_molecule(
    planted_run: Run, found: BackProjection, truth: Volume, members: np.ndarray
) -> None:
    poses = planted_run.epoch().poses()
    order = torch.randperm(len(poses.rotations), generator=torch.Generator().manual_seed(0))
    wrong = back_project(with_poses(planted_run, poses[order]), members)
    assert wrong.compare(truth)[2:].mean() < found.compare(truth)[2:].mean() - 0.3
    assert wrong.fsc[2:].mean() < found.fsc[2:].mean() - 0.2
    assert wrong.resolution > found.resolution


def test_a_map_agrees_with_itself_to_the_finest_shell(
    found: BackProjection, planted_run: Run
) -> None:
    np.testing.assert_allclose(found.compare(found.whole), 1, atol=1e-4)
    geometry = planted_run.geometry
    assert found.agreement(found.whole) == pytest.approx(geometry.resolution(geometry.radius))
    scaled = Volume(5 * found.whole.data, found.whole.voxel_size)
    assert found.agreement(scaled) == found.agreement(found.whole)


def test_another_box_is_named(found: BackProjection) -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        found.compare(Volume(np.zeros((24, 24, 24), np.float32), 8.0))


# ---- rows and weights


def test_the_order_of_rows_and_repeats_do_not_matter(
    planted_run: Run, found: BackProjection, members: np.ndarray
) -> None:
    mixed = np.concatenate([members[::-1], members[:5]])
    same = back_project(planted_run, mixed)
    np.testing.assert_array_equal(same.whole.data, found.whole.data)
    np.testing.assert_array_equal(same.fsc, found.fsc)
    assert same.count == found.count


def test_weights_go_with_their_rows(planted_run: Run, members: np.ndarray) -> None:
    weights = np.linspace(0.1, 1, len(members))
    first = back_project(planted_run, members, weights)
    second = back_project(planted_run, members[::-1], weights[::-1])
    np.testing.assert_array_equal(first.whole.data, second.whole.data)


def test_a_weight_of_zero_leaves_a_particle_out(
    planted_run: Run, found: BackProjection, members: np.ndarray
) -> None:
    rows = np.arange(len(planted_run.particles))
    left = back_project(planted_run, rows, np.isin(rows, members))
    np.testing.assert_array_equal(left.whole.data, found.whole.data)
    np.testing.assert_array_equal(left.fsc, found.fsc)
    assert left.count == len(members)


def test_parts_and_threads_change_nothing(
    planted_run: Run, found: BackProjection, members: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backprojection, "_TOGETHER", 4)
    torch.set_num_threads(1)
    parts = back_project(planted_run, members)
    assert torch.get_num_threads() == 1
    peak = np.abs(found.whole.data).max()
    np.testing.assert_allclose(parts.whole.data, found.whole.data, atol=1e-4 * peak)


@pytest.mark.parametrize(
    ("rows", "weights", "words"),
    [
        (range(19), None, "19 particles are too few .* at least 20"),
        ([], None, "0 particles are too few"),
        ([*range(30), 60], None, r"Row 60 does not exist: the run has rows 0 to 59\."),
        ([-2, *range(30)], None, r"Row -2 does not exist: the run has rows 0 to 59\."),
        (range(30), [1.0] * 29, "29 weights for 30 particles"),
        (range(30), [float("nan")] * 30, "numbers from 0"),
        (range(30), [-1.0] * 30, "numbers from 0"),
        (range(30), [1.0] * 19 + [0.0] * 11, "19 particles are too few"),
    ],
)
def test_wrong_rows_and_weights_are_one_sentence(
    planted_run: Run, rows: Any, weights: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        back_project(planted_run, np.array(rows, np.int64), weights)


def test_progress_counts_to_the_end_and_raising_in_it_cancels(
    planted_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backprojection, "_TOGETHER", 8)
    rows, told = np.arange(60), []
    back_project(planted_run, rows, progress=lambda done, of: told.append((done, of)))
    assert told == [(16, 60), (32, 60), (48, 60), (60, 60)]

    class Enough(Exception):
        pass

    def stop(done: int, of: int) -> None:
        told.append((done, of))
        raise Enough

    told.clear()
    with pytest.raises(Enough):
        back_project(planted_run, rows, progress=stop)
    assert told == [(16, 60)]


# ---- how many sides they are seen from


def test_a_back_projection_knows_its_coverage(planted_run: Run, found: BackProjection) -> None:
    assert found.coverage > 0.95
    poses = planted_run.epoch().poses()
    one_side = Poses(poses.rotations[:1].expand(60, 3, 3), poses.shifts)
    assert back_project(with_poses(planted_run, one_side), np.arange(60)).coverage < 0.3


# ---- neighbours


def test_the_kernel_is_one_at_the_point_and_falls_to_the_next_particle() -> None:
    latents = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    near = neighbours(latents, latents[17], 50)
    distance = np.linalg.norm(latents - latents[17], axis=1)
    assert near.rows.tolist() == sorted(np.argsort(distance)[:50].tolist())
    weights = dict(zip(near.rows.tolist(), near.weights.tolist(), strict=True))
    assert weights[17] == pytest.approx(1)
    by_distance = [weights[row] for row in np.argsort(distance)[:50].tolist()]
    assert by_distance == sorted(by_distance, reverse=True)
    assert 0 < by_distance[-1] < 0.2
    edge = np.sort(distance)[50]
    expected = 1 - (distance[near.rows] / edge) ** 2
    np.testing.assert_allclose(near.weights, expected.clip(1e-3), atol=1e-5)


def test_neighbours_of_few_and_of_equal_particles() -> None:
    latents = np.zeros((30, 2), np.float32)
    near = neighbours(latents, np.zeros(2), 500)
    assert near.rows.tolist() == list(range(30))
    np.testing.assert_allclose(near.weights, 1)
    latents[3] = 7.0
    near = neighbours(latents, np.zeros(2), 30)
    assert len(near.rows) == 30 and (near.weights > 0).all()
    with pytest.raises(ValueError, match="at least 20"):
        neighbours(latents, np.zeros(2), 0)
