"""cryoSPARC files: conventions, companions, rows back bit for bit, clear words for bad files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib import recfunctions
from scipy.spatial.transform import Rotation

from napari_cryodeco.data import cryosparc, star_export, table
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.explore import subset


def test_a_refinement_is_read_in_our_units(cs_job: Path) -> None:
    rows = np.load(cs_job)
    particles = read_particles(cs_job)
    assert (len(particles), particles.box, particles.pixel_size) == (6, 16, 2.0)
    assert particles.contrast == "light"
    assert particles.stacks == (cs_job.parents[1] / "J3" / "extract" / "a.mrc",)
    assert particles.slice_of.tolist() == rows["blob/idx"].tolist()
    assert np.allclose(particles.ctf.angle, rows["ctf/df_angle_rad"])
    assert particles.poses is not None
    expected = Rotation.from_rotvec(rows["alignments3D/pose"]).as_matrix().transpose(0, 2, 1)
    assert np.allclose(particles.poses.rotations, expected, atol=1e-6)
    assert np.allclose(particles.poses.shifts, 4.0 * rows["alignments3D/shift"])  # its own px


def test_dark_particles_are_known_by_their_sign(cs_job: Path, cs_saver) -> None:
    rows = np.load(cs_job)
    rows["blob/sign"] = -1
    assert read_particles(cs_saver(cs_job, rows)).contrast == "dark"
    rows["blob/sign"][3] = 1
    with pytest.raises(ValueError, match=r"row 4: light and dark particles are mixed"):
        read_particles(cs_saver(cs_job, rows))


def test_a_passthrough_file_gives_what_is_missing(cs_job: Path, cs_saver) -> None:
    rows = np.load(cs_job)
    whole = read_particles(cs_job)
    ctf = [name for name in rows.dtype.names if name.startswith("ctf/")]
    others = np.random.default_rng(1).permutation(len(rows))
    cs_saver(cs_job.with_name("J5_passthrough_particles.cs"), rows[["uid", *ctf]][others])
    cs_saver(cs_job, recfunctions.repack_fields(rows.copy()[["uid", *_without(rows, "ctf/")]]))
    particles = read_particles(cs_job)
    assert torch.equal(particles.ctf.defocus_u, whole.ctf.defocus_u)
    strange = rows[["uid", *ctf]].copy()
    strange["uid"] += 1
    cs_saver(cs_job.with_name("J5_passthrough_particles.cs"), strange)
    with pytest.raises(ValueError, match=r"no column ctf/df1_A.*passthrough"):
        read_particles(cs_job)


def _without(rows: np.ndarray, prefix: str) -> list[str]:
    return [name for name in rows.dtype.names if not name.startswith(prefix) and name != "uid"]


def test_ab_initio_classes_give_the_pose_of_the_likeliest(cs_job: Path, cs_saver) -> None:
    rows = np.load(cs_job)
    names = [name for name in rows.dtype.names if not name.startswith("alignments3D")]
    kinds = [(name, rows.dtype[name]) for name in names]
    for k in range(2):
        prefix = f"alignments_class_{k}"
        kinds += [(f"{prefix}/pose", "<f4", (3,)), (f"{prefix}/shift", "<f4", (2,))]
        kinds += [(f"{prefix}/class_posterior", "<f4"), (f"{prefix}/psize_A", "<f4")]
    new = np.zeros(len(rows), dtype=kinds)
    for name in names:
        new[name] = rows[name]
    best = np.array([0, 1, 1, 0, 1, 0])
    for k in range(2):
        prefix = f"alignments_class_{k}"
        new[f"{prefix}/pose"] = [0, 0, 0.1 + k]
        new[f"{prefix}/shift"] = [k, 1]
        new[f"{prefix}/psize_A"] = 3.0 + k
        new[f"{prefix}/class_posterior"] = np.where(best == k, 0.9, 0.1)
    poses = read_particles(cs_saver(cs_job, new)).poses
    assert poses is not None
    angles = torch.atan2(poses.rotations[:, 0, 1], poses.rotations[:, 0, 0])
    assert torch.allclose(angles, torch.from_numpy(0.1 + best).float(), atol=1e-6)
    expected = np.stack([best, np.ones(6)], 1) * (3.0 + best)[:, None]
    assert np.allclose(poses.shifts, expected)


def test_heterogeneous_refinement_gives_the_pose_of_the_likeliest(cs_job: Path, cs_saver) -> None:
    """alignments3D_multi: one column of all classes, pose (n, K, 3), class_posterior (n, K)."""
    rows = np.load(cs_job)
    names = [name for name in rows.dtype.names if not name.startswith("alignments3D")]
    prefix, best = "alignments3D_multi", np.array([0, 1, 1, 0, 1, 0])
    kinds = [(name, rows.dtype[name]) for name in names]
    kinds += [(f"{prefix}/pose", "<f4", (2, 3)), (f"{prefix}/shift", "<f4", (2, 2))]
    kinds += [(f"{prefix}/class_posterior", "<f4", (2,)), (f"{prefix}/psize_A", "<f4")]
    new = np.zeros(len(rows), dtype=kinds)
    for name in names:
        new[name] = rows[name]
    new[f"{prefix}/pose"][:, :, 2] = [0.1, 1.1]
    new[f"{prefix}/shift"] = [[0, 1], [1, 1]]
    new[f"{prefix}/psize_A"] = 3.0
    new[f"{prefix}/class_posterior"] = np.stack([best == 0, best == 1], 1) * 0.8 + 0.1
    poses = read_particles(cs_saver(cs_job, new)).poses
    assert poses is not None
    angles = torch.atan2(poses.rotations[:, 0, 1], poses.rotations[:, 0, 0])
    assert torch.allclose(angles, torch.from_numpy(0.1 + best).float(), atol=1e-6)
    assert np.allclose(poses.shifts, 3.0 * np.stack([best, np.ones(6)], 1))


def test_written_rows_are_the_users_bytes(cs_job: Path, tmp_path: Path) -> None:
    out = tmp_path / "subset.cs"
    rows = np.array([1, 4, 5])
    cryosparc.write_rows(read_particles(cs_job), rows, out)
    assert np.load(out, allow_pickle=False).tobytes() == np.load(cs_job)[rows].tobytes()
    assert np.load(out).dtype == np.load(cs_job).dtype


def test_a_star_of_a_cs_file_means_the_same(cs_job: Path, tmp_path: Path) -> None:
    particles = read_particles(cs_job)
    out = tmp_path / "subset.star"
    star_export.write_particles(particles, np.arange(6), out)
    again = read_particles(out)
    assert again.stacks == particles.stacks
    assert torch.equal(again.slice_of, particles.slice_of)
    assert ".mrc:mrcs" in out.read_text()  # RELION takes a bare .mrc for one map
    assert again.poses is not None
    assert particles.poses is not None
    assert torch.allclose(again.poses.rotations, particles.poses.rotations, atol=1e-5)
    assert torch.allclose(again.poses.shifts, particles.poses.shifts, atol=1e-5)
    assert torch.allclose(again.ctf.angle, particles.ctf.angle, atol=1e-6)


def test_coordinates_count_from_the_top(cs_job: Path, cs_saver) -> None:
    rows = np.load(cs_job)
    location = np.zeros(
        len(rows),
        dtype=[
            ("location/micrograph_path", "S20"),
            ("location/micrograph_shape", "<u4", (2,)),
            ("location/center_x_frac", "<f4"),
            ("location/center_y_frac", "<f4"),
        ],
    )
    location["location/micrograph_path"] = b">J1/m.mrc"
    location["location/micrograph_shape"] = (1000, 2000)  # y, x
    location["location/center_x_frac"], location["location/center_y_frac"] = 0.25, 0.25
    cs_saver(cs_job, recfunctions.merge_arrays([rows, location], flatten=True))
    columns = cryosparc.relion_columns(cs_job, np.array([2]))
    assert columns["rlnMicrographName"].tolist() == ["J1/m.mrc"]
    assert columns["rlnCoordinateX"].tolist() == [500]
    assert columns["rlnCoordinateY"].tolist() == [750]


def test_every_column_can_colour(cs_job: Path) -> None:
    columns = table.columns(cs_job)
    assert columns["blob/path"][0] == ">J3/extract/a.mrc"
    assert columns["uid"].dtype.kind == "u"
    assert np.allclose(
        columns["alignments3D/shift[1]"], np.load(cs_job)["alignments3D/shift"][:, 1]
    )


def test_the_cs_of_another_job_is_told(cs_job: Path, cs_saver) -> None:
    exposures = np.zeros(3, dtype=[("uid", "<u8"), ("micrograph_blob/path", "S10")])
    with pytest.raises(ValueError, match=r"x.cs has no column blob/path.*choose the particles"):
        read_particles(cs_saver(cs_job.with_name("x.cs"), exposures))


def test_files_that_are_no_cs_are_told(tmp_path: Path, cs_saver) -> None:
    path = tmp_path / "x.cs"
    path.write_text("hello")
    with pytest.raises(ValueError, match=r"no readable .cs file"):
        read_particles(path)
    with pytest.raises(ValueError, match=r"no table of cryoSPARC"):
        read_particles(cs_saver(path, np.zeros(3)))
    with pytest.raises(ValueError, match=r"is empty"):
        read_particles(cs_saver(path, np.zeros(0, dtype=[("uid", "<u8")])))
    with pytest.raises(FileNotFoundError, match=r"y.cs is missing"):
        read_particles(tmp_path / "y.cs")


def test_no_pickle_is_ever_opened(tmp_path: Path) -> None:
    path = tmp_path / "evil.cs"
    with path.open("wb") as file:
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"no readable .cs file"):
        read_particles(path)


def test_a_number_that_is_none_names_its_row(cs_job: Path, cs_saver) -> None:
    rows = np.load(cs_job)
    rows["ctf/df1_A"][2] = np.nan
    with pytest.raises(ValueError, match=r"row 3: ctf/df1_A is no finite number"):
        read_particles(cs_saver(cs_job, rows))


def test_a_subset_is_read_back_and_stays_out_of_the_job(cs_job: Path, tmp_path: Path) -> None:
    particles = read_particles(cs_job)
    written = subset.write(np.array([5, 1]), particles, tmp_path / "subset.cs")
    assert written.count == 2
    assert np.load(written.path)["uid"].tolist() == np.load(cs_job)["uid"][[1, 5]].tolist()
    again = read_particles(written.path, datadir=tmp_path / "P1")
    assert again.slice_of.tolist() == particles.slice_of[[1, 5]].tolist()
    star = subset.write(np.array([5, 1]), particles, tmp_path / "subset.star")
    assert read_particles(star.path).slice_of.tolist() == again.slice_of.tolist()
    (cs_job.parent / "job.json").touch()
    with pytest.raises(ValueError, match=r"the folder of a job"):
        subset.write(np.array([1]), particles, cs_job.parent / "subset.cs")


def test_a_cs_of_another_length_is_not_written_from(cs_job: Path, tmp_path: Path, cs_saver) -> None:
    particles, rows = read_particles(cs_job), np.load(cs_job)
    cs_saver(cs_job, rows[:-2])
    with pytest.raises(ValueError, match=rf"has {len(rows) - 2} rows now but {len(rows)} were"):
        subset.write(np.array([0]), particles, tmp_path / "subset.cs")
    assert not (tmp_path / "subset.cs").exists()


def test_a_cs_takes_no_relion_columns(cs_job: Path, tmp_path: Path) -> None:
    columns = {"rlnClassNumber": np.array([1])}
    with pytest.raises(ValueError, match=r"written to .star files only"):
        subset.write(np.array([1]), read_particles(cs_job), tmp_path / "subset.cs", columns)
