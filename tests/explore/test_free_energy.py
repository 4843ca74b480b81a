"""Free energy of planted wells: their places, depths and shares, whatever noise and bandwidth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from sklearn.neighbors import KernelDensity

from napari_cryodeco.cli import main
from napari_cryodeco.explore.epoch_columns import EpochColumns
from napari_cryodeco.explore.free_energy import free_energy
from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.explore.replay import replay


def wells(n: int, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two round wells of equal width at (−3, 1) and (3, −1), the first with a share of all."""
    generator = np.random.default_rng(seed)
    first = np.arange(n) < round(share * n)
    x = np.where(first, -3, 3) + 0.6 * generator.standard_normal(n)
    y = np.where(first, 1, -1) + 0.6 * generator.standard_normal(n)
    order = generator.permutation(n)
    return x[order], y[order]


@pytest.mark.parametrize("share", [0.5, 0.75, 0.9])
@pytest.mark.parametrize("smoothing", [0.5, 0.8])
def test_two_wells_lie_at_their_centres_with_depths_as_their_populations(share, smoothing) -> None:
    x, y = wells(200_000, share)
    found = free_energy(x, y, smoothing=smoothing)
    assert len(found.minima) == 2
    deep, shallow = sorted(found.minima, key=lambda one: one.x)
    for one, centre in ((deep, (-3, 1)), (shallow, (3, -1))):
        assert np.hypot(one.x - centre[0], one.y - centre[1]) < 0.25
        assert np.hypot(x[one.row] - one.x, y[one.row] - one.y) < 0.05
    assert shallow.energy - deep.energy == pytest.approx(np.log(share / (1 - share)), abs=0.2)
    assert deep.share == pytest.approx(share, abs=0.01)


def test_the_energy_is_that_of_a_kernel_density() -> None:
    x, y = wells(2000, 0.6, seed=3)
    found = free_energy(x, y, smoothing=1.0)
    spread = min(x.std(), np.subtract(*np.quantile(x, (0.75, 0.25))) / 1.349)
    tall = min(y.std(), np.subtract(*np.quantile(y, (0.75, 0.25))) / 1.349)
    scaled = np.stack([x / spread, y / tall], 1)
    kernel = KernelDensity(bandwidth=len(x) ** (-1 / 6)).fit(scaled)
    energy = -kernel.score_samples(scaled[:200])
    ours = found.at(x[:200], y[:200])
    known = np.isfinite(ours)
    assert known.mean() > 0.95
    difference = (ours - energy)[known]
    assert np.abs(difference - difference.mean()).max() < 0.1


def test_one_lump_has_one_minimum_and_noise_makes_no_more() -> None:
    for seed in range(5):
        x, y = np.random.default_rng(seed).standard_normal((2, 3000))
        assert [len(free_energy(x, y, smoothing=s).minima) for s in (0.5, 1)] == [1, 1]
    assert len(free_energy(x, y, depth=0.02, smoothing=0.2).minima) > 1


def test_a_deeper_threshold_never_marks_more_minima_and_a_barrier_is_what_it_is() -> None:
    far, y = wells(40_000, 0.6)
    x = far - 1.7 * np.sign(far)  # centres at −1.3 and 1.3: they overlap
    y = y + np.sign(far)
    counts = [len(free_energy(x, y, depth).minima) for depth in (0.1, 0.5, 1, 2, 4)]
    assert counts == sorted(counts, reverse=True) and counts[0] >= 2 and counts[-1] == 1
    second = free_energy(x, y, 0.5).minima[1]
    assert not second.closed
    assert len(free_energy(x, y, second.depth * 0.98).minima) == 2
    assert len(free_energy(x, y, second.depth * 1.02).minima) == 1


def deepest_ways(energy: np.ndarray, cells: list[tuple[int, int]]) -> list[float]:
    """kT to climb from each cell to a deeper one of them, by the paths of a minimum spanning tree.

    The largest step of the way in that tree is the least possible (Gower & Ross 1969).
    """
    height = energy.ravel()
    number = np.arange(height.size).reshape(energy.shape)
    pairs = [
        np.stack([one.ravel(), other.ravel()])
        for one, other in (
            (number[:, :-1], number[:, 1:]),
            (number[:-1], number[1:]),
            (number[:-1, :-1], number[1:, 1:]),
            (number[:-1, 1:], number[1:, :-1]),
        )
    ]
    first, second = np.concatenate(pairs, 1)
    weight = np.maximum(height[first], height[second]) + 1.0  # no edge of weight 0
    tree = minimum_spanning_tree(coo_array((weight, (first, second)), shape=(height.size,) * 2))
    tree = tree + tree.T
    climbs = []
    for cell in cells:
        order, before = breadth_first_order(tree, number[cell])
        barrier = np.zeros(height.size)
        for one in order[1:].tolist():
            barrier[one] = max(barrier[before[one]], height[one])
        deeper = [number[c] for c in cells if energy[c] < energy[cell]]
        climbs.append(min((barrier[one] for one in deeper), default=np.inf) - energy[cell])
    return climbs


