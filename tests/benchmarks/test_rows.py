"""Rows of what comes out right: species beside the truth, symmetry groups, sets of states."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from napari_cryodeco.data.ground_truth import Recipe, read_truth
from napari_cryodeco.data.molecule import Molecule
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.runs.species import SpeciesRecord

BOX = 32


def density(points: np.ndarray) -> torch.Tensor:
    """Gaussian blobs at ``(n, 3)`` voxels from the centre, xyz."""
    grid = np.stack(np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij"), -1)[..., ::-1]
    apart = grid[None] - points[:, None, None, None]
    return torch.from_numpy(np.exp(-(apart**2).sum(-1) / (2 * 1.3**2)).sum(0)).float()


@pytest.mark.parametrize(
    ("letters", "name", "size"), [("C3", "C3", 3), ("D2", "D2", 4), ("D4", "D4", 8), ("O", "O", 24)]
)
def test_the_group_of_a_map_made_by_a_group_is_found(load, letters, name, size) -> None:
    turns = Rotation.create_group(letters) * Rotation.from_euler("xyz", [0.4, 0.9, -0.3])
    tilt = Rotation.from_euler("xyz", [0.3, -0.5, 1.1])
    asymmetric = np.array([[7.0, 2.0, 4.5], [3.0, 6.5, 1.5], [5.0, 5.0, 7.0]])
    made = np.concatenate([(tilt * turn).apply(asymmetric) for turn in turns])
    found, group = load("symmetry").rotation_group(density(made))
    assert (found, len(group)) == (name, size)
    true = tilt * Rotation.create_group(letters) * tilt.inv()
    for turn in group.numpy():
        errors = (Rotation.from_matrix(turn) * true.inv()).magnitude()
        assert np.rad2deg(errors.min()) < 3


def test_a_map_without_symmetry_has_none(load) -> None:
    points = np.array([[7, 2, 4], [-3, 6, 1], [1, -5, 7], [2, -8, -3], [-6, -2, 0.0]])
    assert load("symmetry").rotation_group(density(points))[0] == "C1"


def made_set(folder: Path, n: int = 120) -> tuple[torch.Tensor, np.ndarray]:
    """Truth of two species without symmetry, `n` particles each."""
    (folder / "gt").mkdir()
    (folder / "info.json").write_text(json.dumps({"models": ["a", "b"]}))
    turns = torch.from_numpy(Rotation.random(2 * n, random_state=0).as_matrix()).float()
    labels = np.arange(2 * n) % 2
    np.savez(
        folder / "gt" / "ground_truth.npz",
        label=labels,
        class_names=["a", "b"],
        rotation=turns.numpy(),
    )
    points = np.array([[7, 2, 4], [-3, 6, 1], [1, -5, 7], [2, -8, -3], [-6, -2, 0.0]])
    for number in range(2):
        mrcfile.write(folder / "gt" / f"vol_{number:03d}.mrc", density(points + number).numpy())
    return turns, labels


def record(images: int, again: bool) -> SpeciesRecord:
    return SpeciesRecord(images, again, 0.9 if again else 0.4, 1.0, 20.0)


def test_a_species_with_turned_poses_is_right_and_one_with_random_ones_is_wrong(
    load, tmp_path: Path
) -> None:
    scores = load("species_scores")
    true, labels = made_set(tmp_path)
    frame = torch.from_numpy(Rotation.from_euler("xyz", [1, 2, 3]).as_matrix()).float()
    random = torch.from_numpy(Rotation.random(len(true), random_state=1).as_matrix()).float()
    found = torch.where(torch.from_numpy(labels == 0)[:, None, None], true @ frame, random)
    rows = scores.species_scores(tmp_path, found, 1 - labels, [record(120, True)] * 2)
    assert [row["species"] for row in rows] == ["b", "a"]
    assert [row["purity"] for row in rows] == [1, 1]
    assert rows[1]["median_degrees"] < 0.1 and rows[0]["median_degrees"] > 20
    assert [scores.is_right(row) for row in rows] == [False, True]
    by_species = scores.pose_errors(tmp_path, found, labels, 1 - labels)
    assert [row["class"] for row in by_species] == [2, 1]


def test_few_members_fit_any_frame_and_are_not_called_right(load, tmp_path: Path) -> None:
    scores = load("species_scores")
    true, labels = made_set(tmp_path)
    found = np.full(len(labels), 1)
    found[:3] = 0
    rows = scores.species_scores(tmp_path, true, found, [record(3, True), record(237, True)])
    assert rows[0]["median_degrees"] is None and not scores.is_right(rows[0])
    assert rows[1]["purity"] == pytest.approx(119 / 237, abs=1e-3)


def test_precision_and_recall_of_sound(load) -> None:
    tell = load("species_scores").precision_and_recall
    pairs = [(True, 2.0), (True, 50.0), (True, 3.0), (False, 4.0), (False, 90.0), (True, None)]
    species = [{"images": 9, "sound": s, "median_degrees": e} for s, e in pairs]
    told = tell([*species, {"images": 0, "sound": False}])
    assert (told["species"], told["sound"], told["right"], told["both"]) == (6, 4, 3, 2)
    assert told["precision"] == 0.5 and told["recall"] == pytest.approx(2 / 3, abs=1e-3)
    assert tell([])["precision"] is None


def test_the_truth_in_z_is_found_and_noise_has_none(load) -> None:
    score = load("row_scores").conformation_scores
    draw = np.random.default_rng(0)
    true = draw.uniform(-1, 1, (600, 2))
    bent = np.c_[true[:, 0], true[:, 1] + true[:, 0] ** 2, 0.01 * draw.normal(size=600)]
    told, nothing = score(bent, true), score(draw.normal(size=(600, 3)), true)
    assert told["knn_r2"] > 0.95 and min(told["spearman"]) > 0.8
    assert nothing["knn_r2"] < 0.1 and max(nothing["spearman"]) < 0.2


def chains_file(path: Path, chains: int, each: int = 30) -> None:
    draw = np.random.default_rng(0)
    centres = np.repeat(np.arange(chains), each)[:, None] * [9, 0, 0]
    xyz = draw.normal(scale=8, size=(chains * each, 3)) + centres
    np.savez(
        path,
        xyz=xyz.astype(np.float32),
        w=np.full(len(xyz), 20, np.uint16),
        chain=np.repeat(np.arange(chains), each).astype(np.int16),
    )


def test_shared_core_has_a_ramp_of_states_that_grow(load, tmp_path: Path) -> None:
    sets = load("state_sets")
    chains_file(tmp_path / "6gmh.npz", 20)
    states = sets.shared_core(tmp_path)
    sizes = [len(state) for state in states]
    assert len(states) == 8 and sizes == sorted(set(sizes)) and sizes[-1] == 600
    for small, large in itertools.pairwise(states):
        kept = {tuple(row) for row in large.positions.tolist()}
        assert all(tuple(row) in kept for row in small.positions.tolist())
    recipe = Recipe(box=32, pixel_size=12.0, count=9, seed=3)
    sets.make_shared_core(tmp_path, recipe, tmp_path / "set")
    truth = read_truth(tmp_path / "set")
    assert np.bincount(truth.labels).tolist() == [2, 4, 6, 8, 10, 12, 14, 16]
    plain = read_particles(tmp_path / "set" / "particles.star")
    posed = read_particles(tmp_path / "set" / "gt" / "particles_gt.star", tmp_path / "set")
    assert torch.equal(plain.slice_of, posed.slice_of) and plain.poses is None
    assert posed.poses is not None and truth.rotations is not None
    assert torch.allclose(posed.poses.rotations.float(), truth.rotations, atol=1e-4)
    assert load("species_scores").states_of_one(tmp_path / "set")


def test_the_linker_moves_one_chain_within_its_cone(load, tmp_path: Path) -> None:
    sets = load("state_sets")
    chains_file(tmp_path / "3sn6.npz", 5)
    states, angles = sets.linker(tmp_path)
    assert len(states) == sets.CONFORMERS == len(angles)
    tilt = np.linalg.norm(angles, axis=1)
    assert tilt.max() <= sets.CONE and len(np.unique(tilt.round(3))) == len(tilt)
    moved = np.array([_moved(states[0], state) for state in states[1:]])
    fixed = np.repeat(np.arange(5), 30) != sets.RECEPTOR
    assert not moved[:, fixed].any() and moved[:, ~fixed].all()
    for state in states:  # a rigid part stays rigid
        part = state.positions[~fixed].astype(float)
        first = states[0].positions[~fixed].astype(float)
        assert np.allclose(_distances(part), _distances(first), atol=1e-3)


def _moved(one: Molecule, other: Molecule) -> np.ndarray:
    return np.linalg.norm(one.positions - other.positions, axis=1) > 1e-3


def _distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def row(**changes: object) -> dict[str, object]:
    known = {"set": "a", "count": 9, "set_seed": 0, "snr": 0.1, "poses": "abinitio"}
    known |= {"prior": "bundled", "classes": "true", "latent_dim": None, "seed": 1, "engine": "e"}
    told = {"images": 9, "sound": True, "median_degrees": 2.0, "species": "b", "purity": 1.0}
    told |= {"class": 1, "again": True, "agreement": 0.9, "sides": 1.0, "share_of_species": 1.0}
    return known | {"cpu_seconds": 3.0, "ari_classes": 0.5, "species": [told]} | changes


def test_the_page_keeps_what_is_around_its_tables(load, tmp_path: Path, monkeypatch) -> None:
    report = load("rows_report")
    page = tmp_path / "results.md"
    monkeypatch.setattr(report, "PAGE", page)
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    rows = [
        row(),
        row(poses="true-maps", kept={"ari_classes": 0.8, "log_likelihood": 9.0}),
        row(latent_dim=4, ari_latents=0.7),
    ]
    report.write_page(rows)
    first = page.read_text()
    assert first.startswith("before\n") and first.endswith("\nafter\n") and "old" not in first
    report.write_page(rows)
    assert page.read_text() == first
    tables = [text for text in first.splitlines() if text.startswith("|")]
    counts = {text.count("|") for text in tables[:3]}
    assert len(tables) == 9 and len(counts) == 1


def test_ten_runs_are_asked_for_before_the_report_passes(load) -> None:
    trust = load("rows_report").trust
    assert trust([row()] * 9).startswith("FAIL") and trust([row()] * 10).startswith("PASS")
    assert trust([row(latent_dim=4)] * 10).startswith("FAIL")  # the same runs, counted once
