"""Projections of a selection: of its rows alone, the same from the same seed, done again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_cryodeco.cli import main
from napari_cryodeco.explore import epochs, figure, landscape, parts, shelf
from napari_cryodeco.explore.epoch_columns import EpochColumns
from napari_cryodeco.explore.lasso import inside
from napari_cryodeco.explore.recipe import Recipe, Step
from napari_cryodeco.explore.replay import replay
from napari_cryodeco.explore.selection import Selection
from napari_cryodeco.gui.snapshot import load_snapshot

RANGE = Step("range", ("z1",), bounds=(2.0, np.inf))  # the second of the planted lumps


@pytest.fixture
def columns(wide_run) -> EpochColumns:
    return EpochColumns.of_run(wide_run)


@pytest.fixture
def rows(columns) -> np.ndarray:
    return np.flatnonzero(columns.latents[:, 0] >= 2)


def test_a_pca_of_a_selection_is_that_of_its_rows(columns, rows, tmp_path) -> None:
    made = parts.kept_part(tmp_path, columns.latents, 1, rows, "pca")
    alone = landscape.pca(columns.latents[rows])
    np.testing.assert_array_equal(made.coordinates[rows], alone.coordinates)
    others = np.setdiff1d(np.arange(600), rows)
    assert np.isnan(made.coordinates[others]).all()
    whole = epochs.pca(columns.latents)
    assert made.explained[0] < 0.5 < whole.explained[0]  # the way between the lumps is not in it
    np.testing.assert_allclose(
        made.mean + made.coordinates[rows] @ made.components, columns.latents[rows], atol=1e-4
    )


def test_the_same_seed_gives_the_same_umap_and_another_another(columns, rows, tmp_path) -> None:
    first, again = (
        parts.kept_part(tmp_path / name, columns.latents, 1, rows, "umap", seed=3)
        for name in ("one", "two")
    )
    np.testing.assert_array_equal(first.coordinates, again.coordinates)
    assert first.key == again.key
    other = parts.kept_part(tmp_path / "one", columns.latents, 1, rows, "umap", seed=4)
    assert other.key != first.key
    assert not np.array_equal(other.coordinates[rows], first.coordinates[rows])
    shuffled = parts.kept_part(tmp_path / "one", columns.latents, 1, rows[::-1], "umap", seed=3)
    assert shuffled.key == first.key and len(list((tmp_path / "one").iterdir())) == 2


def test_what_is_kept_is_found_again_but_not_of_other_latents(columns, rows, tmp_path) -> None:
    made = parts.kept_part(tmp_path, columns.latents, 1, rows, "pca", 0, (RANGE,), "second lump")
    found = parts.kept_parts(tmp_path, columns.latents, 1)
    assert list(found) == [made.key]
    assert found[made.key].title == "PCA of second lump"
    assert found[made.key].part.steps == (RANGE,)
    np.testing.assert_array_equal(found[made.key].coordinates, made.coordinates)
    moved = columns.latents.copy()
    moved[rows[0]] += 1
    assert not parts.kept_parts(tmp_path, moved, 1)
    assert not parts.kept_parts(tmp_path, columns.latents[:300], 1)
    assert not parts.kept_parts(tmp_path, columns.latents, 2)
    assert landscape.latest_clustering(tmp_path) is None  # and it is taken for no clustering
    parts.forget(tmp_path, made)
    assert not list(tmp_path.glob("*part*"))
    with pytest.raises(ValueError, match="3 particles are too few for their own UMAP"):
        parts.kept_part(tmp_path, columns.latents, 1, rows[:3])


@pytest.mark.parametrize("method", ["umap", "pca"])
def test_a_lasso_over_it_replays_by_its_recipe(columns, rows, method) -> None:
    made = parts.kept_part(columns.views, columns.latents, 1, rows, method, 5, (RANGE,))
    x, y = made.coordinates[:, 0], made.coordinates[:, 1]
    middle = float(np.nanmedian(x))
    polygon = ((middle, -99.0), (99.0, -99.0), (99.0, 99.0), (middle, 99.0))
    axes = ("UMAP 1", "UMAP 2") if method == "umap" else ("PC1", "PC2")
    step = Step("lasso", axes, polygon, labels=(5,), steps=(RANGE,))
    mask = replay((step,), columns)
    np.testing.assert_array_equal(mask, inside(x, y, np.array(polygon)))
    assert set(np.flatnonzero(mask)) < set(rows) and 100 < mask.sum() < 200
    parts.forget(columns.views, made)  # it is made again
    again = Recipe.from_dict(Recipe((step,)).to_dict())
    np.testing.assert_array_equal(replay(again.steps, columns), mask)
    assert "z1 ≥ 2" in step.words()
    far = replace(step, axes=("PC1", "PC40"))
    with pytest.raises(ValueError, match="PC40"):
        replay((far,), columns)


def test_a_figure_of_it_shows_its_particles_only(columns, rows, tmp_path) -> None:
    made = parts.kept_part(tmp_path, columns.latents, 1, rows, "pca")
    groups = [figure.Group("all", np.arange(600), "#FF0000")]
    drawn = figure.draw(made, groups)
    alone = figure.draw(landscape.pca(columns.latents[rows]), [])
    assert drawn.x == alone.x and drawn.y == alone.y
    assert (drawn.plot == (255, 0, 0)).all(-1).sum() > 1000


def test_the_command_keeps_it_for_the_window(wide_run, rows, capsys) -> None:
    run = str(wide_run.path)
    kept = Selection("lump", rows, Recipe((RANGE,)))
    shelf.keep(kept, wide_run.paths.selections)
    assert main(["project", run, "--selection", "lump", "--method", "pca"]) == 0
    assert "PCA of lump: 300 particles" in capsys.readouterr().out
    assert main(["project", run, "--selection", "lump", "--rows", "rows.txt"]) == 1
    assert main(["project", run, "--selection", "lamp"]) == 1
    assert "lump" in capsys.readouterr().err
    views = load_snapshot(wide_run.path).projections
    (key,) = set(views) - {"pca"}
    assert views[key].title == "PCA of lump" and views[key].part.steps == (RANGE,)
