"""Labelled sets and what encoders see of stored images."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import torch

from napari_cryodeco.data.read import read_particles
from napari_cryodeco.imaging.preprocess import as_encoder_view, encoder_view
from napari_cryodeco.train import distributed
from napari_cryodeco.train.probe import read_probe
from napari_cryodeco.train.stored_views import SmallViews, UnitViews

ROWS = torch.arange(12)


def test_a_probe_holds_the_truth_of_its_rows(particle_set: Any) -> None:
    probe = read_probe(particle_set.folder)
    assert probe.name == particle_set.folder.name
    assert torch.equal(probe.labels, torch.from_numpy(particle_set.labels))
    assert probe.small_views().shape == (len(probe), 1, 32, 32)
    assert probe.small_views() is probe.small_views()  # read once
    assert probe.vit_views(ROWS).shape == (12, 1, 224, 224)


def test_labels_of_other_particles_are_refused(tmp_path: Path, particle_set: Any) -> None:
    shutil.copytree(particle_set.folder, tmp_path / "set")
    np.savez(tmp_path / "set" / "gt" / "ground_truth.npz", label=np.zeros(7, np.int16))
    with pytest.raises(ValueError, match=r"ground_truth\.npz has 7 labels for 60 particles"):
        read_probe(tmp_path / "set")


def test_the_small_encoder_sees_dark_protein_as_light(tmp_path: Path, particle_set: Any) -> None:
    shutil.copytree(particle_set.folder, tmp_path / "set")
    light = read_particles(particle_set.star)
    with mrcfile.open(tmp_path / "set" / "particles.mrcs", "r+") as mrc:
        mrc.set_data(-mrc.data)
    dark = replace(read_particles(tmp_path / "set" / "particles.star"), contrast="dark")
    torch.testing.assert_close(SmallViews(dark)(ROWS), SmallViews(light)(ROWS))


def test_the_two_halves_of_a_view_are_the_whole(particle_set: Any) -> None:
    particles = read_particles(particle_set.star)
    halves = as_encoder_view(UnitViews(particles, 224)(ROWS))
    probe = read_probe(particle_set.folder)
    torch.testing.assert_close(halves, probe.vit_views(ROWS))
    grey = torch.rand(2, 300, 300, generator=torch.Generator().manual_seed(0))
    assert encoder_view(grey).shape == (2, 1, 224, 224)  # larger ones are cropped


def test_a_batch_is_shared_evenly_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert distributed.local(16) == 16
    rows = torch.rand(3, 2, requires_grad=True)
    assert distributed.gather(rows) is rows
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert distributed.local(18) == 6
    with pytest.raises(ValueError, match="batch of 16 cannot be shared by 3 processes"):
        distributed.local(16)