def test_the_way_to_a_deeper_minimum_may_lead_through_a_shallower_one() -> None:
    generator = np.random.default_rng(0)
    x = generator.choice([-2.2, 0, 2.2], 60_000, p=[0.5, 0.16, 0.34])
    x, y = x + 0.6 * generator.standard_normal(len(x)), 0.6 * generator.standard_normal(len(x))
    found = free_energy(x, y, 0.2)
    assert [round(one.x / 2.2) for one in found.minima[:3]] == [-1, 1, 0]
    height = -np.log(np.maximum(found.density, found.floor))
    cells = [
        (int(np.abs(found.y - one.y).argmin()), int(np.abs(found.x - one.x).argmin()))
        for one in found.minima
    ]
    ways = deepest_ways(height, cells)
    joined = [one for one in found.minima if not one.closed]
    assert {1, 2} <= {found.minima.index(one) for one in joined}
    for one, way in zip(found.minima, ways, strict=True):
        assert one.closed or one.depth == pytest.approx(way, abs=1e-6)
        assert way > one.depth - 1e-6  # of a closed one at least
    second = found.minima[1]
    counts = [len(free_energy(x, y, second.depth * near).minima) for near in (0.99, 1.01)]
    assert counts == [2, 1]


def test_one_dimension_and_particles_without_a_place() -> None:
    x, y = wells(20_000, 0.5)
    line = free_energy(x, np.zeros_like(x))
    assert sorted(round(one.x) for one in line.minima) == [-3, 3]
    assert all(abs(one.y) < 0.1 for one in line.minima)
    some = np.where(x < 0, x, np.nan)
    found = free_energy(some, y)
    assert len(found.minima) == 1 and found.minima[0].share > 0.98
    assert np.isnan(found.at(some, y)[x >= 0]).all()
    with pytest.raises(ValueError, match="20 are needed"):
        free_energy(x[:10], y[:10])
    with pytest.raises(ValueError, match="above 0"):
        free_energy(x, y, depth=0)


def test_contours_are_at_their_energy() -> None:
    found = free_energy(*wells(20_000, 0.5))
    lines = found.contours()
    assert {level for level, _ in lines} >= {1.0, 2.0, 3.0}
    for level, line in lines:
        at = found.at(*line.T)
        known = np.isfinite(at)
        assert known.any() and np.abs(at[known] - level).max() < 0.2  # at the rim it is steep


def test_a_range_of_the_energy_is_a_step_that_replays(wide_run) -> None:
    columns = EpochColumns.of_run(wide_run)
    name = "free energy of PC1, PC2"
    step = Step("range", axes=(name,), bounds=(-np.inf, 1.0))
    mask = replay((step,), columns)
    assert 0 < mask.sum() < len(mask)
    assert (columns.column(name)[mask] <= 1).all()
    with pytest.raises(ValueError, match="does not have"):
        columns.column("free energy of UMAP 1, UMAP 2")


def test_the_command_writes_minima_with_rows_and_a_picture(wide_run, tmp_path, capsys) -> None:
    out = tmp_path / "landscape"
    assert main(["landscape", str(wide_run.path), "--out", str(out)]) == 0
    record = json.loads((out / "landscape.json").read_text())
    assert record["axes"] == ["PC1", "PC2"] and record["particles"] == 600
    latents = wide_run.epoch().latents()
    rows = [one["row"] for one in record["minima"]]
    assert sorted((latents[rows, 0] > 2).tolist()) == [False, True]  # one in each planted lump
    assert [one["share"] for one in record["minima"]] == pytest.approx([0.5, 0.5], abs=0.05)
    assert "solution" in record["caveats"][0] and "solution" in capsys.readouterr().err
    assert np.ptp(np.asarray(Image.open(out / "landscape.png"))) == 255
    assert main(["landscape", str(wide_run.path), "-o", str(out)]) == 1
    assert main(["landscape", str(wide_run.path), "-o", str(out), "--overwrite"]) == 0
    assert main(["landscape", str(wide_run.path), "-o", str(tmp_path / "u"), "--view", "umap"]) == 1
    assert "cryodeco project" in capsys.readouterr().err
