"""The session: what follows from what, without any window."""

from __future__ import annotations

import gc
import shutil
from dataclasses import replace

import numpy as np
import pytest

from napari_cryodeco.explore import landscape, points, shelf
from napari_cryodeco.explore.columns import Column
from napari_cryodeco.explore.neighbours import nearest
from napari_cryodeco.explore.read_columns import ReadColumns
from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.explore.selection import Selection
from napari_cryodeco.gui.session import Session, Target, session_of
from napari_cryodeco.gui.snapshot import load_snapshot, own_colourings


@pytest.fixture
def snapshot(planted_run):
    return load_snapshot(planted_run.path)


@pytest.fixture
def session(snapshot):
    session = Session()
    session.adopt(snapshot)
    return session


def test_a_run_opens_with_pca_and_nothing_selected(planted_run):
    session = Session()
    opened = []
    session.opened.connect(opened.append)
    session.open(planted_run.path)
    assert [s.run.path for s in opened] == [planted_run.path]
    assert session.view == "pca" and len(session.selected) == 0
    x, y = session.coordinates()
    assert x.shape == y.shape == (len(planted_run.particles),)


def test_without_a_run_it_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="open a run folder"):
        Session().select_all()
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_snapshot(tmp_path / "none")


def test_set_algebra_and_undo_come_back_to_the_start(session):
    n = len(session.loaded().latents)
    first, second = np.arange(n) < 20, np.arange(n) % 2 == 0
    session.select(first)
    session.select(second, "add")
    assert np.array_equal(session.selected, np.flatnonzero(first | second))
    session.select(first, "subtract")
    session.select(second, "intersect")
    assert np.array_equal(session.selected, np.flatnonzero(~first & second))
    session.invert_selection()
    for _ in range(5):
        session.undo()
    assert len(session.selected) == 0
    for _ in range(5):
        session.redo()
    assert np.array_equal(session.selected, np.flatnonzero(first | ~second))


def test_the_last_act_decides_what_is_decoded(session):
    session.move_cursor(0.0, 0.0)
    assert session.target is Target.POINT
    session.select_rows(np.array([3, 4, 9]))
    assert session.target is Target.MEAN
    assert np.allclose(session.wanted().z, session.loaded().latents[[3, 4, 9]].mean(0))
    session.set_target(Target.MEDOID)
    assert any(np.array_equal(session.wanted().z, z) for z in session.loaded().latents[[3, 4, 9]])
    session.move_cursor_to(7)
    assert session.target is Target.POINT and session.cursor.row == 7
    session.set_target(Target.PARTICLE)
    assert np.array_equal(session.wanted().z, session.loaded().latents[7])


def test_nothing_is_wanted_of_an_empty_selection_or_no_clusters(session):
    session.set_target(Target.MEAN)
    assert session.wanted() is None
    session.set_target(Target.CLUSTER)
    assert session.wanted() is None


def test_cluster_centres_are_decoded_and_coloured(session):
    clustering = landscape.cluster(session.loaded().latents, 2)
    session.set_clustering(clustering)
    session.set_target(Target.CLUSTER, cluster=1)
    assert np.array_equal(session.wanted().z, clustering.centres[1])
    assert "cluster 2" in session.wanted().caption
    assert np.array_equal(session.colouring.codes, clustering.labels)
    assert {"cluster", "PC1", "z1", "|z|"} <= set(own_colourings(session.loaded()))


def test_project_takes_latents_to_where_they_are_drawn(session):
    x, y = session.coordinates()
    places = session.project(session.loaded().latents[:5])
    assert np.allclose(places, np.column_stack([x, y])[:5], atol=1e-4)
    session.set_view("pca", (2, 1))
    x, y = session.coordinates()
    assert np.allclose(session.project(session.loaded().latents[:5])[:, 0], x[:5], atol=1e-4)


def test_a_new_epoch_keeps_selection_and_cursor(session, snapshot):
    session.select_rows(np.array([1, 2]))
    session.move_cursor_to(5)
    newer = replace(snapshot, epoch=snapshot.epoch + 1, latents=snapshot.latents[:, ::-1].copy())
    session.adopt(newer)
    assert session.epoch == snapshot.epoch + 1
    assert session.selected.tolist() == [1, 2]
    assert session.cursor.row == 5
    session.set_target(Target.MEAN)
    session.adopt(snapshot)
    assert session.target is Target.MEAN  # nobody chose another
    assert np.allclose(session.wanted().z, snapshot.latents[[1, 2]].mean(0))


