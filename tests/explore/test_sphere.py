"""The map of viewing directions keeps areas, and recipes drawn on it are done again."""

from __future__ import annotations

import numpy as np
import pytest

from napari_cryodeco.explore import sphere
from napari_cryodeco.explore.epoch_columns import EpochColumns
from napari_cryodeco.explore.history import History
from napari_cryodeco.explore.lasso import inside
from napari_cryodeco.explore.micrographs import by_micrograph
from napari_cryodeco.explore.projection import pca
from napari_cryodeco.explore.read_columns import KEPT, ReadColumns
from napari_cryodeco.explore.recipe import Recipe, Step
from napari_cryodeco.explore.replay import replay


def random_angles(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-180, 180, n), np.degrees(np.arccos(rng.uniform(-1, 1, n)))


def test_equal_areas_hold_equal_shares_of_uniform_directions():
    x, y = sphere.project(*random_angles(400_000))
    a, b = sphere.WIDTH / 2, sphere.HEIGHT / 2
    inside_rim = (x / a) ** 2 + (y / b) ** 2
    assert inside_rim.max() <= 1 + 1e-5
    density = np.histogram2d(x, y, 8, ((-0.6 * a, 0.6 * a), (-0.6 * b, 0.6 * b)))[0]
    expected = 400_000 * (0.15 * a) * (0.15 * b) / (np.pi * a * b)
    assert np.allclose(density, expected, rtol=0.08)


def test_poles_equator_and_rim():
    x, y = sphere.project(
        np.array([50.0, 50, 0, 179.99, -180, 190]), np.array([0.0, 180, 90, 90, 90, 90])
    )
    assert np.allclose(x[:3], 0, atol=1e-5)
    assert np.allclose(y[:3], [sphere.HEIGHT / 2, -sphere.HEIGHT / 2, 0], atol=1e-5)
    assert np.allclose(x[3:5], [sphere.WIDTH / 2, -sphere.WIDTH / 2], atol=1e-3)
    assert x[5] < 0 and np.isnan(sphere.project(np.array([np.nan]), np.array([5.0]))[0][0])


def test_lines_end_at_the_rim():
    for line in sphere.graticule():
        rim = (line[:, 0] / (sphere.WIDTH / 2)) ** 2 + (line[:, 1] / (sphere.HEIGHT / 2)) ** 2
        assert rim.max() <= 1 + 1e-4


def columns_of(values: dict[str, np.ndarray], reads: list | None = None) -> ReadColumns:
    from napari_cryodeco.explore.columns import Column

    def read(names):
        names = list(names)
        if reads is not None:
            reads.append(names)
        return {name: values[name] for name in names}

    return ReadColumns(tuple(Column(name, name) for name in values), read)


def test_a_lasso_over_directions_is_done_again(tmp_path):
    azimuth, tilt = random_angles(500)
    table = columns_of({"azimuth": azimuth, "tilt": tilt})
    polygon = ((-1.0, -0.5), (0.5, -1.0), (1.5, 0.8))
    step = Step("directions", polygon=polygon)
    x, y = sphere.project(azimuth, tilt)
    mask = inside(x, y, np.array(polygon))
    assert 0 < mask.sum() < 500
    history = History(500)
    history.act("replace", mask, step)
    latents = np.random.default_rng(1).normal(size=(500, 2)).astype(np.float32)
    views = {"pca": pca(latents)}
    columns = EpochColumns(latents, 1, tmp_path, views, table=table)
    recipe = Recipe.from_dict(history.recipe.to_dict())
    assert np.array_equal(replay(recipe.steps, columns), mask)
    assert recipe.steps[0].words() == "drawn over viewing directions"
    with pytest.raises(ValueError, match="azimuth"):
        replay(recipe.steps, EpochColumns(latents, 1, tmp_path, views))


def test_columns_are_read_once_when_asked_and_few_are_kept():
    values = {f"c{i}": np.full(3, i) for i in range(KEPT + 2)}
    reads: list = []
    columns = columns_of(values, reads)
    assert len(columns) == KEPT + 2 and "c0" in columns and "other" not in columns
    assert list(columns) == list(values) and not reads
    assert columns["c1"] is columns["c1"] and reads == [["c1"]]
    for name in values:
        assert np.array_equal(columns[name], values[name])
    assert columns["c1"] is not None and reads.count(["c1"]) == 2  # it had made room
    with pytest.raises(KeyError):
        columns["other"]
    assert not ReadColumns()


def test_columns_of_a_run_are_all_there(planted_run):
    columns = ReadColumns.of_run(planted_run)
    angles = planted_run.epoch().poses().rotations
    assert np.allclose(np.cos(np.radians(columns["tilt"])), angles[:, 2, 2], atol=1e-5)
    assert {"azimuth", "defocus", "density", "rlnDefocusU"} <= set(columns)


def test_particles_by_micrograph():
    names = np.random.default_rng(0).choice(["b.mrc", "a.mrc", "c.mrc"], 200).astype(object)
    found = by_micrograph(names)
    assert sorted(found.names) == ["a.mrc", "b.mrc", "c.mrc"]
    mask = np.arange(200) % 3 == 0
    for i, name in enumerate(found.names):
        assert found.counts[i] == (names == name).sum()
        assert found.chosen(mask)[i] == ((names == name) & mask).sum()
