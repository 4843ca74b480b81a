"""Laws of the training images: they are those of the simulator, at the SNR that is asked for."""

from __future__ import annotations

import math

import pytest
import torch

from napari_cryodeco.data.bank import Bank, make_cloud, training_molecules
from napari_cryodeco.data.episodes import (
    EpisodeSettings,
    EpisodeSimulator,
    pixel_frequencies,
    splat,
)
from napari_cryodeco.data.molecule import load_beads
from napari_cryodeco.data.procedural import KINDS, invent, real_clouds
from napari_cryodeco.data.projection import project, to_images
from napari_cryodeco.imaging.preprocess import window, windowed
from napari_cryodeco.imaging.so3 import random_rotations
from napari_cryodeco.pretrain_config import PretrainConfig


@pytest.fixture(scope="module")
def bank() -> Bank:
    molecules = training_molecules()
    return Bank.of(real_clouds(molecules, 256) + invent(30, molecules[:2], 3, 256))


def settings(**changes: object) -> EpisodeSettings:
    return EpisodeSettings(**{"species": 4, "views": 6, **changes})  # type: ignore[arg-type]


def test_splat_is_the_exact_projection_at_low_frequency() -> None:
    molecule = load_beads("3gbm")
    points = torch.from_numpy(molecule.positions)
    weights = torch.from_numpy(molecule.electrons)
    turns = random_rotations(3, torch.Generator().manual_seed(0))
    blur, pixel_size = 8.0, 10.0
    exact = to_images(project(points, weights, turns, 32, pixel_size, blur), 32)
    seen = torch.einsum("bij,nj->bin", turns[:, :2], points)
    frequencies = pixel_frequencies(32, torch.device("cpu")) / pixel_size
    soft = torch.exp(-2 * (math.pi * blur) ** 2 * frequencies.square().sum(-1))
    ours = torch.fft.irfft2(splat(seen, weights.expand(3, -1), 32, pixel_size) * soft, s=(32, 32))
    assert (ours - exact).norm() / exact.norm() < 0.01


def test_same_generator_same_episode_and_another_another(bank: Bank) -> None:
    simulator = EpisodeSimulator(bank, settings())
    first, again, other = (
        simulator.draw(torch.Generator().manual_seed(seed)).images for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_views_of_a_species_come_together_and_are_counted(bank: Bank) -> None:
    episode = EpisodeSimulator(bank, settings()).draw(torch.Generator().manual_seed(1))
    assert episode.images.shape == (24, 32, 32)
    assert episode.groups.tolist() == [i // 6 for i in range(24)]


def test_signal_has_the_asked_strength(bank: Bank) -> None:
    # many views at high SNR: all but the noise is signal, and ice and neighbours are rare
    wanted = 50.0
    found = []
    for seed in range(12):
        simulator = EpisodeSimulator(bank, settings(snr=(wanted, wanted)))
        images = simulator.draw(torch.Generator().manual_seed(seed)).images
        found.append(float(images.square().mean()) / (wanted * (64 / 32) ** 2))
    assert sorted(found)[6] == pytest.approx(1.0, rel=0.1)


def test_hardest_never_leaves_the_range(bank: Bank) -> None:
    simulator = EpisodeSimulator(bank, settings(snr=(0.01, 0.5)))
    for seed in range(5):
        assert simulator.draw(torch.Generator().manual_seed(seed), 3.0).snr == pytest.approx(0.5)
        assert 0.01 <= simulator.draw(torch.Generator().manual_seed(seed)).snr <= 0.5


def test_the_particle_fits_its_box(bank: Bank) -> None:
    simulator = EpisodeSimulator(bank, settings(room=(1.2, 1.2), snr=(1e6, 1e6), shift=0.0))
    for seed in range(4):
        episode = simulator.draw(torch.Generator().manual_seed(seed))
        largest = float(bank.diameters[episode.labels].max())
        assert episode.pixel_size * 32 == pytest.approx(1.2 * largest, rel=1e-4)


def test_species_of_an_episode_are_of_like_size(bank: Bank) -> None:
    simulator = EpisodeSimulator(bank, settings(species=3, likeness=(1.5, 1.5)))
    ratios = []
    for seed in range(20):
        own = bank.diameters[simulator.draw(torch.Generator().manual_seed(seed)).labels]
        ratios.append(float(own.max() / own.min()))
    assert sorted(ratios)[10] < 1.6


def test_exposures_show_one_side_and_share_no_noise(bank: Bank) -> None:
    clear = settings(exposures=2, shift=0.0, snr=(0.5, 0.5), defocus=(1.0, 1.0))
    episode = EpisodeSimulator(bank, clear).draw(torch.Generator().manual_seed(2))
    seen = episode.images.view(4, 3, 2, -1)
    first, second = seen[:, :, 0], seen[:, :, 1]
    centred = [part - part.mean(-1, keepdim=True) for part in (first, second)]

    def likeness(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return torch.cosine_similarity(one, other, dim=-1)

    same = likeness(*centred)
    other_side = likeness(centred[0], centred[1].roll(1, 1))
    assert float(same.mean()) > float(other_side.mean()) + 0.02
    assert float(same.max()) < 0.99  # the noise differs


def test_windowed_noise_is_one_per_coefficient() -> None:
    noise = torch.randn(400, 32, 32, generator=torch.Generator().manual_seed(0))
    seen = windowed(noise)
    assert float(seen.square().mean()) == pytest.approx(1.0, abs=0.02)
    assert not seen[:, window(32) == 0].any()


def test_clouds_keep_mass_and_centre() -> None:
    molecule = load_beads("2buk")
    cloud = make_cloud("2buk", "real", molecule.positions, molecule.electrons, 500)
    assert len(cloud.points) <= 500
    assert cloud.weights.sum() == pytest.approx(molecule.electrons.sum(), rel=1e-5)
    centre = (cloud.points * cloud.weights[:, None]).sum(0) / cloud.weights.sum()
    assert abs(centre).max() < 1e-2
    assert cloud.diameter == pytest.approx(molecule.diameter, rel=0.15)


def test_invented_structures_do_not_depend_on_their_number() -> None:
    molecules = training_molecules()[:2]
    few, more = invent(3, molecules, 9, 128), invent(5, molecules, 9, 128)
    for one, other in zip(few, more[:3], strict=True):
        assert (one.points == other.points).all()
    assert len({cloud.points.tobytes() for cloud in more}) == 5


@pytest.mark.parametrize("kinds", [["blob"], ["warped", "fragment"]])
def test_only_the_kinds_asked_for_are_invented(kinds: list[str]) -> None:
    made = invent(6, training_molecules()[:2], 9, 128, kinds)
    assert {cloud.kind for cloud in made} <= set(kinds)


def test_the_settings_name_the_kinds_that_there_are() -> None:
    assert PretrainConfig().kinds == tuple(KINDS)


def test_index_keeps_proof_species_out(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from shutil import copy

    from napari_cryodeco.data.molecule import BEADS

    for name in ("1ruz", "1wcm"):
        copy(BEADS / f"{name}.npz", tmp_path)
    (tmp_path / "index.csv").write_text(
        "file,prior_split\n1ruz.npz,train\n1wcm.npz,dev_family\n", encoding="utf-8"
    )
    assert [molecule.name for molecule in training_molecules(tmp_path)] == ["1ruz"]
    (tmp_path / "index.csv").write_text("file,prior_split\n1wcm.npz,dev_family\n", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="prior_split"):
        training_molecules(tmp_path)


def test_shipped_training_structures_are_of_no_proof_family() -> None:
    assert "1wcm" not in [molecule.name for molecule in training_molecules()]