def test_other_axes_keep_the_cursor_on_its_particle_and_its_map(session):
    session.move_cursor_to(5)
    z = session.wanted().z
    session.set_view("pca", (2, 3))
    x, y = session.coordinates()
    assert (session.cursor.x, session.cursor.y) == (x[5], y[5])
    assert np.array_equal(session.wanted().z, z)


def test_a_run_made_anew_with_other_particles_forgets_the_selection(session, snapshot):
    session.select_all()
    fewer = {
        name: replace(view, coordinates=view.coordinates[:-3])
        for name, view in snapshot.projections.items()
    }
    session.adopt(replace(snapshot, latents=snapshot.latents[:-3], projections=fewer))
    assert len(session.selected) == 0 and len(session.history) == len(snapshot.latents) - 3


def test_another_run_forgets_the_selection(session, snapshot, tmp_path):
    session.select_all()
    other = replace(snapshot, run=replace(snapshot.run, path=tmp_path / "other"))
    session.adopt(other)
    assert len(session.selected) == 0 and session.cursor is None


def test_the_recipe_of_a_lasso_is_kept_with_the_selection(session, tmp_path):
    step = Step("lasso", axes=("PC1", "PC2"), polygon=((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)))
    session.select_rows(np.array([4, 2]), "replace", step)
    shelf.keep(Selection("my set", session.selected, session.history.recipe), tmp_path)
    (kept,) = shelf.load_all(tmp_path)
    assert kept.rows.tolist() == [2, 4]
    assert kept.recipe.steps[0].polygon == step.polygon


def test_growing_needs_neighbours_of_the_epoch_shown(session, snapshot):
    with pytest.raises(ValueError, match="Nothing is selected"):
        session.grow_selection()
    session.select_rows(np.array([3]))
    with pytest.raises(ValueError, match="not been sought"):
        session.grow_selection()
    session.neighbours = nearest(snapshot.latents, 4)
    session.grow_selection()
    assert set(session.neighbours[3]) < set(session.selected)
    session.go_to_step(1)
    assert session.selected.tolist() == [3]
    session.adopt(replace(snapshot, epoch=snapshot.epoch + 1))
    assert session.neighbours is None and session.selected.tolist() == [3]


def test_other_views_share_hover_and_overlays(session):
    hovered, drawn = [], []
    session.hover_changed.connect(hovered.append)
    session.overlays_changed.connect(lambda: drawn.append(session.overlays))
    session.set_hovered(5)
    session.set_hovered(5)
    session.set_hovered(None)
    assert hovered == [5, None]
    one, two = (Selection(name, np.array([1])) for name in ("one", "two"))
    session.set_named((one, two))
    session.set_overlays({"one", "two"})
    session.set_named((two,))  # what is gone is not drawn
    assert drawn[-1] == {"two"}


def test_columns_of_the_file_go_with_their_run(session, snapshot, tmp_path):
    told = []
    session.columns_changed.connect(lambda: told.append(list(session.columns)))
    values = np.arange(len(snapshot.latents))
    session.set_columns(
        ReadColumns((Column("rlnDefocusU", "defocus", "Å"),), lambda _: {"rlnDefocusU": values})
    )
    assert told == [["rlnDefocusU"]]
    session.adopt(replace(snapshot, epoch=snapshot.epoch + 1))
    assert session.columns
    session.adopt(replace(snapshot, run=replace(snapshot.run, path=tmp_path / "other")))
    assert not session.columns


def test_what_is_locked_stays_as_it_is(tmp_path):
    one = Selection("one", np.array([1]))
    shelf.keep(one, tmp_path)
    locked = shelf.change(one, tmp_path, locked=True, note="mine", colour="#0072B2")
    for act in (
        lambda: shelf.rename(locked, "two", tmp_path),
        lambda: shelf.delete(locked, tmp_path),
        lambda: shelf.change(locked, tmp_path, rows=np.array([2])),
    ):
        with pytest.raises(ValueError, match="'one' is locked: unlock it first"):
            act()
    (kept,) = shelf.load_all(tmp_path)
    assert (kept.rows.tolist(), kept.note, kept.colour) == ([1], "mine", "#0072B2")
    freed = shelf.change(locked, tmp_path, locked=False)
    assert shelf.rename(freed, "two", tmp_path).note == "mine"


def test_names_that_differ_little_get_files_of_their_own(tmp_path):
    rows = np.array([1])
    for name in ("a b", "a-b", "a/b", "A-B", "ä"):
        shelf.keep(Selection(name, rows), tmp_path)
    assert {s.name for s in shelf.load_all(tmp_path)} == {"a b", "a-b", "a/b", "A-B", "ä"}
    with pytest.raises(FileExistsError, match="choose another name"):
        shelf.keep(Selection("a b", rows), tmp_path)
    with pytest.raises(ValueError, match="needs a name"):
        shelf.keep(Selection("  ", rows), tmp_path)


