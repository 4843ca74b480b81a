from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.runs.run import Run, is_run
from napari_cryodeco.stage_config import DataConfig


def settings(source: Path, **changes: Any) -> TrainConfig:
    return TrainConfig(data=DataConfig(source=source), **changes)


def test_a_run_opens_as_it_was_made(tmp_path: Path, particle_set: Any) -> None:
    source = particle_set.star_with_poses
    particles = read_particles(source)
    config = settings(source, poses="file", seed=9)
    Run.create(tmp_path / "run", particles, config)
    run = Run.open(tmp_path / "run")
    assert run.config == config
    back = run.particles
    assert (back.source, back.stacks) == (source, particles.stacks)
    assert (back.box, back.pixel_size) == (particles.box, particles.pixel_size)
    assert torch.equal(back.slice_of, particles.slice_of)
    assert torch.equal(back.ctf.defocus_u, particles.ctf.defocus_u)
    assert back.poses is not None and particles.poses is not None
    assert torch.equal(back.poses.rotations, particles.poses.rotations)
    assert torch.equal(back.poses.shifts, particles.poses.shifts)
    assert run.status().state == "queued"
    assert run.epochs() == []


def test_contrast_of_the_settings_wins(tmp_path: Path, particle_set: Any) -> None:
    data = DataConfig(source=particle_set.star, contrast="dark")
    particles = read_particles(particle_set.star)
    run = Run.create(tmp_path / "run", particles, TrainConfig(data=data))
    assert Run.open(run.path).particles.contrast == "dark"


def test_what_is_not_there_yet_says_what_to_do(tmp_path: Path, particle_set: Any) -> None:
    config = settings(particle_set.star)
    run = Run.create(tmp_path / "run", read_particles(particle_set.star), config)
    for ask in (lambda: run.geometry, run.stored_images, run.epoch):
        with pytest.raises(ValueError, match="cryodeco train"):
            ask()


def test_poses_are_asked_of_a_file_that_has_them(tmp_path: Path, particle_set: Any) -> None:
    config = settings(particle_set.star, poses="file")
    with pytest.raises(ValueError, match=r"particles\.star has no orientations"):
        Run.create(tmp_path / "run", read_particles(particle_set.star), config)
    assert not list(tmp_path.iterdir())


def test_nothing_of_the_user_is_overwritten(tmp_path: Path, particle_set: Any) -> None:
    particles, config = read_particles(particle_set.star), settings(particle_set.star)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="is no run"):
            Run.create(tmp_path / "mine", particles, config, overwrite)
    assert (tmp_path / "mine" / "thesis.tex").exists()
    Run.create(tmp_path / "run", particles, config)
    with pytest.raises(FileExistsError, match="holds a run already"):
        Run.create(tmp_path / "run", particles, config)
    Run.create(tmp_path / "run", particles, config, overwrite=True)


def test_an_empty_folder_may_become_the_run(tmp_path: Path, particle_set: Any) -> None:
    (tmp_path / "run").mkdir()
    Run.create(tmp_path / "run", read_particles(particle_set.star), settings(particle_set.star))
    assert is_run(tmp_path / "run")


def test_what_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Run.open(tmp_path / "nothing")
    with pytest.raises(ValueError, match="is no run"):
        Run.open(tmp_path)


def test_an_edited_setting_is_named(tmp_path: Path, particle_set: Any) -> None:
    config = settings(particle_set.star)
    run = Run.create(tmp_path / "run", read_particles(particle_set.star), config)
    text = run.paths.config.read_text()
    run.paths.config.write_text(text.replace("seed: 1701", "seed: many"))
    with pytest.raises(ValueError, match=r"run\.yaml: seed"):
        Run.open(run.path)


def test_a_changed_source_is_noticed(tmp_path: Path, particle_set: Any) -> None:
    folder = tmp_path / "set"
    shutil.copytree(particle_set.folder, folder)
    star = folder / "particles.star"
    run = Run.create(tmp_path / "run", read_particles(star), settings(star))
    run.check_source()
    lines = star.read_text().rstrip().splitlines()
    star.write_text("\n".join([*lines[:-2], lines[-1], lines[-2]]) + "\n")  # two rows swapped
    with pytest.raises(ValueError, match="has changed since"):
        run.check_source()
    star.unlink()
    with pytest.raises(FileNotFoundError, match="is gone"):
        run.check_source()


def test_epochs_are_found_by_number(planted_run: Run) -> None:
    assert planted_run.epochs() == [1]
    epoch = planted_run.epoch()
    assert epoch.number == 1
    assert epoch.latents().shape == (60, 4)
    assert len(epoch.poses()) == 60
    assert epoch.class_posteriors() is None
    assert epoch.decoder().latent_dim == 4
    assert planted_run.stored_images()[:].shape[0] == 60
    with pytest.raises(ValueError, match="has no epoch 7"):
        planted_run.epoch(7)
