"""Motion maps: what was planted is found in Å, what stands still is 0, what fades is not moved."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_cryodeco.explore.domains import moving_domains, suggest_least
from napari_cryodeco.explore.motion import Motion, motion_of
from napari_cryodeco.explore.volumes import Volume

SIGMA = 6.0  # Å of each bead
PIVOT = np.array([-2.0, 0.0, 0.0])


def beads() -> tuple[np.ndarray, np.ndarray]:
    """A still core and a domain beside it, ``(m, 3)`` xyz in Å; neither is symmetric."""
    rng = np.random.default_rng(0)
    core = rng.uniform(-1, 1, (160, 3)) * [26, 22, 24] + [-32, 0, 0]
    domain = rng.uniform(-1, 1, (90, 3)) * [17, 20, 15] + [26, 0, 0]
    return core, domain


def density(points: np.ndarray, voxel: float, weights: float = 1.0) -> np.ndarray:
    """The map of Gaussian beads in a box of 160 Å, in closed form."""
    box = round(160 / voxel)
    axis = (np.arange(box) - box // 2) * voxel
    x, y, z = (np.exp(-((axis - points[:, i, None]) ** 2) / (2 * SIGMA**2)) for i in range(3))
    return (weights * np.einsum("nz,ny,nx->zyx", z, y, x, optimize=True)).astype(np.float32)


def series(domains: list[np.ndarray], voxel: float = 4.0) -> list[Volume]:
    core, _ = beads()
    return [Volume(density(np.concatenate([core, one]), voxel), voxel) for one in domains]


def shifted(way: tuple[float, float, float], frames: int, voxel: float = 4.0) -> list[Volume]:
    _, domain = beads()
    return series([domain + np.array(way) * share for share in np.linspace(0, 1, frames)], voxel)


def parts(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """Which places ``(m,)`` belong to the domain, and which to the core, well apart from it."""
    voxel = motion.middle.voxel_size
    x = (motion.places[:, 2] - len(motion.spread) // 2) * voxel
    return x > 12, x < -16


def test_identical_frames_do_not_move() -> None:
    motion = motion_of(shifted((0, 0, 0), 3))
    assert not motion.travel.any() and not motion.unclear.any()
    assert motion.explained is None and motion.unreached == 0
    assert np.abs(motion.spread).max() < 1e-5
    assert moving_domains(motion) == ()
    assert motion.sentences == ("Nothing changes between these maps.",)


@pytest.mark.parametrize("way", [(0.0, 9.0, 0.0), (0.0, 0.0, -12.0), (6.0, 3.0, 2.0)])
def test_a_planted_shift_is_found_in_angstroms_and_the_rest_stands_still(way) -> None:
    motion = motion_of(shifted(way, 4))
    domain, core = parts(motion)
    length = float(np.linalg.norm(way))
    assert np.median(motion.travel[domain]) == pytest.approx(length, rel=0.05)
    assert np.percentile(np.abs(motion.travel[domain] - length), 90) < 0.15 * length
    assert np.percentile(motion.travel[core], 90) < 0.05 * length
    # and its direction: from the first map to the last, xyz
    found = np.median((motion.ways[-1] - motion.ways[0])[domain], axis=0)[::-1]
    np.testing.assert_allclose(found, way, atol=0.08 * length)
    assert motion.explained > 0.9


@pytest.mark.parametrize("voxel", [2.5, 5.0])
def test_angstroms_do_not_depend_on_the_voxel(voxel) -> None:
    motion = motion_of(shifted((0, 10, 0), 2, voxel))
    domain, core = parts(motion)
    assert np.median(motion.travel[domain]) == pytest.approx(10, rel=0.05)
    assert np.median(motion.travel[core]) < 0.3


def test_there_and_back_is_as_far_as_there() -> None:
    there = shifted((0, 12, 0), 3)
    motion = motion_of([*there, *there[-2::-1]])  # the middle map is the far end
    domain, _ = parts(motion)
    assert np.median(motion.travel[domain]) == pytest.approx(12, rel=0.05)


def test_a_planted_turn_is_one_domain_with_its_angle_and_its_place() -> None:
    _, domain = beads()
    turns = [Rotation.from_euler("z", angle, degrees=True) for angle in np.linspace(-12, 12, 5)]
    motion = motion_of(series([one.apply(domain - PIVOT) + PIVOT for one in turns]))
    found = moving_domains(motion, 5.0)
    assert len(found) == 1
    (one,) = found
    middle = (len(motion.spread) // 2) * motion.middle.voxel_size
    np.testing.assert_allclose(np.array(one.centre) - middle, domain.mean(0), atol=6)
    assert all(low < at < high for low, at, high in zip(one.low, one.centre, one.high, strict=True))
    assert one.turn == pytest.approx(24, rel=0.15)
    chord = 2 * 28 * np.sin(np.deg2rad(12))  # of its centre, 28 Å from the pivot
    assert one.shift == pytest.approx(chord, rel=0.15)
    assert one.fit > 0.8
    assert one.mean < one.most and one.volume < motion.volume


def test_density_that_fades_is_not_called_movement() -> None:
    core, domain = beads()
    fading = [
        Volume(density(core, 4.0) + density(domain, 4.0, weight), 4.0) for weight in (1.0, 0.6, 0.2)
    ]
    motion = motion_of(fading)
    inside, _ = parts(motion)
    assert motion.explained < 0.5
    assert motion.unclear[inside].mean() > 0.6
    assert moving_domains(motion) == ()
    assert any("comes and goes" in sentence for sentence in motion.sentences)
    assert motion.spread[tuple(motion.places[inside].T)].mean() > 0.5  # the spread does tell


def test_between_unlike_molecules_nothing_is_called_movement() -> None:
    core, domain = beads()
    other = np.random.default_rng(7).normal(size=(250, 3)) * [12, 30, 14]
    series = [Volume(density(cloud, 4.0), 4.0) for cloud in (np.concatenate([core, domain]), other)]
    motion = motion_of(series)
    assert motion.explained < 0.3
    assert motion.unclear[motion.travel > 4].mean() > 0.7
    assert "not movement" in " ".join(motion.sentences)


def test_density_that_nothing_moves_to_is_counted() -> None:
    core, domain = beads()
    alone = Volume(density(core, 4.0), 4.0)
    both = Volume(density(np.concatenate([core, domain + np.array([10, 0, 0])]), 4.0), 4.0)
    motion = motion_of([both, alone])  # the middle one of two is the second
    lone = np.count_nonzero(density(domain, 4.0) > 3) * 4.0**3
    assert motion.unreached > 0.5 * lone
    assert "belong to nothing" in motion.sentences[-1]


def test_the_map_of_travel_has_its_values_on_the_surface_and_none_far_away() -> None:
    motion = motion_of(shifted((0, 9, 0), 2))
    placed = motion.placed(motion.travel)
    np.testing.assert_array_equal(placed[tuple(motion.places.T)], motion.travel)
    assert placed.max() == motion.travel.max() and placed[0, 0, 0] == 0
    domain, _ = parts(motion)
    rim = motion.places[domain].max(0)  # one voxel beyond the density: the value of its neighbour
    assert placed[rim[0], rim[1], rim[2]] >= 0
    corner = motion.places[domain][np.argmax(motion.places[domain][:, 2])] + [0, 0, 1]
    assert placed[tuple(corner)] == pytest.approx(9, rel=0.2)


def test_what_cannot_be_is_one_sentence() -> None:
    one, two = shifted((0, 9, 0), 2)
    with pytest.raises(ValueError, match="at least two maps"):
        motion_of([one])
    with pytest.raises(ValueError, match="one box"):
        motion_of([one, Volume(two.data, 5.0)])
    with pytest.raises(ValueError, match="choose a lower level"):
        motion_of([one, two], level=99.0)
    with pytest.raises(ValueError, match="empty"):
        motion_of([Volume(np.zeros((8, 8, 8), np.float32), 4.0)] * 2)


def test_raising_in_progress_cancels() -> None:
    class Stop(Exception):
        pass

    def stop(done: int, of: int) -> None:
        if done == 1:
            raise Stop

    with pytest.raises(Stop):
        motion_of(shifted((0, 9, 0), 4), progress=stop)


def test_the_default_threshold_is_half_of_the_most_but_no_less_than_a_voxel() -> None:
    large, small = motion_of(shifted((0, 12, 0), 3)), motion_of(shifted((0, 1.5, 0), 3))
    assert suggest_least(large) == pytest.approx(6, rel=0.1)
    assert suggest_least(small) == 4.0 and moving_domains(small) == ()
    assert "less than a voxel" in " ".join(small.sentences)