def test_rename_and_delete_leave_the_others(tmp_path):
    one, two = Selection("one", np.array([1])), Selection("two", np.array([2]))
    shelf.keep(one, tmp_path)
    shelf.keep(two, tmp_path)
    with pytest.raises(FileExistsError):
        shelf.rename(one, "two", tmp_path)
    renamed = shelf.rename(one, "three", tmp_path)
    assert [s.name for s in shelf.load_all(tmp_path)] == ["three", "two"]
    shelf.delete(renamed, tmp_path)
    assert [s.name for s in shelf.load_all(tmp_path)] == ["two"]


def test_a_view_made_before_is_there_when_the_run_opens_again(planted_run, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(planted_run.path, path)
    first = load_snapshot(path)
    landscape.save(landscape.cluster(first.latents, 3, epoch=first.epoch), path / "views")
    places = np.zeros((len(first.latents), 2), np.float32)
    landscape.save(landscape.Projection("umap", places, epoch=first.epoch), path / "views")
    again = load_snapshot(path)
    assert set(again.projections) == {"pca", "umap"}
    assert len(again.clustering.centres) == 3


def test_the_mean_of_all_neighbours_is_the_mean(snapshot):
    x, y = snapshot.projections["pca"].coordinates[:, :2].T
    z, row = points.local_mean(snapshot.latents, x, y, (float(x[3]), float(y[3])), len(x))
    assert np.allclose(z, snapshot.latents.mean(0), atol=1e-5)
    assert row == 3
    z, _ = points.local_mean(snapshot.latents, x, y, (float(x[3]), float(y[3])), 1)
    assert np.allclose(z, snapshot.latents[3])


def test_the_medoid_has_the_least_sum_of_squared_distances():
    latents = np.random.default_rng(0).normal(size=(40, 3))
    rows = np.arange(5, 30)
    sums = [((latents[rows] - latents[row]) ** 2).sum() for row in rows]
    assert points.medoid(latents, rows) == rows[int(np.argmin(sums))]
    with pytest.raises(ValueError, match="empty"):
        points.medoid(latents, rows[:0])


def test_places_without_coordinates_are_never_near():
    x = np.array([np.nan, 5.0, 0.0])
    assert points.nearest_rows(x, np.zeros(3), (0.0, 0.0), 3).tolist() == [2, 1]
    with pytest.raises(ValueError, match="other axes"):
        points.nearest_rows(x[:1], x[:1], (0.0, 0.0), 1)


@pytest.mark.parametrize("known", [1.0, 0.8])
def test_the_nearest_are_those_that_sorting_all_gives(known):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 500)) * [[3.0], [0.1]]
    x[rng.random(500) > known] = np.nan
    x[7], y[7] = x[8], y[8]  # as near as one another
    there = np.flatnonzero(np.isfinite(x))
    spread = x[there].std(), y[there].std()
    for at in ((0.2, -0.1), (float(x[8]), float(y[8]))):
        distance = ((x - at[0]) / spread[0]) ** 2 + ((y - at[1]) / spread[1]) ** 2
        expected = there[np.argsort(distance[there], kind="stable")]
        for count in (1, 20, len(there), 600):
            assert points.nearest_rows(x, y, at, count).tolist() == expected[:count].tolist()


def test_one_session_a_viewer_which_dies_with_it():
    class Viewer:
        pass

    first, second = Viewer(), Viewer()
    assert session_of(first) is session_of(first)
    assert session_of(first) is not session_of(second)
    kept = id(session_of(first))
    del first
    gc.collect()
    assert id(session_of(second)) != kept


def test_the_session_imports_no_qt():
    import subprocess
    import sys

    code = (
        "import sys, napari_cryodeco.gui.session\n"
        "bad = {'qtpy', 'PyQt6', 'napari', 'torch'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_without_z_is_one_sentence_in_the_window(planted_run, qtbot):
    import torch

    from napari_cryodeco.explore.landscape import NO_LATENTS
    from napari_cryodeco.gui.run_loader import RunLoader
    from napari_cryodeco.runs.store import write_tensors

    config = planted_run.config.model_copy(update={"latent_dim": 0})
    planted_run.paths.config.write_text(config.to_yaml())
    latents = planted_run.epoch().path / "latents.safetensors"
    write_tensors(latents, {"latents": torch.zeros(len(planted_run.particles), 0)})
    loader = RunLoader()
    with qtbot.waitSignal(loader.failed, timeout=10_000) as told:
        loader.open(planted_run.path)
    assert told.args == [NO_LATENTS]
    loader.close()
