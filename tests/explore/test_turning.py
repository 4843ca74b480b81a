"""The camera turns with the motion: where it is at each picture, and what it sees there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_cryodeco.explore import movie
from napari_cryodeco.explore.labels import annotate
from napari_cryodeco.explore.movie import MovieOptions, Turn, shots
from napari_cryodeco.explore.render import View, framing_turned, surface
from napari_cryodeco.explore.trajectory import Trajectory, through
from napari_cryodeco.explore.volumes import Volume, common_sigma

AXES = {"vertical": "y", "horizontal": "x", "sight": "z"}


def lopsided(shift: float = 0.0) -> Volume:
    """Four balls of different sizes on the axes: no two views are alike."""
    axis = np.arange(24) - 12
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    balls = [((0, 0, 0), 3), ((6 + shift, 0, 0), 2.2), ((0, 6, 0), 1.6), ((0, 0, 6), 1.3)]
    values = sum(
        np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 2 / s**2) for (a, b, c), s in balls
    )
    return Volume(values.astype(np.float32), 3.0)


@pytest.mark.parametrize("axis", AXES)
def test_the_matrix_is_the_right_handed_turn(axis) -> None:
    for angle in (-210.0, 30.0, 90.0, 360.0):
        theirs = Rotation.from_euler(AXES[axis], angle, degrees=True).as_matrix()
        np.testing.assert_allclose(Turn(360, axis).rotation(angle), theirs, atol=1e-12)


def test_a_whole_spin_ends_where_it_began() -> None:
    for axis in AXES:
        turn = Turn(360, axis)
        angles = turn.angles(9, loops=False)
        assert angles[0] == 0 and angles[-1] == 360
        np.testing.assert_allclose(turn.rotation(angles[-1]), np.eye(3), atol=1e-12)


def test_a_loop_turns_on_without_a_halt() -> None:
    angles = Turn(360).angles(40, loops=True)
    twice = np.concatenate([angles, angles + 360])
    np.testing.assert_allclose(np.diff(twice), 9.0)


def test_a_wiggle_goes_to_either_side_and_comes_back() -> None:
    angles = Turn(30, wiggle=True).angles(41, loops=False)
    assert angles.max() == pytest.approx(15) and angles.min() == pytest.approx(-15)
    np.testing.assert_allclose(angles[[0, 20, 40]], 0, atol=1e-12)
    np.testing.assert_allclose(angles[:20], -angles[:-21:-1], atol=1e-12)


def test_frames_of_a_movie_there_and_back_turn_all_the_way() -> None:
    found = shots(4, Turn(360), back=True)
    assert [shot.frame for shot in found] == [0, 1, 2, 3, 2, 1]
    np.testing.assert_allclose([shot.angle for shot in found], np.arange(6) * 60.0)
    closed = shots(4, Turn(360), closed=True)
    np.testing.assert_allclose([shot.angle for shot in closed], [0, 90, 180, 270])
    assert [shot.angle for shot in shots(3, Turn())] == [0, 0, 0]
    assert len(shots(1, Turn(90))) == 1


def test_a_closed_path_is_known_to_be_one(tmp_path) -> None:
    from napari_cryodeco.explore import trajectory

    loop = through(np.eye(3), 6, "loop", closed=True)
    trajectory.save(loop, tmp_path / "loop.json")
    assert trajectory.load(tmp_path / "loop.json").closed
    assert not through(np.eye(3), 6).closed


@pytest.mark.parametrize("axis", AXES)
def test_a_picture_is_the_map_seen_from_the_turned_view(axis) -> None:
    """Oracle: the renderer, with a view turned by scipy, in the place and zoom of all pictures."""
    volumes = [lopsided(shift) for shift in (0.0, 1.0, 2.0)]
    walk = Trajectory("path", np.zeros((3, 1), np.float32))
    start = View(Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix(), size=(64, 64))
    turn = Turn(120, axis)
    pictures = list(movie.draw(volumes, walk, None, MovieOptions(level=2.0, view=start, turn=turn)))
    sigma = common_sigma(volumes)
    turns = [Rotation.from_euler(AXES[axis], a, degrees=True).as_matrix() for a in (0, 60, 120)]
    seen = [(volume, [one]) for volume, one in zip(volumes, turns, strict=True)]
    still = framing_turned(seen, 2.0, start, sigma)
    for volume, one, picture in zip(volumes, turns, pictures, strict=True):
        view = replace(still, rotation=one @ start.rotation)
        drawn = surface(volume, 2.0, view, None, sigma)
        np.testing.assert_array_equal(picture, annotate(drawn, pixel_size=view.pixel_size(volume)))


def test_nothing_is_cut_off_while_it_turns() -> None:
    """A rod along the line of sight lies across the picture after a quarter turn."""
    axis = np.arange(64) - 32
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    rod = np.exp(-(x**2 + y**2) / 32 - (z / 18.0) ** 4).astype(np.float32)
    walk = Trajectory("path", np.zeros((5, 1), np.float32))
    options = MovieOptions(level=2.0, view=View(size=(128, 128)), turn=Turn(180))
    still = MovieOptions(level=2.0, view=View(size=(128, 128)))
    wide = []
    for chosen in (options, still):
        for picture in movie.draw([Volume(rod, 2.0)] * 5, walk, None, chosen):
            ink = (picture[:96] < 200).any(-1)  # above the scale bar
            wide.append(int(ink.any(0).sum()))
            assert not ink[:, [0, -1]].any() and not ink[0].any()
    assert wide[2] > 2.5 * wide[0] and wide[2] > 80
    assert wide[0] == wide[4]  # half a turn of a rod is a rod, at the same zoom
    assert len(set(wide[5:])) == 1 and wide[5] > wide[0]  # a movie without a turn is closer


def test_a_wrong_turn_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="Axis 'up': choose one of vertical, horizontal, sight"):
        Turn(10, "up")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="choose −3600"):
        Turn(float("nan"))
