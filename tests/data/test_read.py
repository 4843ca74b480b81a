"""Any particle file, and images that cannot be worked with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.read import CtfOptions, read_particles


def test_a_bare_stack_takes_its_ctf_from_the_options(tmp_path: Path, images, stack_writer) -> None:
    path = stack_writer(tmp_path / "a.mrcs", images, 1.75)
    options = CtfOptions(defocus_u=15000, angle=90, voltage=200, cs=2.0, amplitude=0.07)
    particles = read_particles(path, ctf_options=options)
    assert (len(particles), particles.box) == (6, 16)
    assert particles.pixel_size == pytest.approx(1.75)
    assert particles.ctf.defocus_v.tolist() == [15000] * 6
    assert torch.allclose(particles.ctf.angle, torch.tensor(torch.pi / 2))
    assert particles.poses is None
    wider = read_particles(path, ctf_options=replace(options, pixel_size=3.0))
    assert wider.pixel_size == 3.0


def test_a_bare_stack_without_ctf_or_pixel_size_is_told(
    tmp_path: Path, images, stack_writer
) -> None:
    path = stack_writer(tmp_path / "a.mrcs", images, 0.0)
    with pytest.raises(ValueError, match=r"a.mrcs holds images without a CTF: give"):
        read_particles(path)
    with pytest.raises(ValueError, match=r"a.mrcs has no pixel size"):
        read_particles(path, ctf_options=CtfOptions(15000))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2, 16, 12), r"images of 12×16 px; extract the particles in square boxes"),
        ((2, 15, 15), r"a box of 15 px; extract or rescale the particles to an even box"),
    ],
)
def test_odd_and_oblong_boxes_are_told(
    tmp_path: Path, shape: tuple[int, ...], words: str, stack_writer
) -> None:
    path = stack_writer(tmp_path / "a.mrcs", np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match=words):
        read_particles(path, ctf_options=CtfOptions(15000))


def test_stacks_of_two_boxes_are_told(relion: Path, tmp_path: Path, stack_writer) -> None:
    stack_writer(tmp_path / "project" / "b.mrcs", np.zeros((9, 18, 18), np.float32))
    text = relion.read_text()
    relion.write_text(text.replace("000002@Extract/job007/a.mrcs", "000002@b.mrcs"))
    with pytest.raises(ValueError, match=r"b.mrcs has a box of 18 px but .*a.mrcs one of 16"):
        read_particles(relion)


@pytest.mark.filterwarnings("ignore:Data array contains NaN")
def test_nan_images_are_named(tmp_path: Path, images, stack_writer) -> None:
    images[4, 3, 3] = np.nan
    path = stack_writer(tmp_path / "a.mrcs", images)
    with pytest.raises(ValueError, match=r"a.mrcs, row 5: image 000005@.*a.mrcs holds NaN"):
        read_particles(path, ctf_options=CtfOptions(15000))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x.txt: particles are read from .star, .cs or .mrcs"):
        read_particles(tmp_path / "x.txt")
    with pytest.raises(FileNotFoundError, match=r"x.star is missing"):
        read_particles(tmp_path / "x.star")


def test_relative_paths_and_strings_do(relion: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(relion.parent)
    assert read_particles("run_data.star").source == relion


def test_particles_are_cut_together(relion: Path) -> None:
    particles = read_particles(relion)
    some = particles[torch.tensor([3, 0])]
    assert some.slice_of.tolist() == [2, 0]
    assert some.ctf.defocus_u.tolist() == particles.ctf.defocus_u[[3, 0]].tolist()
    assert some.poses is not None
    assert particles.poses is not None
    assert torch.equal(some.poses.shifts, particles.poses.shifts[[3, 0]])


def test_columns_of_unequal_length_make_no_particles(relion: Path) -> None:
    particles = read_particles(relion)
    with pytest.raises(ValueError, match="one row a particle"):
        Particles(**{**vars(particles), "ctf": particles.ctf[torch.arange(2)]})
    with pytest.raises(ValueError, match="no particles"):
        particles[torch.arange(0)]
