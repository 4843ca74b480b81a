"""Recipes done again: the same particles here, and what they mean elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_cryodeco.explore import landscape
from napari_cryodeco.explore.epoch_columns import EpochColumns
from napari_cryodeco.explore.history import History
from napari_cryodeco.explore.lasso import inside
from napari_cryodeco.explore.recipe import Recipe, pack, unpack
from napari_cryodeco.explore.replay import replay
from napari_cryodeco.explore.selection import Selection, Step

N = 400


@pytest.fixture
def columns(tmp_path: Path) -> EpochColumns:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(N, 3)).astype(np.float32) + 5 * rng.integers(0, 3, N)[:, None]
    umap = landscape.Projection("umap", rng.normal(size=(N, 2)).astype(np.float32))
    labels = rng.integers(-1, 3, N)
    clusters = landscape.Clustering(
        labels, np.eye(3)[labels].astype(np.float32), z[:3], np.arange(3)
    )
    table = {
        "rlnDefocusU": rng.uniform(5e3, 3e4, N),
        "rlnMicrographName": np.array([f"m{i % 30}" for i in range(N)], object),
        "rlnOpticsGroup": rng.integers(1, 4, N),
    }
    views = {"pca": landscape.pca(z), "umap": umap}
    return EpochColumns(z, 3, tmp_path, views, clusters, np.eye(2)[labels % 2], table)


def steps_of(columns: EpochColumns) -> list[tuple[str, Step, np.ndarray]]:
    """Acts of every kind, and which particles each names, written down by hand."""
    x, y = columns.projections["umap"].coordinates.T
    polygon = ((-1.0, -1.0), (1.5, -1.0), (0.0, 1.5))
    table, labels = columns.table, columns.clustering.labels
    defocus = table["rlnDefocusU"].astype(np.float32)
    micrographs = table["rlnMicrographName"]
    return [
        (
            "replace",
            Step("lasso", ("UMAP 1", "UMAP 2"), polygon),
            inside(x, y, np.array(polygon)),
        ),
        ("add", Step("labels", ("cluster",), labels=(2,)), labels == 1),
        ("add", Step("labels", labels=(0,)), labels == -1),
        (
            "subtract",
            Step("range", ("rlnDefocusU",), bounds=(1e4, 2e4)),
            (defocus >= 1e4) & (defocus <= 2e4),
        ),
        (
            "add",
            Step("range", ("rlnDefocusU",), bounds=(2.5e4, np.inf)),
            defocus >= 2.5e4,
        ),
        (
            "intersect",
            Step("category", ("rlnMicrographName",), names=("m1", "m7"), rest=True),
            (micrographs != "m1") & (micrographs != "m7"),
        ),
        (
            "add",
            Step("category", ("rlnOpticsGroup",), names=("2",)),
            table["rlnOpticsGroup"] == 2,
        ),
        ("subtract", Step("labels", ("class",), labels=(1,)), labels % 2 == 0),
    ]


def test_every_kind_of_step_is_done_again(columns: EpochColumns) -> None:
    history = History(N)
    for operation, step, mask in steps_of(columns):
        history.act(operation, mask, step)
        assert np.array_equal(replay(history.recipe.steps, columns), history.mask)
    table = columns.neighbours(10)
    history.grow(table)
    history.invert()
    history.shrink(table)
    history.add(np.arange(N) % 7 == 0)  # rows, from wherever
    assert 0 < history.count < N
    assert np.array_equal(replay(history.recipe.steps, columns), history.mask)


def test_a_recipe_survives_json_and_the_selection_file(
    columns: EpochColumns, tmp_path: Path
) -> None:
    history = History(N)
    for operation, step, mask in steps_of(columns):
        history.act(operation, mask, step)
    again = Recipe.from_dict(json.loads(json.dumps(history.recipe.to_dict())))
    assert again == history.recipe
    kept = Selection("open", history.rows, history.recipe, "#AA3377", "the open state", True)
    kept.save(tmp_path / "open.safetensors")
    read = Selection.load(tmp_path / "open.safetensors")
    assert (read.colour, read.note, read.locked) == ("#AA3377", "the open state", True)
    assert np.array_equal(replay(read.recipe.steps, columns), read.mask(N))


def test_set_algebra_of_named_selections_needs_no_file_of_theirs(columns: EpochColumns) -> None:
    def named(name: str, count: int) -> Selection:
        history = History(N)
        for operation, step, mask in steps_of(columns)[:count]:
            history.act(operation, mask, step)
        return Selection(name, history.rows, history.recipe)

    a, b = named("a", 2), named("b", 5)
    raw = Selection("rows", np.array([3, 5, 300]))
    for made in (
        a.union(b, "u"),
        a.intersection(b, "i"),
        a.difference(b, "d"),
        a.difference(b, "d").union(raw, "r"),
        a.complement(N, "c"),
    ):
        assert np.array_equal(replay(made.recipe.steps, columns), made.mask(N))


def test_on_other_latents_the_same_words_choose_other_particles(columns: EpochColumns) -> None:
    step = Step("range", ("PC1",), bounds=(0.0, np.inf))
    before = replay([step], columns)
    turned = replace(columns, projections={"pca": landscape.pca(columns.latents[::-1])})
    assert np.array_equal(replay([step], turned), before[::-1])


def test_what_is_not_there_is_named_with_its_cure(columns: EpochColumns) -> None:
    bare = replace(
        columns, clustering=None, table={}, projections={"pca": columns.projections["pca"]}
    )
    for step, words in (
        (Step("labels", labels=(1,)), "cluster first"),
        (Step("lasso", ("UMAP 1", "UMAP 2"), ((0.0, 0.0),)), "compute the UMAP first"),
        (
            Step("range", ("rlnDefocusU",), bounds=(0.0, 1.0)),
            "'rlnDefocusU'.*neither the run nor its particle file",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            replay([step], bare)
    with pytest.raises(ValueError, match="row 399, but there are 100 particles"):
        replay(
            [Step("rows", packed=pack(np.ones(N, bool)))], replace(bare, latents=np.zeros((100, 3)))
        )


def test_rows_pack_and_unpack(columns: EpochColumns) -> None:
    for n in (1, 8, 403):
        mask = np.random.default_rng(n).random(n) < 0.4
        assert np.array_equal(unpack(pack(mask), n), mask)


def test_a_step_says_what_it_was(columns: EpochColumns) -> None:
    history = History(N)
    for operation, step, mask in steps_of(columns):
        history.act(operation, mask, step)
    history.invert()
    history.clear()
    assert [moment.words() for moment in history.moments] == [
        "nothing selected",
        "drawn over UMAP 1, UMAP 2",
        "+ cluster 2",
        "+ cluster unassigned",
        "− rlnDefocusU 10000 to 20000",
        "+ rlnDefocusU ≥ 25000",
        "∩ rlnMicrographName: all but m1, m7",
        "+ rlnOpticsGroup: 2",
        "− class 1",
        "invert",
        "nothing",
    ]
