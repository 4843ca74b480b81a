"""Reading images from many stacks, the working copy, and the float32 copy."""

from __future__ import annotations

import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from napari_cryodeco.data.molecule import Molecule
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.read import CtfOptions, read_particles
from napari_cryodeco.data.simulate import Recipe, simulate
from napari_cryodeco.data.stack import (
    ParticleStack,
    has_half_floats,
    write_float32_copy,
)
from napari_cryodeco.data.working_copy import write_working_copy
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.preprocess import window


@pytest.fixture
def noise(tmp_path: Path, stack_writer) -> Particles:
    values = np.random.default_rng(0).normal(5.0, 3.0, (400, 32, 32)).astype(np.float16)
    path = stack_writer(tmp_path / "noise.mrcs", values, 2.0)
    return read_particles(path, ctf_options=CtfOptions(15000))


def test_rows_come_in_the_order_asked_for_from_many_stacks(
    relion: Path, tmp_path: Path, images, stack_writer
) -> None:
    others = images * 10
    stack_writer(tmp_path / "project" / "b.mrcs", others)
    text = relion.read_text().replace("000002@Extract/job007/a.mrcs", "000005@b.mrcs")
    relion.write_text(text)
    stack = ParticleStack(read_particles(relion))
    expected = [images[5], others[4], images[0], others[4]]
    assert np.array_equal(stack.read(torch.tensor([4, 1, 0, 1])), np.stack(expected))


def test_more_stacks_than_may_be_open(relion: Path, tmp_path: Path, images, stack_writer) -> None:
    lines = relion.read_text().rstrip().split("\n")
    for place in range(70):
        stack_writer(tmp_path / "project" / f"s{place}.mrcs", images + place)
    row = lines[-1].split("6@")
    lines += [f"{row[0]}1@s{place}.mrcs {row[1].split(maxsplit=1)[1]}" for place in range(70)]
    relion.write_text("\n".join(lines) + "\n")
    stack = ParticleStack(read_particles(relion))
    read = stack.read(torch.arange(5, 75))
    assert np.allclose(read.numpy() - images[0], np.arange(70)[:, None, None], atol=1e-5)
    assert np.allclose(stack.read(torch.tensor([5]))[0], images[0])


