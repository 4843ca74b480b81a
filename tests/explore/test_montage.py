"""Images of particles: what each treatment does to them, against numpy, scipy and projections."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_cryodeco.data.projection import project, to_images
from napari_cryodeco.data.stack import ParticleStack
from napari_cryodeco.explore import montage
from napari_cryodeco.imaging.so3 import euler_to_matrix, matrix_to_euler, random_rotations


def correlation(a, b) -> float:
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def test_a_sample_is_seeded_sorted_and_of_the_rows():
    rows = np.arange(100, 1000, 3)
    first = montage.sample(rows, 16, 1)
    assert len(set(first.tolist())) == 16 and set(first) <= set(rows)
    assert np.all(np.diff(first) > 0)
    assert np.array_equal(first, montage.sample(rows, 16, 1))
    assert not np.array_equal(first, montage.sample(rows, 16, 2))
    assert np.array_equal(montage.sample(rows[:5], 16, 1), rows[:5])


@pytest.mark.parametrize("angle", [90.0, 37.0, -120.0])
def test_turning_is_what_scipy_does(angle):
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(33, 33)), 2.5)
    radius = np.hypot(*(np.mgrid[:33, :33] - 16))
    image = np.where(radius < 12, image, 0).astype(np.float32)
    ours = montage.turned(torch.from_numpy(image)[None], torch.tensor([np.radians(angle)]))[0]
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    matrix = np.array([[c, s], [-s, c]])  # for places (y, x) about pixel 16
    theirs = ndimage.affine_transform(image, matrix, np.array([16, 16]) - matrix @ [16, 16])
    assert correlation(ours, theirs) > 0.995


def test_particles_of_one_direction_lie_alike_once_aligned(particle_set):
    random = np.random.default_rng(3)
    positions = torch.from_numpy(random.normal(size=(60, 3)) * (14, 9, 20)).float()
    rotations = random_rotations(6, torch.Generator().manual_seed(1))
    angles = matrix_to_euler(rotations)
    angles[:, 2] = 0
    upright = euler_to_matrix(angles)
    seen, wanted = (
        to_images(project(positions, torch.ones(60), r, 48, 3.0, 6.0), 48)
        for r in (rotations, upright)
    )
    aligned = montage.turned(seen, montage.in_plane(rotations))
    assert all(correlation(a, b) > 0.99 for a, b in zip(aligned, wanted, strict=True))
    for found, rotation, one in zip(seen, rotations, wanted, strict=True):
        frame = euler_to_matrix(matrix_to_euler(rotation) * torch.tensor([1.0, 1.0, 0.0]))
        again = montage.turned(found[None], montage.in_plane(rotation[None], frame))[0]
        assert correlation(again, one) > 0.99


def test_raw_images_are_those_of_the_stack(planted_run):
    rows = np.array([7, 3, 20])
    found = montage.pictures(planted_run, rows, "raw")
    stack = ParticleStack(planted_run.particles).read(torch.from_numpy(rows))
    assert np.array_equal(found.images, stack.numpy())
    assert np.array_equal(found.rows, rows)
    assert found.pixel_size == planted_run.particles.pixel_size


def test_low_pass_leaves_nothing_beyond_and_flip_keeps_amplitudes(planted_run):
    rows, geometry = np.arange(4), planted_run.geometry
    whole = montage.pictures(planted_run, rows, "low-passed").images
    low = montage.pictures(planted_run, rows, "low-passed", 30.0).images
    flipped = montage.pictures(planted_run, rows, "CTF-flipped").images
    axis = np.fft.fftfreq(geometry.box, geometry.pixel_size)
    s = np.hypot(*np.meshgrid(axis, axis))
    shell = 1 / geometry.length
    before, after, turned = (np.fft.fft2(images) for images in (whole, low, flipped))
    top = np.abs(before).max()
    assert np.abs(after[:, s > 1 / 30 + 1.01 * shell]).max() < 1e-4 * top
    inner = s < 1 / 30 - 1.01 * shell
    assert np.allclose(after[:, inner], before[:, inner], atol=1e-4 * top)
    assert np.allclose(np.abs(turned), np.abs(before), atol=1e-4 * top)
    points = torch.from_numpy(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)).float()
    ctf = planted_run.particles.ctf[torch.arange(4)].at(points).reshape(turned.shape).numpy()
    sure = (np.abs(ctf) > 0.05) & (np.abs(before) > 0.01 * top)
    agree = np.real(turned * before.conj())[sure] * ctf[sure]
    assert (agree > 0).mean() > 0.999


def test_a_class_average_shows_its_direction(planted_run):
    """The average of views within 15° is like the projection of the molecule along that view."""
    species = np.flatnonzero(planted_run.epoch().latents()[:, 0] > 2)
    found = montage.class_average(planted_run, species, 25.0)
    directions = planted_run.epoch().poses().rotations[species, 2].numpy()
    azimuth, tilt = np.radians([found.azimuth, found.tilt])
    middle = [np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.cos(tilt)]
    assert found.count == len(species)
    assert 1 <= found.used == found.alike <= len(species)
    within = directions @ np.array(middle) > np.cos(np.radians(30))
    assert found.alike <= within.sum()
    one = montage.class_average(planted_run, species[:1], 25.0)
    assert one.used == one.count == 1
    alone = montage.pictures(planted_run, species[:1], "aligned", 25.0).images[0]
    assert np.allclose(one.image, alone, atol=1e-3 * np.abs(alone).max())


def test_shifts_centre_the_particles(planted_run, particle_set):
    """At the true poses a particle lies on the projection of its map; elsewhere it does not."""
    from napari_cryodeco.runs.store import read_mrc

    rows = np.arange(12)
    aligned = montage.pictures(planted_run, rows, "aligned", 15.0).images
    flipped = montage.pictures(planted_run, rows, "CTF-flipped", 15.0).images
    poses = planted_run.epoch().poses()
    side = aligned.shape[-1]
    assert float(poses.shifts[rows].norm(dim=1).mean()) > 1.0
    better = []
    for row in rows:
        volume, _ = read_mrc(particle_set.maps[int(particle_set.labels[row])])
        volume = np.asarray(volume, np.float64)
        angles = matrix_to_euler(poses.rotations[row]) * torch.tensor([1.0, 1.0, 0.0])
        rotation = euler_to_matrix(angles).double().numpy()
        axes = rotation.T[::-1, ::-1]  # from xyz to zyx
        centre = np.full(3, side // 2)
        seen = ndimage.affine_transform(volume, axes, centre - axes @ centre, order=1).sum(0)
        better.append(correlation(aligned[row], seen) - correlation(flipped[row], seen))
    assert np.mean(better) > 0.1


def test_what_is_missing_is_said(planted_run):
    with pytest.raises(ValueError, match="No particles are chosen"):
        montage.class_average(planted_run, np.empty(0, np.int64))
    with pytest.raises(ValueError, match="positive"):
        montage.pictures(planted_run, np.arange(2), "low-passed", 0.0)
