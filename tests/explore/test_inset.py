"""The small map in the corner of a movie: particles, path and marker stand where they belong."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageColor

from napari_cryodeco.explore import movie, palette
from napari_cryodeco.explore.inset import Inset, LatentMap, side_of
from napari_cryodeco.explore.movie import MovieOptions
from napari_cryodeco.explore.projection import pca
from napari_cryodeco.explore.render import View
from napari_cryodeco.explore.trajectory import Trajectory, pc_traverse
from napari_cryodeco.explore.volumes import Volume


def cloud() -> np.ndarray:
    """A crowd, and ten particles far away in one place (rows 0 to 9)."""
    rows = np.random.default_rng(0).normal(0, 0.3, (300, 2))
    rows[:10] = (4.0, 3.0)
    return rows


def centre(picture: np.ndarray, colour: str, tolerance: int = 30) -> np.ndarray:
    """Middle of all pixels of a colour, x and y in pixels."""
    away = np.abs(picture.astype(int) - ImageColor.getrgb(colour)[:3]).max(-1)
    rows, columns = np.nonzero(away <= tolerance)
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5])


@pytest.mark.parametrize("side", [96, 144, 324])
@pytest.mark.parametrize("paper", [(255, 255, 255), (0, 0, 0)])
def test_the_marker_stands_on_the_particle(side, paper) -> None:
    """Oracle: where the dot of those far away is, in the picture of a path that is elsewhere."""
    rows = cloud()
    colour = palette.PATH_ON_LIGHT if sum(paper) else palette.PATH_ON_DARK
    on_it = LatentMap(rows, rows[[0, 0]], ("PC1", "PC2"))
    marker = centre(Inset(on_it, side, paper).picture(0), colour)
    away = LatentMap(rows, rows[[10, 10]], ("PC1", "PC2"))
    picture = Inset(away, side, paper).picture(0).astype(int)
    corner = np.abs(picture - paper).max(-1)[: side // 2, side // 2 : -2]  # no other particle
    corner[:3] = 0  # frame
    y, x = np.nonzero(corner > 40)
    dot = np.array([x.mean() + side // 2 + 0.5, y.mean() + 0.5])
    assert len(x) and np.abs(marker - dot).max() < 1.5


def test_frames_without_particles_are_flagged() -> None:
    path = np.array([[0.0, 0.0], [2.0, 1.5], [4.0, 3.0]])
    inset = Inset(
        LatentMap(cloud(), path, ("PC1", "PC2")), 144, supported=np.array([True, False, True])
    )
    orange = np.array(ImageColor.getrgb(palette.EXTRAPOLATED)[:3])
    framed = [(inset.picture(frame)[0] == orange).all() for frame in range(3)]
    assert framed == [False, True, False]
    at = np.rint(inset.path[1]).astype(int)
    assert np.abs(inset.picture(1)[at[1], at[0]].astype(int) - orange).max() < 3
    plain = Inset(LatentMap(cloud(), path, ("PC1", "PC2")), 144).picture(1)
    assert not (plain == orange).all(-1).any()


def test_the_axes_are_those_along_which_the_path_moves() -> None:
    z = np.random.default_rng(1).normal(0, (3.0, 2.0, 1.0, 0.5), (400, 4))
    view = pca(z)
    for component, labels in ((1, ("PC1", "PC2")), (2, ("PC1", "PC2")), (3, ("PC1", "PC3"))):
        walk = pc_traverse(z, component, 5, 95, 5)
        found = LatentMap.of(z, walk.points)
        assert found.labels == labels
        columns = [int(name[2:]) - 1 for name in labels]
        np.testing.assert_allclose(found.coordinates, view.coordinates[:, columns], atol=1e-4)
        theirs = ((walk.points - view.mean) @ view.components.T)[:, columns]
        np.testing.assert_allclose(found.path, theirs, atol=1e-4)
    diagonal = view.mean + np.outer(np.linspace(-1, 1, 5), view.components[1] + view.components[3])
    assert LatentMap.of(z, diagonal).labels == ("PC2", "PC4")
    assert LatentMap.of(z[:, :1], z[:2, :1]).labels == ("PC1", "")


def test_a_tour_has_no_way_between_its_stops() -> None:
    z = np.random.default_rng(1).normal(0, 0.2, (300, 2)) + np.repeat([[0, 0], [6, 2]], 150, 0)
    straight = np.linspace((0, 0), (6, 2), 5)
    tour = np.repeat(straight[[0, -1]], 3, 0)
    colour = np.array(ImageColor.getrgb(palette.PATH_ON_LIGHT)[:3])
    drawn = []
    for points in (straight, tour):
        picture = Inset(LatentMap.of(z, points), 144).picture(0).astype(int)
        drawn.append((np.abs(picture - colour).max(-1) < 30).sum())
    disc = np.pi * (144 / 22) ** 2
    assert drawn[1] < disc < drawn[0]  # the marker alone; the marker and a line


def test_a_particle_outside_the_view_and_a_path_outside_the_crowd_do_no_harm() -> None:
    rows = cloud()
    rows[5] = np.nan
    path = np.array([[-9.0, -9.0], [9.0, 9.0]])
    inset = Inset(LatentMap(rows, path, ("UMAP 1", "UMAP 2")), 120)
    assert ((inset.path > 0) & (inset.path < 120)).all()
    assert (inset.path[0] < inset.path[1])[0] and (inset.path[0] > inset.path[1])[1]  # y is up


@pytest.mark.parametrize("side", [320, 480])
def test_the_inset_is_in_its_corner_and_hides_nothing(side) -> None:
    """A ball fills the picture: with an inset it is smaller, and free of it."""
    axis = np.arange(64) - 32
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    ball = Volume(np.exp(-(x**2 + y**2 + z**2) / 280).astype(np.float32), 2.0)
    rows = cloud()
    walk = Trajectory("path", np.zeros((2, 1), np.float32))
    latent_map = LatentMap(rows, rows[9:11], ("PC1", "PC2"))
    look = MovieOptions(level=2.0, view=View(size=(side, side)), inset=latent_map)
    bare = np.array([True, False])
    pictures = list(movie.draw([ball, ball], walk, bare, look))
    small = side_of((side, side))
    margin = max(6, side // 30)
    own = slice(side - margin - small, side - margin)
    for frame, picture in enumerate(pictures):
        expected = Inset(latent_map, small, supported=bare).picture(frame)
        np.testing.assert_array_equal(picture[own, own], expected)
        blue = (picture[..., 2].astype(int) - picture[..., 0]) > 25
        blue[own, own] = False
        assert blue.any()
        ring = blue[own.start - 2 :, own.start - 2 :]
        assert not ring.any()  # nothing of the ball reaches the frame
        assert not blue[0].any() and not blue[:, 0].any()
