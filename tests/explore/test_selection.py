"""Selections: set algebra, undo, keeping them, and subsets that hold exactly the chosen rows."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile

from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.read import CtfOptions, read_particles
from napari_cryodeco.data.star_export import pose_columns
from napari_cryodeco.explore import selection
from napari_cryodeco.explore.selection import History, Recipe, Selection, Step
from napari_cryodeco.explore.subset import DARK, HALF_FLOATS

N = 1000


def mask(seed: int, share: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).random(N) < share


@pytest.fixture
def chosen(particle_set) -> Particles:
    return read_particles(particle_set.star_with_poses)


# ---- history


def test_undo_and_redo_walk_through_every_step() -> None:
    history = History(N)
    states = [history.mask.copy()]
    rng = np.random.default_rng(0)
    for step in range(300):
        act = ("replace", "add", "subtract", "intersect", "invert")[rng.integers(5)]
        getattr(history, act)(*([] if act == "invert" else [mask(step)]))
        states.append(history.mask.copy())
    for state in reversed(states[:-1]):
        assert history.undo()
        assert np.array_equal(history.mask, state)
    assert not history.undo()
    for state in states[1:]:
        assert history.redo()
        assert np.array_equal(history.mask, state)
    assert not history.redo()


def test_the_acts_are_those_of_sets() -> None:
    a, b = mask(1), mask(2)
    expected = {"replace": b, "add": a | b, "subtract": a & ~b, "intersect": a & b}
    for act, result in expected.items():
        history = History(N)
        history.replace(a)
        getattr(history, act)(b)
        assert np.array_equal(history.mask, result)
        assert history.rows.tolist() == np.flatnonzero(result).tolist()
        assert history.count == result.sum()
    history.invert()
    assert np.array_equal(history.mask, ~(a & b))
    history.clear()
    assert history.count == 0


def test_a_new_act_forgets_what_was_undone() -> None:
    history = History(N)
    history.replace(mask(1))
    history.undo()
    assert history.can_redo
    history.add(mask(2))
    assert not history.can_redo
    assert history.can_undo


def test_any_moment_of_the_history_can_be_gone_to() -> None:
    history = History(N)
    states = [history.mask.copy()]
    for step in range(6):
        history.add(mask(step, 0.1))
        states.append(history.mask.copy())
    for place in (2, 5, 0, 6, 3):
        history.go_to(place)
        assert history.place == place and len(history.moments) == 7
        assert np.array_equal(history.mask, states[place])
        assert [moment.count for moment in history.moments] == [s.sum() for s in states]
    with pytest.raises(ValueError, match="no step 7"):
        history.go_to(7)
    history.clear()
    assert len(history.moments) == 5  # what was undone is given up


def test_the_mask_cannot_be_changed_from_outside() -> None:
    history = History(N)
    own = mask(1)
    history.replace(own)
    own[:] = False
    assert history.count > 0
    with pytest.raises(ValueError, match="read-only"):
        history.mask[0] = True


def test_only_masks_of_all_particles_are_taken() -> None:
    history = History(N)
    for wrong in (np.zeros(N - 1, bool), np.arange(N)):
        with pytest.raises(ValueError, match=f"over {N} particles needs a bool mask"):
            history.add(wrong)


def test_the_recipe_goes_with_the_mask() -> None:
    history = History(N)
    lasso = Step("lasso", ("PC1", "PC2"), ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
    history.replace(mask(1), lasso)
    history.subtract(mask(2), Step("labels", labels=(3,)))
    assert [step.mode for step in history.recipe.steps] == ["replace", "subtract"]
    history.undo()
    assert [step.kind for step in history.recipe.steps] == ["lasso"]
    history.redo()
    assert history.recipe.steps[1].labels == (3,)
    history.replace(mask(3), Step("all"))
    assert len(history.recipe.steps) == 1


def test_a_thousand_steps_over_many_particles_stay_small() -> None:
    history = History(100_000)
    for start in range(1000):
        act = np.zeros(100_000, bool)
        act[start * 90 : start * 90 + 500] = True
        history.add(act)
    kept = sum(len(difference) for difference, _ in history._done)
    assert kept < 1000 * 100_000 / 8 / 20  # a twentieth of packed masks


# ---- named selections


def test_set_algebra_keeps_its_laws() -> None:
    a, b = (Selection(name, np.flatnonzero(mask(seed))) for name, seed in (("a", 1), ("b", 2)))
    both, either = a.intersection(b, "both"), a.union(b, "either")
    assert len(either) == len(a) + len(b) - len(both)
    assert np.array_equal(a.difference(b, "d").rows, a.intersection(b.complement(N, "c"), "e").rows)
    assert np.array_equal(a.mask(N), mask(1))
    assert either.recipe.steps[-1].axes == ("b",)


def test_rows_are_sorted_and_distinct() -> None:
    assert Selection("a", np.array([3, 1, 3, 2])).rows.tolist() == [1, 2, 3]


def test_a_selection_is_kept_with_its_recipe(tmp_path: Path) -> None:
    step = Step("lasso", ("PC1", "PC2"), ((0.5, 0.25), (1.0, 0.0), (0.0, 1.0)))
    recipe = (
        Recipe(epoch=7).then("replace", step).then("add", Step("range", ("z1",), bounds=(0, 2)))
    )
    kept = Selection("open state", np.array([5, 2]), recipe)
    kept.save(tmp_path / "open.safetensors")
    again = Selection.load(tmp_path / "open.safetensors")
    assert (again.name, again.rows.tolist(), again.recipe) == ("open state", [2, 5], recipe)


# ---- subsets in files


def test_a_subset_holds_exactly_the_chosen_rows(chosen: Particles, tmp_path: Path) -> None:
    rows = np.array([41, 3, 17])
    written = selection.write(rows, chosen, tmp_path / "subset.star")
    assert (written.path, written.count) == (tmp_path / "subset.star", 3)
    before, after = starfile.read(chosen.source), starfile.read(written.path)
    expected = before["particles"].iloc[[3, 17, 41]].reset_index(drop=True)
    other = [name for name in expected if name != "rlnImageName"]
    assert after["particles"][other].equals(expected[other])
    assert after["optics"].equals(before["optics"])
    again = read_particles(written.path)
    assert again.stacks == chosen.stacks
    assert again.slice_of.tolist() == [3, 17, 41]


def test_a_subset_holds_both_half_sets(particle_set, tmp_path: Path) -> None:
    blocks = starfile.read(particle_set.star_with_poses)
    halves = np.resize([1, 2, 2], len(particle_set))
    blocks["particles"]["rlnRandomSubset"] = halves
    star = tmp_path / "halves.star"
    starfile.write(blocks, star)
    rows = np.arange(5, 45)
    whole = read_particles(star, particle_set.stack.parent)
    written = selection.write(rows, whole, tmp_path / "subset.star")
    after = starfile.read(written.path)["particles"]["rlnRandomSubset"]
    assert after.tolist() == halves[rows].tolist() and set(after) == {1, 2}


def test_columns_follow_their_rows(chosen: Particles, tmp_path: Path) -> None:
    rows = np.array([41, 3, 17])
    columns = {"rlnClassNumber": rows + 100}
    selection.write(rows, chosen, tmp_path / "subset.star", columns)
    assert starfile.read(tmp_path / "subset.star")["particles"]["rlnClassNumber"].tolist() == [
        103,
        117,
        141,
    ]


def test_everything_with_poses_and_classes(particle_set, tmp_path: Path) -> None:
    particles = read_particles(particle_set.star)
    poses = read_particles(particle_set.star_with_poses).poses
    assert poses is not None
    rows = np.arange(len(particles))
    columns = {**pose_columns(poses), "rlnClassNumber": particle_set.labels + 1}
    selection.write(rows, particles, tmp_path / "particles.star", columns)
    again = read_particles(tmp_path / "particles.star")
    assert again.poses is not None
    assert np.allclose(again.poses.rotations, particle_set.rotations, atol=1e-5)
    assert np.allclose(again.poses.shifts, particle_set.shifts, atol=1e-5)


def test_plain_row_numbers_round_trip(chosen: Particles, tmp_path: Path) -> None:
    written = selection.write(np.array([4, 0, 9]), chosen, tmp_path / "rows.txt")
    assert written.path.read_text() == "0\n4\n9\n"
    assert selection.read_rows(written.path, len(chosen)).tolist() == [0, 4, 9]
    np.save(tmp_path / "rows.npy", np.array([9, 0]))
    assert selection.read_rows(tmp_path / "rows.npy", len(chosen)).tolist() == [0, 9]


@pytest.mark.parametrize(
    ("text", "words"),
    [("1\nx\n", "holds no row numbers"), ("1\n60\n", "names row 60, but the rows are 0 to 59")],
)
def test_bad_row_files_are_told(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "rows.txt").write_text(text)
    with pytest.raises(ValueError, match=words):
        selection.read_rows(tmp_path / "rows.txt", 60)


def test_half_floats_are_warned_of_and_copied(
    chosen: Particles, tmp_path: Path, particle_set
) -> None:
    rows = np.array([2, 30])
    half = mrcfile.read(particle_set.stack).dtype == np.float16
    written = selection.write(rows, chosen, tmp_path / "subset.star")
    assert written.warnings == ((HALF_FLOATS,) if half else ())
    copied = selection.write_with_images(rows, chosen, tmp_path / "copied.star")
    assert copied.warnings == ()
    again = read_particles(copied.path)
    assert again.stacks == (tmp_path / "copied.mrcs",)
    original = mrcfile.read(particle_set.stack).astype(np.float32)
    assert np.array_equal(mrcfile.read(again.stacks[0]), original[rows])
    assert again.poses is not None
    assert chosen.poses is not None
    assert np.allclose(again.poses.shifts, chosen.poses.shifts[rows])


def test_a_bare_stack_gives_a_star(particle_set, tmp_path: Path) -> None:
    options = CtfOptions(15000, contrast="dark")
    particles = read_particles(particle_set.stack, ctf_options=options)
    written = selection.write(np.array([7]), particles, tmp_path / "subset.star")
    assert DARK in written.warnings
    assert read_particles(written.path).slice_of.tolist() == [7]


def test_nothing_is_overwritten_unless_told(chosen: Particles, tmp_path: Path) -> None:
    out = tmp_path / "subset.star"
    selection.write(np.array([1]), chosen, out)
    with pytest.raises(FileExistsError, match=r"subset.star exists"):
        selection.write(np.array([2]), chosen, out)
    assert len(read_particles(out)) == 1
    selection.write(np.array([2, 3]), chosen, out, overwrite=True)
    assert len(read_particles(out)) == 2


def test_the_users_own_files_are_never_replaced(chosen: Particles) -> None:
    before = chosen.source.read_bytes()
    with pytest.raises(ValueError, match="your own file of particles"):
        selection.write(np.array([1]), chosen, chosen.source, overwrite=True)
    assert chosen.source.read_bytes() == before


@pytest.mark.parametrize("marker", ["job.star", "run.job", "job.json"])
def test_nothing_is_written_into_a_job_folder(
    chosen: Particles, tmp_path: Path, marker: str
) -> None:
    job = tmp_path / "J12"
    job.mkdir()
    (job / marker).touch()
    with pytest.raises(ValueError, match="the folder of a job: choose a folder outside"):
        selection.write(np.array([1]), chosen, job / "sub" / "subset.star")
    assert list(job.iterdir()) == [job / marker]


@pytest.mark.parametrize(
    ("rows", "name", "words"),
    [
        ([], "a.star", "No particle of .* is selected"),
        ([60], "a.star", "rows 0 to 59, not 60"),
        ([-1], "a.star", "rows 0 to 59, not -1"),
        ([1], "a.cs", "written from a .cs file only"),
        ([1], "a.csv", "written as .star, .cs or .txt"),
    ],
)
def test_what_cannot_be_written_is_told(
    chosen: Particles, tmp_path: Path, rows: list[int], name: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        selection.write(np.array(rows, dtype=np.int64), chosen, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_failed_read_back_leaves_nothing(
    chosen: Particles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_cryodeco.explore.subset._images_of", lambda path: [])
    with pytest.raises(OSError, match="does not read back"):
        selection.write(np.array([1]), chosen, tmp_path / "a.star")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("relion_star_handler") is None, reason="RELION is not installed")
def test_relion_reads_and_counts_the_subset(chosen: Particles, tmp_path: Path) -> None:
    """More, with maps, is measured in benchmarks/relion_roundtrip.py."""
    rows = np.arange(1, 60, 4)
    columns = {"rlnClassNumber": rows % 3 + 1}
    written = selection.write(rows, chosen, tmp_path / "subset.star", columns)
    command = ["relion_star_handler", "--i", written.path.name, "--o", "relion.star"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    theirs, ours = (
        starfile.read(path)["particles"] for path in (tmp_path / "relion.star", written.path)
    )
    assert len(theirs) == len(rows)
    assert theirs["rlnImageName"].tolist() == ours["rlnImageName"].tolist()
    assert theirs["rlnClassNumber"].tolist() == (rows % 3 + 1).tolist()


def test_a_read_only_folder_is_told(chosen: Particles, tmp_path: Path) -> None:
    if getattr(os, "geteuid", int)() == 0:
        pytest.skip("root writes everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="read-only; choose one you may write to"):
        selection.write(np.array([1]), chosen, tmp_path / "subset.star")
