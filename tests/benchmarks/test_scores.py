"""The measures of the proofs, on features whose answer is known; invariants that do not move."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.geometry import Geometry


def ctf(n: int, defocus: torch.Tensor | None = None) -> Ctf:
    same = torch.full((n,), 15_000.0) if defocus is None else defocus
    zero = torch.zeros(n)
    return Ctf(same, same, zero, zero + 300, zero + 2.7, zero + 0.1, zero)


def clouds(n: int, species: int, apart: float) -> tuple[torch.Tensor, np.ndarray]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(species).repeat_interleave(n)
    centres = apart * torch.eye(20)[:species]
    features = centres[labels] + torch.randn(n * species, 20, generator=generator)
    return features, labels.numpy()


def test_features_apart_score_one_and_noise_scores_chance(load) -> None:
    scores = load("feature_scores")
    good = scores.score(*clouds(60, 4, 30.0))
    assert (good.knn, good.nearest, good.ari) == (1.0, 1.0, 1.0)
    noise = scores.score(*clouds(60, 4, 0.0))
    assert abs(noise.knn - 0.25) < 0.12 and abs(noise.ari) < 0.1


def test_scores_do_not_depend_on_scale_or_turn(load) -> None:
    scores = load("feature_scores")
    features, labels = clouds(50, 3, 3.0)
    turn, _ = torch.linalg.qr(torch.randn(20, 20, generator=torch.Generator().manual_seed(1)))
    first, second = scores.score(features, labels), scores.score(7 * features @ turn + 5, labels)
    assert first.knn == pytest.approx(second.knn, abs=0.02)
    assert first.ari == pytest.approx(second.ari, abs=0.02)


def test_taking_the_defocus_out_leaves_what_it_does_not_predict(load) -> None:
    scores = load("feature_scores")
    features, labels = clouds(100, 2, 4.0)
    defocus = 5000 + 20_000 * torch.rand(200, generator=torch.Generator().manual_seed(2))
    spoilt = features + 3e-3 * defocus[:, None]
    mended = scores.PROCESSINGS["defocus-free"](spoilt, ctf(200, defocus))
    assert scores.knn(scores.points(mended), labels) > 0.95


def test_whitening_makes_the_spread_within_a_species_round(load) -> None:
    scores = load("feature_scores")
    features, labels = clouds(400, 3, 10.0)
    stretched = features * torch.linspace(1, 8, 20)
    whitened = scores.Whitening.fit(stretched, labels, ridge=0.0)(stretched)
    inside = torch.cat([whitened[labels == k] - whitened[labels == k].mean(0) for k in range(3)])
    covariance = inside.T @ inside / len(inside)
    assert torch.allclose(covariance, torch.eye(20), atol=0.02)


def blobs(box: int, turns: torch.Tensor, shifts: torch.Tensor) -> SimpleNamespace:
    """A set of one lopsided particle, turned in the plane and moved (px)."""
    axis = (torch.arange(box) - box // 2).float()
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    images = torch.zeros(len(turns), box, box)
    for place, weight in (((2.0, 0.0), 1.0), ((-1.5, 2.5), 0.8), ((-2.0, -3.0), 0.5)):
        px = place[0] * turns.cos() - place[1] * turns.sin() + shifts[:, 0]
        py = place[0] * turns.sin() + place[1] * turns.cos() + shifts[:, 1]
        squared = (x - px[:, None, None]) ** 2 + (y - py[:, None, None]) ** 2
        images += weight * (-squared / (2 * 2.0**2)).exp()
    ball = Ball(box // 2 - 1, 2)
    coefficients = ball.from_map(images, 0.02 * box)
    columns, geometry = ctf(len(turns)), Geometry(box, 5.0, box // 2 - 1, 1.0, box, 5.0)

    def seen(radius: int, rows: slice):
        disc = Ball(radius, 2)
        passed = columns[rows].at(disc.frequencies(box, 5.0))
        return coefficients[rows, : len(disc)] * passed, passed, disc

    return SimpleNamespace(
        seen=seen,
        parts=lambda: [slice(0, len(turns))],
        labels=np.zeros(len(turns), int),
        geometry=geometry,
        ctf=columns,
    )


def test_centring_finds_the_shifts_of_a_clear_particle(load) -> None:
    images = load("image_features")
    generator = torch.Generator().manual_seed(3)
    moved = 3 * (2 * torch.rand(60, 2, generator=generator) - 1)
    turns = 6.28 * torch.rand(60, generator=generator)
    found = 64 * images._shifts(blobs(64, turns, moved))
    error = (found - moved) - (found - moved).mean(0)
    assert error.square().mean().sqrt() < 0.9  # of 1.7; the profile is round, the particle is not


def test_invariants_stay_when_the_particle_turns(load, monkeypatch: pytest.MonkeyPatch) -> None:
    images = load("image_features")
    monkeypatch.setattr(images, "_shifts", lambda mixture: torch.zeros(24, 2))
    turns = torch.linspace(0, 6.0, 24)
    mixture = blobs(64, turns, torch.zeros(24, 2))
    components = images.steerable(mixture)
    angular = torch.cat([part.real for part in components[1:]], 1)
    for values in (images.second_order(components), images.third_order(components, kept=1)):
        leading = values.abs().mean(0).argmax()  # small ones are made of interpolation errors
        assert values[:, leading].std() < 0.02 * values[:, leading].abs().mean()
    assert angular.std(0).norm() > angular.mean(0).norm()  # what they are made of does turn


def test_a_table_keeps_one_row_of_a_key(load, tmp_path: Path) -> None:
    table = load("measuring").Table(tmp_path / "rows.json", ("name", "seed"))
    for score in (0.1, 0.2):
        table.put({"name": "a", "seed": 1, "score": score})
    table.put({"name": "a", "seed": 2, "score": 0.3})
    assert [row["score"] for row in table.rows()] == [0.2, 0.3]
    assert table.find(name="a", seed=1)["score"] == 0.2
    assert table.find(name="b", seed=1) is None


def test_time_to_a_goal_counts_when_it_is_kept(load) -> None:
    pytest.importorskip("matplotlib")
    reached = load("prior_curve").reached
    points = [{"ari": v, "cpu_seconds": 10.0 * i} for i, v in enumerate((0.5, 0.1, 0.4, 0.6), 1)]
    assert reached(points, "ari", 0.3) == 30.0  # the first 0.5 was not kept
    assert reached(points, "ari", 0.05) == 10.0
    assert reached(points, "ari", 0.9) is None


def test_eight_turns_of_a_view_are_eight_and_keep_its_centre(load) -> None:
    turn = load("prior_encoders")._turn
    view = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(4))
    turned = [turn(view, number) for number in range(8)]
    assert all(part[..., 16, 16] == view[..., 16, 16] for part in turned)
    inner = [part[..., 1:, 1:] for part in turned]
    assert torch.equal(inner[0], view[..., 1:, 1:])
    apart = [(a - b).abs().max() > 0.1 for i, a in enumerate(inner) for b in inner[:i]]
    assert all(apart)
