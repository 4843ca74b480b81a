"""Runs made of other programs' latents: the rows, the poses, the maps, and what is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import starfile
import torch
import yaml
from scipy.spatial.transform import Rotation

from napari_cryodeco.cli import main
from napari_cryodeco.data.foreign.opening import open_latents
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.explore import shelf
from napari_cryodeco.explore.backprojection import back_project
from napari_cryodeco.explore.exporting import export_maps, export_run
from napari_cryodeco.explore.selection import Selection
from napari_cryodeco.explore.subset import write
from napari_cryodeco.explore.volumes import Volume
from napari_cryodeco.runs.adopt import adopt
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_mrc

Capture = pytest.CaptureFixture[str]


def r_from_relion(a: float, b: float, y: float) -> np.ndarray:
    """RELION's angles as cryoDRGN's parse_pose_star turns them into matrices (utils.py)."""
    a, b, y = np.deg2rad([a, b, y])
    ra = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    rb = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    ry = np.array([[np.cos(y), -np.sin(y), 0], [np.sin(y), np.cos(y), 0], [0, 0, 1]])
    r = ry @ rb @ ra
    r[0, 1] *= -1
    r[1, 0] *= -1
    r[1, 2] *= -1
    r[2, 1] *= -1
    return r


def dump(path: Path, *values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for value in values:
            pickle.dump(value, file)
    return path


def planted(labels: np.ndarray, size: int = 4) -> np.ndarray:
    """Two clean clusters in z."""
    z = np.random.default_rng(1).normal(size=(len(labels), size)) * 0.2
    z[:, 0] += 4.0 * labels
    return z.astype(np.float32)


def cryodrgn_tables(particle_set: Any) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Poses and CTF as `cryodrgn parse_pose_star` and `parse_ctf_star` write them."""
    tables = starfile.read(particle_set.star_with_poses)
    rows, optics = tables["particles"], tables["optics"].iloc[0]
    angles = rows[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy()
    rotations = np.array([r_from_relion(*row) for row in angles])
    shifts = rows[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy()
    shifts = shifts / particle_set.pixel_size / particle_set.box
    ctf = np.zeros((len(rows), 9))
    ctf[:, 0], ctf[:, 1] = particle_set.box, particle_set.pixel_size
    ctf[:, 2:5] = rows[["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"]].to_numpy()
    ctf[:, 5], ctf[:, 6] = optics["rlnVoltage"], optics["rlnSphericalAberration"]
    ctf[:, 7] = optics["rlnAmplitudeContrast"]
    ctf[:, 8] = rows.get("rlnPhaseShift", 0.0)
    return (rotations, shifts), ctf


@pytest.fixture
def drgn(particle_set: Any, tmp_path: Path) -> Path:
    """A result folder of `cryodrgn train_vae` on the bare stack, with poses.pkl and ctf.pkl."""
    poses, ctf = cryodrgn_tables(particle_set)
    dataset = {
        "particles": str(particle_set.stack),
        "poses": str(dump(tmp_path / "inputs" / "poses.pkl", poses)),
        "ctf": str(dump(tmp_path / "inputs" / "ctf.pkl", ctf)),
        "ind": None,
        "datadir": None,
    }
    z = planted(particle_set.labels)
    dump(tmp_path / "drgn" / "z.24.pkl", z, np.zeros_like(z))
    config = {"dataset_args": dataset, "model_args": {"encode_mode": "resid"}}
    (tmp_path / "drgn" / "config.yaml").write_text(yaml.dump(config))
    return tmp_path / "drgn"


def set_ind(drgn: Path, rows: np.ndarray) -> Path:
    """Make the folder one of a run with --ind."""
    ind = dump(drgn.parent / "inputs" / "ind.pkl", rows)
    config = yaml.safe_load((drgn / "config.yaml").read_text())
    config["dataset_args"]["ind"] = str(ind)
    (drgn / "config.yaml").write_text(yaml.dump(config))
    with (drgn / "z.24.pkl").open("rb") as file:
        z = pickle.load(file)
    dump(drgn / "z.24.pkl", z[rows], z[rows])
    return ind


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- cryoDRGN


def test_poses_and_ctf_of_cryodrgn_mean_what_the_star_file_says(
    drgn: Path, particle_set: Any, tmp_path: Path
) -> None:
    made = adopt(open_latents(drgn), tmp_path / "run")
    run, star = made.run, read_particles(particle_set.star_with_poses)
    poses = run.epoch().poses()
    assert star.poses is not None
    torch.testing.assert_close(poses.rotations, star.poses.rotations, atol=1e-5, rtol=0)
    torch.testing.assert_close(poses.shifts, star.poses.shifts, atol=1e-3, rtol=0)
    for name in ("defocus_u", "defocus_v", "angle", "voltage", "cs", "amplitude", "phase"):
        torch.testing.assert_close(getattr(run.particles.ctf, name), getattr(star.ctf, name))
    assert run.particles.pixel_size == pytest.approx(star.pixel_size)
    assert run.epoch().number == 24
    np.testing.assert_array_equal(run.epoch().latents(), planted(particle_set.labels))


def test_a_selection_is_reconstructed_from_the_users_stack(
    drgn: Path, particle_set: Any, tmp_path: Path
) -> None:
    run = adopt(open_latents(drgn), tmp_path / "run").run
    assert not run.paths.images.exists()
    truth = Volume(*read_mrc(particle_set.maps[1])).data.ravel()
    members = {k: np.flatnonzero(particle_set.labels == k) for k in (0, 1)}
    right, wrong = (
        np.corrcoef(back_project(run, members[k]).whole.data.ravel(), truth)[0, 1] for k in (1, 0)
    )
    assert right > 0.8 > wrong


def test_images_of_the_stack_are_those_of_a_working_copy(
    drgn: Path, particle_set: Any, planted_run: Run, tmp_path: Path
) -> None:
    adopted = adopt(open_latents(drgn), tmp_path / "run").run
    rows = torch.tensor([3, 59, 0])
    torch.testing.assert_close(
        adopted.images()[rows], planted_run.images()[rows].float(), atol=5e-3, rtol=2e-3
    )
    assert adopted.geometry == planted_run.geometry


def test_nothing_is_written_where_the_latents_lie(drgn: Path, tmp_path: Path) -> None:
    before = contents(drgn.parent)
    with pytest.raises(ValueError, match="the results of cryoDRGN: choose a folder outside"):
        adopt(open_latents(drgn), drgn / "run")
    adopt(open_latents(drgn), tmp_path / "elsewhere" / "run")
    after = contents(drgn.parent)
    assert {name: after[name] for name in before} == before


def test_the_origin_names_every_file_with_its_hash(drgn: Path, tmp_path: Path) -> None:
    run = adopt(open_latents(drgn), tmp_path / "run").run
    told = json.loads(run.paths.origin.read_text())
    files = {file["role"]: file for file in told["files"]}
    assert set(files) == {"particles", "latents", "config", "poses", "ctf"}
    raw = (drgn / "z.24.pkl").read_bytes()
    assert files["latents"]["sha256"] == hashlib.sha256(raw).hexdigest()
    assert run.origin is not None
    assert "cryoDRGN" in run.origin.sentence


def test_a_subset_keeps_the_rows_of_its_particles(
    drgn: Path, particle_set: Any, tmp_path: Path
) -> None:
    """Row i of the run is latent i: particle rows[i] of the stack, in images, poses and export."""
    rows = np.array([40, 3, 17, 59, 8])
    set_ind(drgn, rows)
    made = adopt(open_latents(drgn), tmp_path / "run")
    run = made.run
    assert run.particles.slice_of.tolist() == rows.tolist()
    np.testing.assert_array_equal(run.epoch().latents(), planted(particle_set.labels)[rows])
    whole = read_particles(particle_set.star_with_poses).poses
    assert whole is not None
    poses = run.epoch().poses()
    torch.testing.assert_close(poses.rotations, whole.rotations[rows], atol=1e-5, rtol=0)
    assert any("5 of 60 particles" in note and "ind.pkl" in note for note in made.notes)
    run.check_source()
    out = write(np.array([1, 4]), run.particles, tmp_path / "two.star").path
    assert read_particles(out).slice_of.tolist() == [3, 8]
    moved = shutil.move(run.path, tmp_path / "moved")  # its own particle file moves along
    again = Run.open(moved)
    again.check_source()
    assert again.particles.source.is_file()


def test_a_selection_in_a_subset_means_the_same_particles_when_it_is_reopened(
    drgn: Path, particle_set: Any, tmp_path: Path
) -> None:
    """Rows of the subset are kept, and never taken for rows of the whole file or mapped twice."""
    rows = np.array([40, 3, 17, 59, 8])
    set_ind(drgn, rows)
    run = adopt(open_latents(drgn), tmp_path / "run", particle_set.star_with_poses).run
    shelf.keep(Selection("mine", np.array([0, 3])), run.paths.selections)
    again = Run.open(run.path)
    (kept,) = shelf.load_all(again.paths.selections)
    assert kept.rows.tolist() == [0, 3]
    out = write(kept.rows, again.particles, tmp_path / "mine.star").path
    assert read_particles(out).slice_of.tolist() == [40, 59]
    users = starfile.read(particle_set.star_with_poses)["particles"].iloc[[40, 59]]
    written = starfile.read(out)["particles"]
    assert written["rlnDefocusU"].tolist() == users["rlnDefocusU"].tolist()


def test_a_subset_of_a_star_file_keeps_all_its_columns(
    drgn: Path, particle_set: Any, tmp_path: Path
) -> None:
    rows = np.array([10, 2, 30])
    set_ind(drgn, rows)
    run = adopt(open_latents(drgn), tmp_path / "run", particle_set.star_with_poses).run
    own = starfile.read(run.particles.source)["particles"].drop(columns="rlnImageName")
    users = starfile.read(particle_set.star_with_poses)["particles"].drop(columns="rlnImageName")
    assert own.equals(users.iloc[rows].reset_index(drop=True))


def test_lengths_that_do_not_match_name_both_files(
    drgn: Path, particle_set: Any, tmp_path: Path
) -> None:
    set_ind(drgn, np.arange(10))
    config = yaml.safe_load((drgn / "config.yaml").read_text())
    config["dataset_args"]["ind"] = None
    (drgn / "config.yaml").write_text(yaml.dump(config))
    with pytest.raises(ValueError, match=r"z\.24\.pkl has 10 latents but .*mrcs has 60 particles"):
        adopt(open_latents(drgn), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    set_ind(drgn, np.array([0, 5]))
    dump(drgn.parent / "inputs" / "ind.pkl", np.array([0, 60]))
    with pytest.raises(ValueError, match=r"ind\.pkl names row 60 but .* has rows 0 to 59"):
        adopt(open_latents(drgn), tmp_path / "run")


def test_poses_of_another_job_are_refused(drgn: Path, tmp_path: Path) -> None:
    dump(drgn / "pose.24.pkl", (np.tile(np.eye(3), (7, 1, 1)), np.zeros((7, 2))))
    with pytest.raises(ValueError, match=r"pose\.24\.pkl has 7 orientations but .* 60 particles"):
        adopt(open_latents(drgn), tmp_path / "run")


def test_poses_that_cryodrgn_ai_found_are_in_pixels(
    particle_set: Any, drgn: Path, tmp_path: Path
) -> None:
    (rotations, shifts), _ = cryodrgn_tables(particle_set)
    out = tmp_path / "ai" / "out"
    dump(out / "conf.5.pkl", planted(particle_set.labels))
    dump(out / "pose.5.pkl", (rotations, shifts * particle_set.box))
    run = adopt(open_latents(tmp_path / "ai"), tmp_path / "run", particle_set.star).run
    star = read_particles(particle_set.star_with_poses).poses
    assert star is not None
    torch.testing.assert_close(run.epoch().poses().shifts, star.shifts, atol=1e-3, rtol=0)


# ---- arrays and cryoSPARC


def test_an_array_and_a_star_file_without_poses(particle_set: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", planted(particle_set.labels))
    with pytest.raises(ValueError, match=r"z\.npy does not say which particles.*--particles"):
        adopt(open_latents(tmp_path / "z.npy"), tmp_path / "run")
    made = adopt(open_latents(tmp_path / "z.npy"), tmp_path / "run", particle_set.star)
    assert made.run.particles.source == particle_set.star.resolve()
    with pytest.raises(ValueError, match=r"no orientations.*--poses"):
        back_project(made.run, np.arange(30))
    export_run(made.run, tmp_path / "out")
    assert not list((tmp_path / "out" / "maps").iterdir())
    assert "no orientations" in (tmp_path / "out" / "README.txt").read_text()


def cs_columns(particle_set: Any) -> dict[str, np.ndarray]:
    """Images, CTF and poses of the set as cryoSPARC's columns."""
    particles = read_particles(particle_set.star_with_poses)
    n, ctf, poses = len(particles), particles.ctf, particles.poses
    assert poses is not None
    turned = Rotation.from_matrix(poses.rotations.numpy().transpose(0, 2, 1))
    return {
        "uid": np.arange(n, dtype=np.uint64) * 7 + 1,
        "blob/path": np.full(n, str(particle_set.stack).encode()),
        "blob/idx": np.arange(n, dtype=np.uint32),
        "blob/psize_A": np.full(n, particle_set.pixel_size, np.float32),
        "ctf/df1_A": ctf.defocus_u.numpy(),
        "ctf/df2_A": ctf.defocus_v.numpy(),
        "ctf/df_angle_rad": ctf.angle.numpy(),
        "ctf/accel_kv": ctf.voltage.numpy(),
        "ctf/cs_mm": ctf.cs.numpy(),
        "ctf/amp_contrast": ctf.amplitude.numpy(),
        "alignments3D/pose": turned.as_rotvec().astype(np.float32),
        "alignments3D/shift": poses.shifts.numpy() / particle_set.pixel_size,
    }


def test_a_3d_flex_job_has_its_particles_in_a_passthrough_file(
    particle_set: Any, tmp_path: Path
) -> None:
    """As scipion-em-cryosparc2 reads the latents file: uid, then component and value by turns."""
    columns, z = cs_columns(particle_set), planted(particle_set.labels, 2)
    save_cs(tmp_path / "J12" / "J12_passthrough_particles.cs", columns)
    latents = {"uid": columns["uid"][::-1]}
    for k in range(2):
        latents[f"components_mode_{k}/component"] = np.full(len(z), k, np.uint32)
        latents[f"components_mode_{k}/value"] = z[::-1, k]
    save_cs(tmp_path / "J12" / "J12_latents_011200.cs", latents)
    run = adopt(open_latents(tmp_path / "J12"), tmp_path / "run").run
    np.testing.assert_array_equal(run.epoch().latents(), z[::-1])
    assert run.particles.slice_of.tolist() == list(range(len(z)))[::-1]
    members = np.flatnonzero(particle_set.labels[::-1] == 1)
    truth, _ = read_mrc(particle_set.maps[1])
    found = back_project(run, members).whole.data
    assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.8


def test_particles_of_cryosparc_are_found_by_their_uid(particle_set: Any, tmp_path: Path) -> None:
    """A 3D Variability job lists some particles of the set, in another order."""
    columns = cs_columns(particle_set)
    n = len(particle_set)
    order = np.random.default_rng(3).permutation(n)[:40]
    z = planted(particle_set.labels, 2)
    found = {"uid": columns["uid"][order]}
    found |= {f"components_mode_{k}/value": z[order, k] for k in range(2)}
    listed = save_cs(tmp_path / "J3" / "particles.cs", columns)
    components = save_cs(tmp_path / "J9" / "J9_particles.cs", found)
    run = adopt(open_latents(components), tmp_path / "run", listed).run
    assert run.particles.slice_of.tolist() == order.tolist()
    np.testing.assert_array_equal(run.epoch().latents(), z[order])
    out = write(np.array([0, 2]), run.particles, tmp_path / "two.cs").path
    assert np.load(out)["uid"].tolist() == found["uid"][[0, 2]].tolist()
    found["uid"][5] = 3
    strange = save_cs(tmp_path / "J9" / "J9_particles.cs", found)
    with pytest.raises(ValueError, match=r"J3/particles\.cs lacks particles of .*J9.* \(by uid\)"):
        adopt(open_latents(strange), tmp_path / "other", listed)


def save_cs(path: Path, columns: dict[str, np.ndarray]) -> Path:
    table = np.zeros(len(columns["uid"]), [(k, c.dtype, c.shape[1:]) for k, c in columns.items()])
    for name, column in columns.items():
        table[name] = column
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.save(file, table)
    return path


# ---- commands


def call(*words: object) -> int:
    return main([str(word) for word in words])


def test_commands_work_without_a_decoder(
    drgn: Path, particle_set: Any, tmp_path: Path, capsys: Capture
) -> None:
    run = tmp_path / "run"
    assert call("adopt", drgn, run) == 0
    said = capsys.readouterr().out
    assert "z.24.pkl is a pickle" in said
    assert "Orientations: " in said
    assert call("cluster", run, "-k", 2, "--method", "kmeans") == 0
    assert call("select", run, "--labels", 2, "-o", tmp_path / "two.star") == 0
    assert call("backproject", run, "--labels", 2, "-o", tmp_path / "maps") == 0
    assert "There is no decoder" in capsys.readouterr().out
    written = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert written == ["fsc.json", "half_map_1.mrc", "half_map_2.mrc", "map.mrc", "rows.txt"]
    told = json.loads((tmp_path / "maps" / "fsc.json").read_text())
    assert told["decoded"] is None
    assert "decoder" not in told["note"]
    assert call("export", run, tmp_path / "out") == 0
    truth, _ = read_mrc(particle_set.maps[1])
    found, _ = read_mrc(tmp_path / "out" / "maps" / "class_002.mrc")
    assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.8
    readme = (tmp_path / "out" / "README.txt").read_text()
    assert "back-projection" in readme
    assert "Latents of cryoDRGN" in readme


@pytest.mark.parametrize(
    "words",
    [("decode", "--row", 3, "-o", "m.mrc"), ("movie", "--frames", 3, "-o", "m.gif")],
    ids=["decode", "movie"],
)
def test_what_needs_a_decoder_says_what_does_not(
    words: tuple[Any, ...], drgn: Path, tmp_path: Path, capsys: Capture
) -> None:
    run = tmp_path / "run"
    adopt(open_latents(drgn), run)
    command, *options = words
    options[-1] = tmp_path / options[-1]
    assert call(command, run, *options) == 1
    said = capsys.readouterr().err.strip()
    assert "no decoder" in said
    assert "backproject" in said
    assert not options[-1].exists()


def test_adopted_latents_are_not_trained(drgn: Path, tmp_path: Path, capsys: Capture) -> None:
    run = adopt(open_latents(drgn), tmp_path / "run").run
    assert call("train", run.path) == 1
    assert "holds latents of cryoDRGN and is not trained here" in capsys.readouterr().err
    assert run.status().state == "done"
    with pytest.raises(ValueError, match="no decoder"):
        export_maps(run, np.zeros((1, 4)), tmp_path / "maps")


def test_what_is_given_goes_before_what_lay_there(
    drgn: Path, particle_set: Any, tmp_path: Path, capsys: Capture
) -> None:
    rows = np.arange(0, 60, 2)
    z = dump(tmp_path / "z.pkl", planted(particle_set.labels)[rows])
    ind = dump(tmp_path / "half.pkl", rows)
    (rotations, shifts), ctf = cryodrgn_tables(particle_set)
    poses = dump(tmp_path / "p.pkl", (rotations, shifts))
    table = dump(tmp_path / "c.pkl", ctf)
    lists = tmp_path / "stacks.txt"  # cryoDRGN's list of stacks, relative to itself
    shutil.copy(particle_set.stack, tmp_path / "a.mrcs")
    lists.write_text("a.mrcs\n")
    words = ("--particles", lists, "--poses", poses, "--ctf", table, "--ind", ind)
    assert call("adopt", z, tmp_path / "run", *words) == 0, capsys.readouterr().err
    run = Run.open(tmp_path / "run")
    assert run.particles.slice_of.tolist() == rows.tolist()
    assert len(run.epoch().poses()) == 30
