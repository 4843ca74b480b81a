"""Scores against cases done by hand, and against sklearn and scipy."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from sklearn import metrics
from sklearn.neighbors import KNeighborsClassifier

from napari_cryodeco.cli import main
from napari_cryodeco.data.ground_truth import read_truth
from napari_cryodeco.explore import scores
from napari_cryodeco.explore.map_scores import conformation_rows, image_rows, score_maps
from napari_cryodeco.imaging import fsc
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.poses import MIRROR, Poses
from napari_cryodeco.imaging.so3 import random_rotations, rotvec_to_matrix
from napari_cryodeco.runs.store import write_mrc


def test_label_scores_of_a_case_done_by_hand() -> None:
    """Pairs together: 6 in truth, 4 found, 2 in both, 15 in all: (2 - 24/15) / (5 - 24/15)."""
    true, found = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 2, 2])
    got = scores.label_scores(true, found)
    pairs = (2, 6, 3)  # {0,1} and {4,5} in both; three pairs each of size two found
    expected = pairs[1] * pairs[2] / 15
    assert got.ari == pytest.approx((2 - expected) / ((pairs[1] + pairs[2]) / 2 - expected))
    assert got.accuracy == pytest.approx(4 / 6)
    assert got.ami_max == metrics.adjusted_mutual_info_score(true, found, average_method="max")
    assert got.ami_arithmetic == metrics.adjusted_mutual_info_score(true, found)
    assert got.ami_max < got.ami_arithmetic


def test_names_do_not_matter_and_the_unassigned_are_wrong() -> None:
    true = np.array([5, 5, 5, 9, 9, 9])
    assert scores.label_scores(true, np.array([1, 1, 1, 0, 0, 0])).accuracy == 1
    found = np.array([1, 1, -1, 0, 0, -1])
    got = scores.label_scores(true, found)
    assert got.accuracy == pytest.approx(4 / 6)
    assert got.ari == metrics.adjusted_rand_score(true, found)
    assert scores.accuracy(true, np.full(6, -1)) == 0
    with pytest.raises(ValueError, match="6 true labels and 5"):
        scores.label_scores(true, found[:5])


def test_nearest_scores_by_hand() -> None:
    """On a circle: likeness is the cosine, votes are exp(cosine), nobody votes for himself."""
    angles = np.radians([0, 10, 20, 90, 100, 200])
    z = np.stack([np.cos(angles), np.sin(angles)], 1) * np.array([[3, 1, 5, 1, 2, 1]]).T
    labels = np.array([0, 1, 0, 1, 1, 2])
    # one neighbour: 0->10° (1), 10->0° or 20° (0), 20->10° (1), 90->100 (1), 100->90 (1), 200->100
    got = scores.nearest_scores(z, labels, k=1)
    assert got.top1 == pytest.approx(2 / 6)
    assert got.top10 == pytest.approx(2 / 6)
    # all five others: class 1 wins wherever two of it vote; a class of one has no vote at all
    got = scores.nearest_scores(z, labels, k=5)
    rank = []
    for i in range(6):
        votes = np.zeros(3)
        for j in range(6):
            if i != j:
                votes[labels[j]] += math.exp(math.cos(angles[i] - angles[j]))
        own = votes[labels[i]]
        rank.append((votes > own).sum() if own > 0 else 99)
    assert got.top1 == pytest.approx(np.mean(np.array(rank) < 1))
    assert got.top10 == pytest.approx(5 / 6)


def test_nearest_scores_agree_with_sklearns_leave_one_out() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 12, 300)
    z = generator.standard_normal((12, 6))[labels] + 0.8 * generator.standard_normal((300, 6))
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    right = tens = 0
    for i in range(300):
        others = np.arange(300) != i
        model = KNeighborsClassifier(10, metric="euclidean", weights=lambda d: np.exp(1 - d**2 / 2))
        odds = model.fit(unit[others], labels[others]).predict_proba(unit[i : i + 1])[0]
        right += model.classes_[odds.argmax()] == labels[i]
        tens += odds[model.classes_ == labels[i]][0] > 0  # ten neighbours hold ten classes at most
    got = scores.nearest_scores(z, labels)
    assert got.top1 == pytest.approx(right / 300) and got.top10 == pytest.approx(tens / 300)


def test_large_classes_are_drawn_down_and_small_ones_kept() -> None:
    labels = np.repeat([0, 1, 2], [50, 3, 20])
    rows = scores._at_most(labels, 10, seed=0)
    assert np.bincount(labels[rows]).tolist() == [10, 3, 10]
    assert (np.diff(rows) > 0).all() and rows[10:13].tolist() == [50, 51, 52]


def test_neighbourhoods_of_the_same_points_are_the_same() -> None:
    z = np.random.default_rng(1).standard_normal((200, 3))
    turned = z[:, [2, 0, 1]] * 7 + 4
    got = scores.neighbourhood_similarity(z, turned, ks=(5, 20, 400))
    assert got == {5: (1.0, 0.0), 20: (1.0, 0.0)}  # 40 particles a part: no 400 others
    strange = np.random.default_rng(2).standard_normal((200, 3))
    by_chance = scores.neighbourhood_similarity(z, strange, ks=(20,))[20][0]
    assert by_chance == pytest.approx(20 / 39, abs=0.06)


def test_neighbourhoods_by_hand() -> None:
    true, found = np.array([[0.0], [1], [2.5], [4.5]]), np.array([[0.0], [10], [9], [30]])
    # nearest, true: 1 0 1 2; found: 2 2 1 1 -> only particle 2's is shared
    got = scores.neighbourhood_similarity(true, found, ks=(1,), stride=1)
    assert got[1] == (0.25, 0.0)


def test_a_displaced_map_makes_no_shift_error_and_the_rest_is_measured() -> None:
    generator = torch.Generator().manual_seed(0)
    rotations = random_rotations(200, generator)
    true = torch.randn(200, 2, generator=generator)
    place = torch.tensor([3.0, -8.0, 5.0])
    found = Poses(rotations, true + (rotations @ place)[:, :2])
    assert scores.shift_errors(found, true).max() < 1e-4
    noise = 0.5 * torch.randn(200, 2, generator=generator)
    errors = scores.shift_errors(Poses(rotations, found.shifts + noise), true)
    assert float(errors.median()) == pytest.approx(float(noise.norm(dim=1).median()), rel=0.05)


@pytest.mark.parametrize("mirrored", [False, True])
def test_pose_scores_do_not_see_frame_hand_and_symmetry(mirrored: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    true = random_rotations(60, generator)
    threefold = rotvec_to_matrix(torch.tensor([[0.0, 0, a] for a in (0, 2.0944, 4.1888)]))
    seen = true @ threefold[torch.randint(3, (60,), generator=generator)]
    if mirrored:
        seen = MIRROR @ seen @ MIRROR
    frame = random_rotations(1, generator)[0]
    place = torch.tensor([1.0, 2.0, 3.0])
    found = seen @ frame
    poses = Poses(found, (found @ place)[:, :2])
    got = scores.pose_scores(poses, true, torch.zeros(60, 2), threefold)
    assert got.median_degrees < 0.5 and got.within_15 == 1
    assert got.median_shift < 1e-4
    alone = scores.pose_scores(poses, true)
    assert alone.within_15 < 0.9 and alone.median_shift is None


def test_fsc_in_cryobenchs_shells_against_numpys_fft() -> None:
    box = 16
    first, second = np.random.default_rng(0).standard_normal((2, box, box, box))
    second += 2 * first
    spectra = [np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(v))) for v in (first, second)]
    axis = np.arange(box) - box // 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    expected = [1.0]
    for i in range(1, box // 2):
        shell = (radius >= i - 1) & (radius < i)
        a, b = (spectrum[shell] for spectrum in spectra)
        power = (abs(a) ** 2).sum() * (abs(b) ** 2).sum()
        expected.append(float((a * b.conj()).sum().real / math.sqrt(power)))
    curve = fsc.cryobench_curve(torch.from_numpy(first), torch.from_numpy(second))
    np.testing.assert_allclose(curve.numpy(), expected, atol=1e-5)
    clipped = np.clip(np.abs(expected), 0, 1)
    assert fsc.area(curve) == pytest.approx(np.trapezoid(clipped, np.arange(box // 2) / box))


def test_equal_maps_have_the_largest_area_and_the_mean_does_not_count() -> None:
    volume = torch.randn(128, 8, 8)[:8].clone()
    assert fsc.area(torch.ones(64)) == pytest.approx(0.5 - 1 / 128)
    curve = fsc.cryobench_curve(volume - volume.mean(), 3 * volume + 5)
    torch.testing.assert_close(curve, torch.ones(4))
    wave = torch.cos(2 * torch.pi * torch.arange(8) / 8).expand(8, 8, 8)  # |k| = 1: shell 2 alone
    curve = fsc.cryobench_curve(wave, volume)
    assert curve[0] == 1 and curve[3] == 0


def test_which_particles_are_taken() -> None:
    assert image_rows(1000, 100).tolist() == list(range(0, 1000, 10))
    assert image_rows(1050, 100).tolist() == list(range(0, 1000, 10))
    assert image_rows(7, 100).tolist() == list(range(7))
    z = np.array([[0.0], [1.0], [5.0], [2.2], [2.1]])
    # class 0 = rows 0, 2: mean 2.5, nearest of all is row 3 of the other class
    assert conformation_rows(z, np.array([0, 1, 0, 1, 1])).tolist() == [3, 4]


class Known:
    """Stands for a decoder: the map of z is row round(z) of a table of maps."""

    latent_dim = 1

    def __init__(self, maps: list[np.ndarray]) -> None:
        self.maps = [torch.from_numpy(volume) for volume in maps]

    def decode_ball(self, z, ball, radius=None):
        h = torch.stack([ball.from_map(self.maps[int(point[0].round())]) for point in z])
        return h if radius is None else h[:, : ball.count(radius)]


def test_maps_are_compared_with_those_of_the_true_class(tmp_path) -> None:
    from napari_cryodeco.explore.volumes import VolumeDecoder

    generator = np.random.default_rng(5)
    axis = np.arange(16) - 8
    ball = np.exp(-(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) / 18)
    maps = [(ball * generator.standard_normal((16,) * 3)).astype(np.float32) for _ in range(2)]
    paths = [tmp_path / f"vol_{i:03d}.mrc" for i in range(2)]
    for path, volume in zip(paths, maps, strict=True):
        write_mrc(path, volume, 4.0)
    geometry = Geometry(16, 4.0, 7, 1.0, 16, 4.0)
    decoder = VolumeDecoder((Known(maps), geometry))
    rows, classes = np.array([3, 8, 9]), np.array([0, 1, 0])
    points = np.array([[0.0], [1.0], [1.0]])  # the last is of the wrong class
    got = score_maps(decoder, points, rows, classes, paths, align=False)
    assert got.best == pytest.approx(0.5 - 1 / 16)
    assert got.areas[0] == pytest.approx(got.best, abs=1e-3)
    assert got.areas[1] == pytest.approx(got.best, abs=1e-3)
    assert got.areas[2] < 0.6 * got.best
    assert got.by_class()[0] == pytest.approx((got.areas[0] + got.areas[2]) / 2)


def test_the_truth_of_a_simulated_set_is_read(particle_set) -> None:
    truth = read_truth(particle_set.folder)
    np.testing.assert_array_equal(truth.labels, particle_set.labels)
    np.testing.assert_allclose(truth.rotations, particle_set.rotations, atol=1e-6)
    np.testing.assert_allclose(truth.shifts, particle_set.shifts, atol=1e-5)
    assert truth.maps == particle_set.maps and truth.latent is None
    assert [tuple(group.shape) for group in truth.symmetries] == [(1, 3, 3)] * 2
    assert read_truth(particle_set.folder / "gt").source == truth.source


def test_bad_truth_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no truth"):
        read_truth(tmp_path)
    np.savez(tmp_path / "a.npz", classes=np.zeros(3))
    with pytest.raises(ValueError, match="no array 'label'"):
        read_truth(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", label=np.zeros(3), rotation=np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match="2 rows of 'rotation', 3 labels"):
        read_truth(tmp_path / "b.npz")


def test_the_command_scores_a_run(planted_run, particle_set, tmp_path, capsys) -> None:
    words = ["score", str(planted_run.path), "--truth", str(particle_set.folder), "--images", "4"]
    assert main(["cluster", str(planted_run.path), "-k", "2"]) == 0
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "ARI 1.0000" in said and "top-10 1.0000" in said and "FSC area" in said
    record = json.loads((planted_run.path / "scores.json").read_text())
    assert record["clusters"]["accuracy"] == 1
    assert record["poses"]["together"]["median_degrees"] < 0.1  # the poses planted are the truth
    assert record["poses"]["by_class"]["rod"]["median_shift"] < 1e-3
    assert record["fsc_image"]["rows"] == [0, 15, 30, 45]
    assert record["fsc_image"]["aligned"] is False  # poses of the file: the frame is the truth's
    assert 0 <= record["fsc_image"]["mean"] <= record["fsc_image"]["best"] == pytest.approx(0.45)
    assert main([*words, "-o", str(tmp_path / "s.json")]) == 0
    assert main([*words, "-o", str(tmp_path / "s.json")]) == 1
    np.savez(tmp_path / "few.npz", label=np.zeros(3))
    capsys.readouterr()
    assert main([*words[:3], str(tmp_path / "few.npz")]) == 1
    assert "of 3 particles" in capsys.readouterr().err
