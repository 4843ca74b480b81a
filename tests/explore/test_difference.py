"""Distances of two samples, against scipy and by hand; what chance alone gives is no finding."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from napari_cryodeco.explore.difference import (
    of_angles,
    of_directions,
    of_kinds,
    of_numbers,
)


def halves(n: int, count: int) -> np.ndarray:
    return np.arange(n) < count


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_ks_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for n, shift in ((900, 0.0), (900, 0.7), (20_000, 0.4)):
        values = rng.normal(size=n)
        values[:300] += shift
        chosen = halves(n, 300)
        found = of_numbers(values, chosen)
        expected = stats.ks_2samp(values[chosen], values[~chosen])
        assert found.distance == pytest.approx(expected.statistic, abs=1e-12 if n < 1000 else 2e-3)
        assert (found.chance < 0.01) == (expected.pvalue < 0.005)


def test_ks_with_ties_is_scipys() -> None:
    rng = np.random.default_rng(1)
    values, chosen = rng.integers(0, 5, 400), halves(400, 90)
    found = of_numbers(values, chosen)
    expected = stats.ks_2samp(values[chosen], values[~chosen]).statistic
    assert found.distance == pytest.approx(expected, abs=1e-12)


def test_what_chance_gives_is_the_mean_over_shuffles() -> None:
    rng = np.random.default_rng(2)
    values, chosen = rng.normal(size=500), halves(500, 60)
    found = of_numbers(values, chosen)
    shuffled = [
        stats.ks_2samp(values[c], values[~c]).statistic
        for c in (rng.permutation(chosen) for _ in range(300))
    ]
    assert found.expected == pytest.approx(np.mean(shuffled), abs=0.008)
    assert found.spread == pytest.approx(np.std(shuffled), rel=0.25)


def test_kuiper_does_not_ask_where_the_turn_begins() -> None:
    rng = np.random.default_rng(3)
    angles = rng.uniform(0, 360, 2000)
    angles[:200] = 350 + rng.normal(0, 15, 200)  # about the seam
    chosen = halves(2000, 200)
    found = [of_angles(angles + turn, 360, chosen) for turn in (0, 45, 170)]
    assert found[0].distance == pytest.approx(found[1].distance, abs=5e-3)
    assert found[0].distance == pytest.approx(found[2].distance, abs=5e-3)
    assert found[0].grade == "strong"
    # by hand: two of four points each side of the half turn
    quarter = of_angles(np.repeat([10.0, 100, 190, 280], 10), 360, halves(40, 20))
    assert quarter.distance == pytest.approx(1.0)


def test_cramers_v_is_scipys_of_the_balanced_table() -> None:
    rng = np.random.default_rng(4)
    codes = np.concatenate([rng.integers(0, 4, 300), rng.integers(1, 6, 300)])
    chosen = halves(600, 300)
    table = np.stack([np.bincount(codes[m], minlength=6) for m in (chosen, ~chosen)])
    expected = stats.contingency.association(table, method="cramer")
    assert of_kinds(codes, chosen).distance == pytest.approx(expected, abs=1e-12)
    # ten times the rest, in the same proportions: the same V
    longer = np.concatenate([codes[chosen], np.tile(codes[~chosen], 10)])
    again = of_kinds(longer, halves(len(longer), 300))
    assert again.distance == pytest.approx(expected, abs=1e-12)
    assert of_kinds(np.repeat([0, 1], 50), halves(100, 50)).distance == pytest.approx(1)


def test_few_particles_in_many_micrographs_are_no_finding() -> None:
    """A hundred particles hit a hundred of a thousand micrographs: V is large, by chance alone."""
    rng = np.random.default_rng(5)
    codes = np.arange(30_000) % 1000
    chosen = np.zeros(30_000, bool)
    chosen[rng.choice(30_000, 100, replace=False)] = True
    found = of_kinds(codes, chosen)
    assert found.distance > 0.9
    assert found.grade == "none"
    codes[chosen] = rng.integers(0, 3, 100)  # of three micrographs
    assert of_kinds(codes, chosen).grade == "strong"


def test_the_cap_distance_of_a_polar_cap_is_known() -> None:
    """Views from within 30° of a direction, against all of the sphere: 1 − share of that cap."""
    rng = np.random.default_rng(6)
    everywhere = unit(rng.normal(size=(20_000, 3)))
    heights = rng.uniform(np.cos(np.pi / 6), 1, 3000)
    azimuth, across = rng.uniform(0, 2 * np.pi, 3000), np.sqrt(1 - heights**2)
    polar = np.stack([across * np.cos(azimuth), across * np.sin(azimuth), heights], 1)
    views = np.concatenate([polar, everywhere])
    found, cap = of_directions(views, halves(23_000, 3000))
    share = (1 - np.cos(np.pi / 6)) / 2
    assert found.distance == pytest.approx(1 - share, abs=0.06)
    assert found.grade == "strong"
    assert np.rad2deg(np.arccos(cap.direction[2])) < 10
    assert np.rad2deg(cap.radius) == pytest.approx(30, abs=8)
    assert cap.inside > 0.95
    assert cap.rest == pytest.approx(share, abs=0.05)
    turned = views @ Rotation.random(random_state=1).as_matrix().T
    assert of_directions(turned, halves(23_000, 3000))[0].distance == pytest.approx(
        found.distance, abs=0.03
    )


def test_random_selections_alarm_nobody() -> None:
    rng = np.random.default_rng(7)
    n = 4000
    values, codes = rng.normal(size=n), rng.integers(0, 40, n)
    views, angles = unit(rng.normal(size=(n, 3))), rng.uniform(0, 360, n)
    for size in (15, 60, 400, 2000, 3900):
        chosen = np.zeros(n, bool)
        chosen[rng.choice(n, size, replace=False)] = True
        found = [
            of_numbers(values, chosen),
            of_angles(angles, 360, chosen),
            of_kinds(codes, chosen),
            of_directions(views, chosen)[0],
        ]
        assert [difference.grade for difference in found] == ["none"] * 4, size


def test_at_large_n_a_tiny_difference_is_certain_but_no_finding() -> None:
    rng = np.random.default_rng(8)
    values, chosen = rng.normal(size=300_000), halves(300_000, 100_000)
    values[chosen] += 0.05  # KS 0.02
    found = of_numbers(values, chosen)
    assert found.chance <= 0.005
    assert found.grade == "none"


def test_too_few_are_told() -> None:
    with pytest.raises(ValueError, match=r"3 of 50 particles are selected: at least 10"):
        of_numbers(np.arange(50.0), halves(50, 3))
