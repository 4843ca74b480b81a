"""The demo: what it says about the truth is true, and the whole of it on a small sample."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pytest
import starfile
import torch

from napari_cryodeco import demo
from napari_cryodeco.data.ground_truth import Recipe
from napari_cryodeco.data.molecule import load_beads
from napari_cryodeco.imaging.so3 import euler_to_matrix
from napari_cryodeco.runs.run import Run
from napari_cryodeco.stage_config import AbinitioConfig, FieldConfig, RefineConfig
from napari_cryodeco.train.starts import StartPlan

if TYPE_CHECKING:
    from tests.conftest import ParticleSet


def write_truth(path: Path, labels: np.ndarray, rotations: torch.Tensor) -> Path:
    np.savez(path, label=labels.astype(np.int16), rotation=rotations.numpy())
    return path


def test_the_comparison_forgives_what_cannot_be_known(
    planted_run: Run, particle_set: ParticleSet, tmp_path: Path
) -> None:
    """Names of clusters, the frame of a map and a molecule's symmetry are free."""
    found = planted_run.epoch().poses().rotations
    turn = euler_to_matrix(torch.tensor([0.4, 1.0, -2.0]))
    molecules = [load_beads("1wcm"), load_beads("3wip")]
    fivefold = torch.from_numpy(molecules[1].symmetry)
    true = found @ turn
    second = torch.from_numpy(particle_set.labels) == 1
    random = torch.randint(5, (len(true),), generator=torch.Generator().manual_seed(0))
    true = torch.where(second[:, None, None], true @ fivefold[random], true)
    truth = write_truth(tmp_path / "truth.npz", particle_set.labels, true)
    ari, species = demo.compare(planted_run, 1 - particle_set.labels, truth, molecules)
    assert ari == 1.0
    assert [result.count for result in species] == [30, 30]
    assert all(result.poses.median_degrees < 0.5 for result in species)


def test_the_comparison_sees_chance(
    planted_run: Run, particle_set: ParticleSet, tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(1)
    angles = torch.rand(60, 3, generator=generator) * 6
    truth = write_truth(tmp_path / "truth.npz", particle_set.labels, euler_to_matrix(angles))
    labels = np.random.default_rng(0).integers(0, 2, 60)
    molecules = [load_beads("1wcm"), load_beads("1wcm")]
    ari, species = demo.compare(planted_run, labels, truth, molecules)
    assert abs(ari) < 0.2
    assert all(result.poses.median_degrees > 40 for result in species)


def test_a_folder_that_exists_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo-run").mkdir()
    with pytest.raises(FileExistsError, match="demo-run exists already: choose another name"):
        demo.demo(tmp_path / "demo-run")
    monkeypatch.chdir(tmp_path)
    assert demo.free_folder() == Path("demo-run-2")


def test_the_sample_is_three_species_that_differ_in_size() -> None:
    molecules = demo.SAMPLE.molecules()
    assert len(molecules) >= 3
    sizes = [math.sqrt((m.positions**2).sum(1).mean()) for m in molecules]
    assert min(abs(a - b) for i, a in enumerate(sizes) for b in sizes[:i]) > 5  # Å, of gyration


@pytest.mark.slow
def test_the_whole_demo_on_a_small_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StartPlan, "of", lambda species, looks: StartPlan(80, last=looks.radius))
    recipe = Recipe(box=32, pixel_size=10.0, count=60, snr=0.5, seed=2)
    quick = AbinitioConfig(classes=3, restarts=1), RefineConfig(epochs=2, warmup=50)
    sample = demo.Sample(("1wcm", "2buk", "3wip"), recipe, *quick)
    seen: list[demo.DemoStatus] = []
    outcome = demo.demo(tmp_path / "small", seen.append, sample)

    assert list(dict.fromkeys(status.step for status in seen)) == list(demo.WEIGHTS)
    assert seen[-1].share == pytest.approx(1.0, abs=0.01)
    assert all(place.exists() for place in outcome.places.values())
    text = demo.describe(outcome)
    assert all(str(place) in text for place in outcome.places.values())

    subsets = [starfile.read(path) for path in sorted(outcome.places["subsets"].glob("*.star"))]
    assert sum(len(subset["particles"]) for subset in subsets) == 180
    maps = sorted(outcome.places["maps"].glob("class_*.mrc"))
    assert len(maps) == 3
    for path in maps:
        with mrcfile.open(path) as mrc:
            assert float(mrc.voxel_size.x) == pytest.approx(10.0)
    assert len(np.load(outcome.places["export"] / "latents.npy")) == 180
    assert -0.5 <= outcome.ari <= 1
    assert [result.count for result in outcome.species] == [60, 60, 60]


@pytest.mark.slow
def test_the_demo_of_a_motion_follows_it(tmp_path: Path) -> None:
    recipe = Recipe(box=32, pixel_size=10.0, count=60, snr=0.5, seed=2, pooled=True)
    quick, network = RefineConfig(epochs=2, warmup=50), FieldConfig(width=64)
    sample = demo.Sample(("1wcm",), recipe, refine=quick, network=network, hinge=5)
    outcome = demo.demo(tmp_path / "moving", sample=sample)
    found = outcome.motion
    assert found is not None and found.follows > 0.8
    assert sum(count for count, _ in found.clusters) == 300 and len(found.clusters) == 3
    lowest, highest = sorted(angle for _, angle in found.clusters)[::2]
    assert highest - lowest > 25  # of 60 degrees
    text = demo.describe(outcome)
    assert "cluster 3: " in text and all(str(place) in text for place in outcome.places.values())
    source = Run.open(outcome.run).config.data.source
    assert source == tmp_path / "moving" / "sample" / "gt" / "particles_gt.star"
    subsets = sorted(outcome.places["subsets"].glob("*.star"))
    assert sum(len(starfile.read(path)["particles"]) for path in subsets) == 300


def test_the_motion_is_of_one_molecule_that_has_a_hinge() -> None:
    snapshots, angles = demo.MOTION.molecules(), demo.MOTION.angles()
    assert angles is not None and len(snapshots) == len(angles) == demo.MOTION.hinge
    assert demo.SAMPLE.angles() is None
    moved = np.linalg.norm(snapshots[0].positions - snapshots[-1].positions, axis=1)
    assert moved.min() < 1e-3 and moved.max() > 20  # Å: a part stands still, another swings
