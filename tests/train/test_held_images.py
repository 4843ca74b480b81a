"""Images are held on a GPU where they fit, and give the same either way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.stored_images import Images, StoredImages
from napari_cryodeco.train import held_images
from napari_cryodeco.train.held_images import on_device
from napari_cryodeco.train.observations import Observations
from napari_cryodeco.train.refine import RefineStage
from napari_cryodeco.train.stages import Silent
from napari_cryodeco.train.subspace import fit

if TYPE_CHECKING:
    from conftest import Scene

CPU = torch.device("cpu")


@pytest.fixture
def images(tmp_path: Path) -> StoredImages:
    values = np.random.default_rng(0).normal(size=(5000, 8)).astype(np.float16)
    np.save(tmp_path / "images.npy", values)
    return StoredImages(tmp_path / "images.npy")


def test_a_cpu_holds_none(images: StoredImages) -> None:
    assert on_device(images, CPU) is images


def test_what_fits_is_held_and_what_does_not_stays(
    images: StoredImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_images, "free_memory", lambda device: 2 * images.nbytes - 1)
    assert on_device(images, CPU) is images
    monkeypatch.setattr(held_images, "free_memory", lambda device: 2 * images.nbytes)
    held = on_device(images, CPU)
    assert isinstance(held, Tensor)
    assert torch.equal(held, images[:])


@pytest.mark.parametrize("kind", ["table", "cnn"])
def test_training_from_disk_equals_training_from_memory(
    scene: Scene, tmp_path: Path, kind: str
) -> None:
    seen = scene.seen
    np.save(tmp_path / "images.npy", seen.images.half().numpy())
    config = TrainConfig.model_validate(
        {
            "data": {"source": "particles.star"},
            "poses": "file",
            "latent_dim": 2,
            "encoder": {"kind": kind},
            "refine_poses": True,
            "field": {"width": 16, "layers": 1, "frequencies": 16},
            "refine": {"epochs": 1, "batch": 50, "warmup": 5, "point_fraction": 0.3},
            "precision": "fp32",
        }
    )

    def trained(images: Images) -> dict[str, Tensor]:
        observed = Observations(images, seen.ctf, seen.poses, seen.geometry, seen.radius)
        model = fit(observed, 2, torch.Generator().manual_seed(0))
        stage = RefineStage(config, images, seen.ctf, seen.poses, seen.geometry, model)
        stage.load(None)
        stage.advance(0, Silent())
        return stage.tensors()

    stored = StoredImages(tmp_path / "images.npy")
    held, read = trained(stored[:]), trained(stored)
    assert held.keys() == read.keys()
    assert [name for name in held if not torch.equal(held[name], read[name])] == []
