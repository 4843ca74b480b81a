"""Images are held on a GPU where they fit, and give the same either way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_cryodeco.data.stored_images import StoredImages
from napari_cryodeco.train import held_images
from napari_cryodeco.train.held_images import on_device

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
