"""Features taken a few images at a time are those of all images together, in flat memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_cryodeco.data.read import CtfOptions, read_particles
from napari_cryodeco.data.stored_images import StoredImages
from napari_cryodeco.data.working_copy import write_working_copy
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.train import features
from napari_cryodeco.train.features import (
    FeatureStage,
    classical_features,
    free_of_defocus,
    most_clusters,
    prior_features,
)
from napari_cryodeco.train.stages import Silent

GEOMETRY = Geometry(32, 6.0, 15, 1.0, 32, 6.0)
POINTS = len(Ball(15, 2))


def made_ctf(n: int) -> Ctf:
    defocus = torch.linspace(1e4, 3e4, n)[torch.randperm(n, generator=seeded(1))]
    values = (300.0, 2.7, 0.1, 0.0)
    voltage, cs, amplitude, phase = (torch.full((n,), value) for value in values)
    return Ctf(defocus, defocus, torch.zeros(n), voltage, cs, amplitude, phase)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made_images(path: Path, n: int) -> StoredImages:
    strength = 1 + torch.rand(n, 1, generator=seeded(2))
    np.save(path, (strength * torch.randn(n, POINTS, generator=seeded(3))).half().numpy())
    return StoredImages(path)


@pytest.mark.parametrize("together", [1, 7, 64, 10_000])
def test_a_few_at_a_time_or_all_together(
    tmp_path: Path, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, ctf = made_images(tmp_path / "a.npy", 150), made_ctf(150)
    whole = classical_features(images[:], ctf, GEOMETRY, Silent())
    monkeypatch.setattr(features, "_TOGETHER", together)
    streamed = classical_features(images, ctf, GEOMETRY, Silent())
    assert torch.allclose(streamed, whole, atol=1e-4)


def test_an_encoder_sees_the_images_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    table, ctf = torch.randn(150, 40, generator=seeded(4)), made_ctf(150)
    whole = prior_features(lambda rows: table[rows], ctf, Silent(), 150)
    monkeypatch.setattr(features, "_COLUMNS", 7)
    streamed = prior_features(lambda rows: table[rows], ctf, Silent(), 11)
    assert torch.allclose(streamed, whole, atol=1e-5)
    assert float(whole.std()) == pytest.approx(1.0, abs=1e-4)


def test_what_is_taken_out_is_the_polynomial_that_numpy_fits() -> None:
    ctf, random = made_ctf(200), torch.randn(200, 35, generator=seeded(5))
    defocus = ctf.defocus_u.double().numpy()
    wave = np.sin(defocus / 3e3)[:, None] + random.double().numpy()
    rest = free_of_defocus(torch.from_numpy(wave).float(), ctf).numpy()
    for column in range(35):
        fitted = np.polynomial.Polynomial.fit(defocus, wave[:, column], 5)
        assert np.allclose(rest[:, column], wave[:, column] - fitted(defocus), atol=1e-4)


def peak(work: Callable[[], object]) -> int:
    """Largest memory of numpy arrays and of Python while `work` goes on, bytes."""
    tracemalloc.start()
    work()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_features_are_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_TOGETHER", 64)
    sizes = (256, 2048)
    peaks = []
    for n in sizes:
        images, ctf = made_images(tmp_path / f"{n}.npy", n), made_ctf(n)
        peaks.append(peak(lambda: classical_features(images, ctf, GEOMETRY, Silent())))  # noqa: B023
    assert peaks[1] < 1.2 * peaks[0] + 20_000


def test_the_working_copy_is_streamed(tmp_path: Path) -> None:
    import mrcfile

    peaks = []
    for n in (2048, 8192):  # batches of 1024; the second is two blocks
        path = tmp_path / f"{n}.mrcs"
        with mrcfile.new(path) as mrc:
            mrc.set_data(np.random.default_rng(0).normal(size=(n, 16, 16)).astype(np.float32))
            mrc.set_image_stack()
            mrc.voxel_size = 2.0
        particles = read_particles(path, ctf_options=CtfOptions(15000))
        copy = tmp_path / f"{n}.npy"
        peaks.append(peak(lambda: write_working_copy(particles, 16, copy)))  # noqa: B023
    assert peaks[1] < 1.2 * peaks[0] + 8192 * 20  # a row's number and place are 20 bytes


def test_faint_images_begin_in_fewer_clusters():
    assert [most_clusters(count) for count in (300, 1600, 10_000)] == [8, 16, 32]
    assert [most_clusters(count, 3.2) for count in (300, 1600, 10_000)] == [4, 5, 31]


@pytest.mark.parametrize(("faintness", "tried"), [(1.0, 8), (4.0, 4)])
def test_clusters_are_counted_by_what_an_image_tells(faintness: float, tried: int) -> None:
    """Two well apart, in what 400 images have: up to `tried` of them are tried."""
    found = torch.randn(400, 4, generator=seeded(1)) + 20.0 * (torch.arange(400) % 2)[:, None]
    stage = FeatureStage(lambda report: found, 400, None, 1, faintness=lambda: faintness)
    stage.load(None)
    stage.advance(0, Silent())
    assert len(stage.criterion) == tried and stage.posteriors.shape == (400, 2)
