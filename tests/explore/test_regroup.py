"""Clusters changed by hand: what merge, split, cut and undo must keep, and the way to disk."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from napari_cryodeco.cli import main
from napari_cryodeco.explore import landscape, regroup, shelf, stability
from napari_cryodeco.explore.cluster_edit import Edit
from napari_cryodeco.explore.epoch_columns import EpochColumns
from napari_cryodeco.explore.exporting import export_run
from napari_cryodeco.explore.figure import cluster_groups
from napari_cryodeco.explore.methods import methods
from napari_cryodeco.explore.recipe import Recipe, Step
from napari_cryodeco.explore.selection import Selection
from napari_cryodeco.runs.run import Run


@pytest.fixture
def z() -> np.ndarray:
    """Four lumps of 40, 60, 80 and 100 particles in four dimensions, overlapping a little."""
    generator = np.random.default_rng(3)
    labels = generator.permutation(np.repeat(np.arange(4), (40, 60, 80, 100)))
    centres = 2.2 * np.array([[-3, 0, 0, 0], [-1, 1, 0, 0], [1, 0, 0, 0], [3, 1, 0, 0]])
    return (centres[labels] + generator.standard_normal((280, 4))).astype(np.float32)


@pytest.fixture(params=["gmm", "kmeans"])
def clusters(request: pytest.FixtureRequest, z: np.ndarray) -> landscape.Clustering:
    return landscape.cluster(z, 4, request.param, epoch=7)


def same(one: landscape.Clustering, other: landscape.Clustering) -> None:
    """To the bit."""
    for name in ("labels", "posteriors", "centres", "rows"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype
    assert (one.names, one.edits, one.epoch) == (other.names, other.edits, other.epoch)


def consistent(made: landscape.Clustering, z: np.ndarray) -> None:
    """Every centre is the mean z of its members, and its row the member nearest to it."""
    assert made.labels.min() >= 0 and made.labels.max() + 1 == len(made.centres)
    assert made.posteriors.shape == (len(z), len(made.centres))
    np.testing.assert_allclose(made.posteriors.sum(1), 1, atol=1e-5)
    for place, (centre, row) in enumerate(zip(made.centres, made.rows, strict=True)):
        members = np.flatnonzero(made.labels == place)
        np.testing.assert_allclose(centre, z[members].mean(0), atol=1e-5)
        away = np.linalg.norm(z - centre, axis=1)
        assert made.labels[row] == place and np.isclose(away[row], away[members].min())


def test_a_merge_adds_members_and_posteriors(clusters, z) -> None:
    made = regroup.edited(clusters, Edit("merge", (2, 4), name="both"), z)
    consistent(made, z)
    assert made.shown == ("1", "both", "3")
    np.testing.assert_array_equal(made.labels == 1, np.isin(clusters.labels, (1, 3)))
    np.testing.assert_array_equal(made.labels == 2, clusters.labels == 2)
    np.testing.assert_allclose(
        made.posteriors, np.stack([clusters.posteriors[:, c].sum(1) for c in ([0], [1, 3], [2])], 1)
    )


def test_merged_and_cut_apart_by_the_old_members_is_as_before(clusters, z) -> None:
    made = regroup.edited(clusters, Edit("merge", (2, 3)), z)
    again = regroup.edited(made, regroup.take(clusters.labels == 2), z)
    for name in ("labels", "centres", "rows"):
        np.testing.assert_array_equal(getattr(again, name), getattr(clusters, name))
    both = [m.posteriors[:, [1, 2]].sum(1) for m in (again, clusters)]
    np.testing.assert_allclose(*both, atol=1e-6)
    consistent(again, z)


def test_a_split_finds_the_lumps_that_were_merged_and_shares_posteriors_out(clusters, z) -> None:
    merged = regroup.edited(clusters, Edit("merge", (1, 4)), z)
    method = "kmeans" if clusters.method == "kmeans" else "gmm"
    made = regroup.edited(merged, Edit("split", (1,), parts=2, method=method), z)
    consistent(made, z)
    inside = np.isin(clusters.labels, (0, 3))
    assert adjusted_rand_score(clusters.labels[inside], made.labels[inside]) > 0.95
    assert set(made.labels[inside]) == {0, 1} and not np.isin(made.labels[~inside], (0, 1)).any()
    np.testing.assert_allclose(made.posteriors[:, :2].sum(1), merged.posteriors[:, 0], atol=1e-6)
    np.testing.assert_array_equal(made.posteriors[:, 2:], merged.posteriors[:, 1:])
    same(made, regroup.edited(merged, Edit("split", (1,), parts=2, method=method), z))


def test_a_selection_over_several_clusters_becomes_one_and_leaves_no_empty_one(clusters, z) -> None:
    mask = clusters.labels == 0
    mask |= (clusters.labels == 2) & (z[:, 1] > 0)
    made = regroup.edited(clusters, regroup.take(mask, "up"), z)
    consistent(made, z)
    assert "up" in made.shown and len(made.centres) == 4  # cluster 1 gave all that it had
    np.testing.assert_array_equal(made.labels == made.shown.index("up"), mask)
    np.testing.assert_allclose(made.own[mask], clusters.own[mask], atol=1e-6)


def test_unassigned_particles_may_be_taken_and_nothing_is_made_up_of_them(z) -> None:
    found = landscape.cluster(z, 2, epoch=7)
    loose = replace(
        found,
        labels=np.where(np.arange(280) < 9, -1, found.labels),
        posteriors=np.where(np.arange(280)[:, None] < 9, 0, found.posteriors).astype(np.float32),
    )
    made = regroup.edited(loose, regroup.take(np.arange(280) < 9), z)
    assert made.unassigned == 0 and len(made.centres) == 3
    assert not made.own[:9].any() and made.own[9:].all()
    merged = regroup.edited(loose, Edit("merge", (1, 2)), z)
    assert merged.unassigned == 9 and (merged.labels[9:] == 0).all()


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (Edit("merge", (2, 9)), "There is no cluster 9"),
        (Edit("merge", (2, 2)), "two clusters or more"),
        (Edit("split", (1,), parts=4000), "cannot be split into"),
        (Edit("rename", (1,), name="cluster 5"), "without a name is called"),
        (Edit("rename", (1,), name="3"), "without a name is called"),
        (Edit("rename", (1,), name="two\nlines"), "plain characters"),
        (Edit("rename", (1,), name=""), "named so already"),
        (Edit("rename", (1,), name="All particles"), "of other particles"),
    ],
)
def test_what_cannot_be_done_is_said(z, edit: Edit, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        regroup.edited(landscape.cluster(z, 4), edit, z)


def test_a_name_is_given_once_and_a_whole_cluster_is_not_cut_out(clusters, z) -> None:
    named = regroup.edited(clusters, Edit("rename", (1,), name="open"), z)
    with pytest.raises(ValueError, match="named 'open' already"):
        regroup.edited(named, Edit("rename", (2,), name="open"), z)
    with pytest.raises(ValueError, match="cluster 3 already"):
        regroup.edited(clusters, regroup.take(clusters.labels == 2), z)
    with pytest.raises(ValueError, match="Nothing is selected"):
        regroup.take(np.zeros(280, bool))


ACTS = (
    Edit("merge", (1, 2), name="low"),
    Edit("rename", (2,), name="high"),
    Edit("split", (1,), parts=3, seed=4),
    Edit("merge", (2, 4)),
)


def test_each_act_is_undone_to_the_bit_and_the_computed_clusters_stay(
    clusters, z, tmp_path
) -> None:
    first = landscape.save(clusters, tmp_path)
    states = [clusters]
    for act in (*ACTS, regroup.take(z[:, 0] > 0, "right", (Step("range", ("PC1",)),))):
        states.append(regroup.edited(states[-1], act, z))
        landscape.save(states[-1], tmp_path)
        same(landscape.latest_clustering(tmp_path, 7), states[-1])
    assert len(list(tmp_path.iterdir())) == 6
    while len(states) > 1:
        states.pop()
        same(landscape.undo_edit(tmp_path, 7), states[-1])
        same(landscape.latest_clustering(tmp_path, 7), states[-1])
    assert list(tmp_path.iterdir()) == [first]
    same(landscape.load(first), clusters)
    with pytest.raises(ValueError, match="nothing to undo"):
        landscape.undo_edit(tmp_path, 7)


def test_clusters_made_anew_do_not_replace_what_was_done_by_hand(clusters, z, tmp_path) -> None:
    landscape.save(clusters, tmp_path)
    edited = regroup.edited(clusters, ACTS[0], z)
    landscape.save(edited, tmp_path)
    landscape.save(clusters, tmp_path)
    again = landscape.save(regroup.edited(clusters, ACTS[1], z), tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    same(landscape.undo_edit(tmp_path, 7), clusters)
    assert not again.exists()
    other = landscape.cluster(z, 4, clusters.method, seed=1, epoch=7)
    landscape.save(other, tmp_path)
    landscape.save(edited, tmp_path)
    if not np.array_equal(other.posteriors, clusters.posteriors):
        with pytest.raises(ValueError, match="no longer in"):
            landscape.undo_edit(tmp_path, 7)


def test_the_latest_clusters_are_so_in_a_copy_without_times(clusters, z, tmp_path) -> None:
    landscape.save(clusters, tmp_path)
    edited = regroup.edited(clusters, ACTS[0], z)
    landscape.save(edited, tmp_path)
    landscape.save(landscape.cluster(z, 3, clusters.method, epoch=7), tmp_path)
    landscape.save(edited, tmp_path)
    for file, time in zip(sorted(tmp_path.iterdir()), (40, 30, 20, 10), strict=True):
        os.utime(file, (time, time))
    same(landscape.latest_clustering(tmp_path, 7), edited)
    same(landscape.undo_edit(tmp_path, 7), clusters)
    for file in tmp_path.iterdir():
        os.utime(file, (10, 10))
    same(landscape.latest_clustering(tmp_path, 7), clusters)


def test_a_window_undoes_what_it_shows_and_nothing_else(clusters, z, tmp_path) -> None:
    landscape.save(clusters, tmp_path)
    seen = regroup.edited(clusters, ACTS[0], z)
    landscape.save(seen, tmp_path)
    kept = landscape.save(regroup.edited(seen, Edit("rename", (1,), name="open"), z), tmp_path)
    with pytest.raises(ValueError, match="in another window"):
        landscape.undo_edit(tmp_path, 7, seen)
    assert kept.is_file()
    same(landscape.undo_edit(tmp_path, 7, landscape.load(kept)), seen)


def test_names_reach_groups_methods_and_export(planted_run: Run, tmp_path) -> None:
    epoch = planted_run.epoch()
    latents, views = epoch.latents(), planted_run.paths.views
    found = landscape.cluster(latents, 2, epoch=epoch.number)
    made = regroup.edited(found, Edit("rename", (2,), name="open"), latents)
    landscape.save(found, views)
    landscape.save(made, views)
    assert [group.name for group in cluster_groups(made)] == ["cluster 1", "open"]
    assert "cluster 2 named 'open'" in methods(planted_run, epoch.number, made, "")
    readme = (export_run(planted_run, tmp_path / "out") / "README.txt").read_text()
    assert "%) open" in readme and "named 'open'" in readme


def test_regrouped_clusters_have_no_stability_but_renamed_ones_have(z) -> None:
    found = landscape.cluster(z, 2)
    named = regroup.edited(found, Edit("rename", (1,), name="open"), z)
    assert len(stability.stability(named, z, trials=2).jaccard) == 2
    with pytest.raises(ValueError, match="changed by hand"):
        stability.stability(regroup.edited(found, Edit("merge", (1, 2)), z), z)


def test_the_command_line_does_each_and_does_all_again(wide_run: Run, capsys) -> None:
    run, views = str(wide_run.path), wide_run.paths.views
    steps = (Step("range", ("PC2",), bounds=(0.1, np.inf)),)
    columns = EpochColumns.of_run(wide_run)
    rows = np.flatnonzero(columns.column("PC2") >= np.float32(0.1))
    shelf.keep(Selection("top", rows, Recipe(steps)), wide_run.paths.selections)
    assert main(["cluster", run, "-k", "3"]) == 0
    computed = landscape.latest_clustering(views)
    assert main(["regroup", run, "--merge", "2,3", "--name", "pair"]) == 0
    assert main(["regroup", run, "--split", "2", "--into", "2", "--method", "kmeans"]) == 0
    assert main(["regroup", run, "--rename", "1", "--name", "single"]) == 0
    assert main(["regroup", run, "--take", "top"]) == 0
    assert "single: " in capsys.readouterr().out
    last = landscape.latest_clustering(views)
    np.testing.assert_array_equal(last.labels == last.labels[rows[0]], columns.column("PC2") >= 0.1)
    file = max(views.glob("*-hand*"), key=lambda path: path.stat().st_mtime_ns)
    kept = file.parent.parent / "kept.safetensors"
    kept.write_bytes(file.read_bytes())
    for _ in range(4):
        assert main(["regroup", run, "--undo"]) == 0
    same(landscape.latest_clustering(views), computed)
    assert main(["regroup", run, "--again", str(kept)]) == 0
    np.testing.assert_array_equal(landscape.latest_clustering(views).labels, last.labels)
    assert landscape.latest_clustering(views).names == last.names
    assert main(["regroup", run, "--merge", "1,2", "--undo"]) == 1
    assert main(["regroup", run, "--merge", "1,b"]) == 1
    assert "write numbers of clusters" in capsys.readouterr().err