def test_working_coefficients_of_noise_have_variance_one(noise: Particles, tmp_path: Path) -> None:
    out = tmp_path / "images.npy"
    for box in (32, 20):
        geometry = write_working_copy(noise, box, out)
        h = torch.from_numpy(np.load(out, allow_pickle=False))
        assert h.dtype == torch.float16
        assert h.shape == (400, len(Ball(box // 2 - 1, 2)))
        assert float(h.float().std()) == pytest.approx(1.0, abs=0.02)
        assert (geometry.box, geometry.radius) == (box, box // 2 - 1)
        assert geometry.pixel_size == pytest.approx(2.0 * 32 / box)
        assert (geometry.source_box, geometry.source_pixel_size) == (32, 2.0)


def test_a_working_copy_turns_back_into_the_windowed_images(
    noise: Particles, tmp_path: Path
) -> None:
    ball = Ball(15, 2)
    geometry = write_working_copy(noise, 32, tmp_path / "images.npy")
    h = torch.from_numpy(np.load(tmp_path / "images.npy")).float()
    again = ball.to_map(h, 32, geometry.scale)
    windowed = (ParticleStack(noise).read(torch.arange(400)) - 5.0) * window(32)
    wanted = ball.to_map(ball.from_map(windowed), 32)
    # the background of each image is its own mean, so a little of the window shape remains
    error = (again - wanted).pow(2).mean() / wanted.pow(2).mean()
    assert float(error) < 0.01


def test_dark_particles_are_made_light(noise: Particles, tmp_path: Path) -> None:
    light, dark = tmp_path / "light.npy", tmp_path / "dark.npy"
    write_working_copy(noise, 32, light)
    write_working_copy(replace(noise, contrast="dark"), 32, dark)
    assert np.array_equal(np.load(light), -np.load(dark))


def test_contrast_that_nobody_says_is_read_off_the_images(tmp_path: Path, stack_writer) -> None:
    rod = np.random.default_rng(0).normal(size=(150, 3)) * (20, 20, 60)
    molecule = Molecule("rod", "", "made here", np.float32(rod), np.full(150, 60, "f4"))
    star = simulate([molecule], Recipe(box=32, pixel_size=8, count=200, snr=0.3), tmp_path / "set")
    particles = read_particles(star)
    assert particles.contrast is None
    light = write_working_copy(particles, 32, tmp_path / "light.npy")
    stack_writer(particles.stacks[0], -ParticleStack(particles).read(torch.arange(200)).numpy(), 8)
    dark = write_working_copy(read_particles(star), 32, tmp_path / "dark.npy")
    assert (light.contrast, dark.contrast) == ("light", "dark")
    assert light.contrast_score == -dark.contrast_score > 0
    assert np.array_equal(np.load(tmp_path / "light.npy"), np.load(tmp_path / "dark.npy"))
    said = write_working_copy(replace(particles, contrast="light"), 32, tmp_path / "said.npy")
    assert (said.contrast, said.contrast_score) == ("light", None)


def test_progress_counts_to_the_end_and_may_stop(noise: Particles, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_working_copy(noise, 32, tmp_path / "a.npy", lambda *done: seen.append(done))
    assert seen[-1] == (400, 400)

    class Stopped(Exception):
        pass

    def stop(done: int, of: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        write_working_copy(noise, 32, tmp_path / "b.npy", stop)
    assert not (tmp_path / "b.npy").exists()
    assert not list(tmp_path.glob(".*"))


def test_nan_that_the_sample_missed_is_found(noise: Particles, tmp_path: Path) -> None:
    with noise.stacks[0].open("r+b") as file:
        file.seek(1024 + 2 * 32 * 32 * 123)
        file.write(np.float16(np.nan).tobytes())
    with pytest.raises(ValueError, match=r"row 124: image 000124@.*noise.mrcs holds NaN"):
        write_working_copy(noise, 32, tmp_path / "images.npy")
    assert not (tmp_path / "images.npy").exists()


@pytest.mark.parametrize("box", [31, 2, 34])
def test_a_box_that_does_not_fit_is_told(noise: Particles, tmp_path: Path, box: int) -> None:
    with pytest.raises(ValueError, match=f"Working box {box} px: choose an even number"):
        write_working_copy(noise, box, tmp_path / "images.npy")


def test_images_without_noise_are_told(tmp_path: Path, stack_writer) -> None:
    path = stack_writer(tmp_path / "flat.mrcs", np.zeros((4, 16, 16), np.float32))
    particles = read_particles(path, ctf_options=CtfOptions(15000))
    with pytest.raises(ValueError, match=r"flat.mrcs: the images are flat"):
        write_working_copy(particles, 16, tmp_path / "images.npy")


def test_a_full_disk_is_told_at_once(
    noise: Particles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 0))
    with pytest.raises(OSError, match=r"images.npy: 0.6 MB are needed and 0.0 MB are left"):
        write_working_copy(noise, 32, tmp_path / "images.npy")
    assert not list(tmp_path.glob("*.npy"))


def test_the_float32_copy_holds_the_chosen_images(noise: Particles, tmp_path: Path) -> None:
    everything = torch.arange(len(noise))
    assert has_half_floats(noise, everything)
    rows = np.array([399, 0, 17])
    out = tmp_path / "copy.mrcs"
    write_float32_copy(noise, rows, out)
    with mrcfile.open(out) as mrc:
        assert mrc.data.dtype == np.float32
        assert np.array_equal(mrc.data, ParticleStack(noise).read(torch.from_numpy(rows)).numpy())
        assert mrc.voxel_size.x == pytest.approx(2.0)
    copied = read_particles(out, ctf_options=CtfOptions(15000))
    assert not has_half_floats(copied, torch.arange(3))
