"""RELION files: units and conventions, the user's own rows back, and clear words for bad files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import starfile
import torch
from scipy.spatial.transform import Rotation

from napari_cryodeco.data import star_export, star_rows, table
from napari_cryodeco.data.read import read_particles


def edited(path: Path, *changes: tuple[str, str]) -> Path:
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def test_relion_31_is_read_in_our_units(relion: Path) -> None:
    particles = read_particles(relion)
    assert (len(particles), particles.box, particles.pixel_size) == (5, 16, 2.0)
    assert particles.slice_of.tolist() == [0, 1, 3, 2, 5]
    assert particles.stacks == (relion.parents[2] / "Extract" / "job007" / "a.mrcs",)
    assert particles.ctf.voltage.tolist() == [300, 300, 200, 200, 300]
    assert torch.allclose(particles.ctf.amplitude, torch.tensor([0.1, 0.1, 0.07, 0.07, 0.1]))
    assert torch.allclose(particles.ctf.angle[:3], torch.tensor([0.25, 0.25, 0.5]) * torch.pi)
    assert particles.poses is not None
    assert torch.equal(particles.poses.shifts[0], torch.tensor([1.5, -2.5]))
    angles = [[10, 20, 30], [-10, 20, 30], [10, 120, 30], [10, 20, -30], [1, 2, 3]]
    expected = Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix().transpose(0, 2, 1)
    assert np.allclose(particles.poses.rotations, expected, atol=1e-6)


def test_relion_30_means_the_same(relion: Path, tmp_path: Path) -> None:
    old = tmp_path / "project" / "old.star"
    rows = "\n".join(
        f"00000{row + 1}@Extract/job007/a.mrcs 300 2.7 0.1 12000 11000 45 5.0 25000 10 20 30 1.5 -2"
        for row in range(3)
    )
    labels = (
        "ImageName Voltage SphericalAberration AmplitudeContrast DefocusU DefocusV DefocusAngle"
        " DetectorPixelSize Magnification AngleRot AngleTilt AnglePsi OriginX OriginY"
    )
    head = "\n".join(f"_rln{label} #{i}" for i, label in enumerate(labels.split(), 1))
    old.write_text(f"\ndata_\n\nloop_\n{head}\n{rows}\n")
    particles = read_particles(old)
    assert particles.pixel_size == pytest.approx(2.0)  # 5 µm / 25000
    assert particles.poses is not None
    assert torch.allclose(particles.poses.shifts, torch.tensor([3.0, -4.0]).expand(3, 2))  # px to Å
    out = tmp_path / "project" / "out.star"
    columns = star_export.pose_columns(particles.poses[torch.tensor([2, 0])])
    star_export.write_rows(particles, np.array([2, 0]), out, columns)
    again = read_particles(out)
    assert again.poses is not None
    assert torch.allclose(again.poses.shifts, particles.poses.shifts[:2], atol=1e-5)
    assert "rlnOriginXAngst" not in out.read_text()


def test_relion_5_general_block_is_kept(relion: Path, tmp_path: Path) -> None:
    general = "# version 50001\n\ndata_general\n\n_rlnTomoSubTomosAre2DStacks   0\n\n"
    relion.write_text(general + relion.read_text().replace("30001", "50001"))
    particles = read_particles(relion)
    out = tmp_path / "project" / "out.star"
    star_export.write_rows(particles, np.array([1]), out)
    assert out.read_text().startswith(general)
    assert len(read_particles(out)) == 1


def test_written_rows_are_the_users_lines(relion: Path, tmp_path: Path) -> None:
    particles = read_particles(relion)
    out = tmp_path / "project" / "subset.star"
    star_export.write_rows(particles, np.array([0, 3]), out)
    original = relion.read_text().split("\n")
    rows = [line for line in original if "@" in line]
    kept = [line for line in original if "@" not in line or line in (rows[0], rows[3])]
    assert out.read_text().split("\n") == kept


def test_all_rows_give_the_file_itself(relion: Path, tmp_path: Path) -> None:
    out = tmp_path / "project" / "all.star"
    star_export.write_rows(read_particles(relion), np.arange(5), out)
    assert out.read_text() == relion.read_text()


def test_starfile_reads_what_is_written(relion: Path, tmp_path: Path) -> None:
    particles = read_particles(relion)
    out = tmp_path / "project" / "subset.star"
    rows = np.array([1, 2, 4])
    columns = {"rlnClassNumber": np.array([3, 1, 2]), "rlnAngleRot": np.array([0.5, 1.5, -2.5])}
    star_export.write_rows(particles, rows, out, columns)
    before, after = starfile.read(relion), starfile.read(out)
    assert before["optics"].equals(after["optics"])
    assert after["particles"]["rlnClassNumber"].tolist() == [3, 1, 2]
    assert after["particles"]["rlnAngleRot"].tolist() == [0.5, 1.5, -2.5]
    kept = [name for name in before["particles"] if name != "rlnAngleRot"]
    expected = before["particles"].iloc[rows].reset_index(drop=True)[kept]
    assert after["particles"][kept].equals(expected)


def test_names_are_rewritten_only_where_they_would_not_lead(relion: Path, tmp_path: Path) -> None:
    particles = read_particles(relion)
    far = tmp_path / "elsewhere" / "subset.star"
    far.parent.mkdir()
    star_export.write_rows(particles, np.array([0, 4]), far)
    again = read_particles(far)
    assert again.stacks == particles.stacks
    assert again.slice_of.tolist() == [0, 5]
    assert "my mic 1.mrc" in far.read_text()


def test_a_decoy_stack_beside_the_output_is_not_taken(
    relion: Path, tmp_path: Path, images, stack_writer
) -> None:
    particles = read_particles(relion)
    decoy = tmp_path / "other" / "Extract" / "job007" / "a.mrcs"
    stack_writer(decoy, images[::-1].copy())
    out = tmp_path / "other" / "subset.star"
    star_export.write_rows(particles, np.array([0]), out)
    assert read_particles(out).stacks == particles.stacks


def test_a_new_file_from_particles_means_the_same(relion: Path, tmp_path: Path) -> None:
    particles = read_particles(relion)
    out = tmp_path / "new.star"
    star_export.write_particles(particles, np.arange(5), out)
    again = read_particles(out)
    assert again.stacks == particles.stacks
    assert torch.equal(again.slice_of, particles.slice_of)
    for name in ("defocus_u", "defocus_v", "angle", "voltage", "cs", "amplitude", "phase"):
        assert torch.allclose(getattr(again.ctf, name), getattr(particles.ctf, name), atol=1e-6)
    assert again.poses is not None
    assert particles.poses is not None
    assert torch.allclose(again.poses.rotations, particles.poses.rotations, atol=1e-6)
    assert torch.allclose(again.poses.shifts, particles.poses.shifts, atol=1e-5)


def test_pose_columns_round_trip(relion: Path) -> None:
    poses = read_particles(relion).poses
    assert poses is not None
    columns = star_export.pose_columns(poses)
    assert np.allclose(columns["rlnAngleTilt"], [20, 20, 120, 20, 2], atol=1e-4)
    assert np.allclose(columns["rlnOriginXAngst"], [1.5, 0.5, 1.5, 1.5, 4])


def test_in_plane_angles_of_a_2d_classification_are_no_poses(relion: Path) -> None:
    lines = relion.read_text().split("\n")
    flat = [
        " ".join([*line.split()[:-5], "0", "0", *line.split()[-3:]]) if "@" in line else line
        for line in lines
    ]
    relion.write_text("\n".join(flat))
    assert read_particles(relion).poses is None


def test_every_column_can_colour(relion: Path) -> None:
    columns = table.columns(relion)
    own = list(starfile.read(relion)["particles"].columns)
    assert list(columns)[: len(own)] == own  # those of the optics table come after
    assert columns["rlnCoordinateX"].tolist() == [101.5, 102.5, 103.5, 104.5, 105.5]
    assert columns["rlnOpticsGroup"].dtype == np.int64
    assert columns["rlnMicrographName"].tolist() == ["my mic 1.mrc", *["mic2.mrc"] * 4]


def test_missing_ctf_columns_are_named(relion: Path) -> None:
    edited(relion, ("_rlnDefocusU", "_rlnOther"), ("_rlnVoltage", "_rlnElse"))
    with pytest.raises(
        ValueError, match=r"run_data.star has no column rlnDefocusU, rlnVoltage: es"
    ):
        read_particles(relion)


def test_a_row_beyond_its_stack_is_named(relion: Path) -> None:
    edited(relion, ("000003@", "000007@"))
    with pytest.raises(
        ValueError, match=r"run_data.star, row 4: image 7 of .*a.mrcs, which holds 6"
    ):
        read_particles(relion)


def test_an_empty_star_is_told(relion: Path) -> None:
    relion.write_text("\n".join(line for line in relion.read_text().split("\n") if "@" not in line))
    with pytest.raises(ValueError, match=r"run_data.star is empty"):
        read_particles(relion)
    relion.write_text("")
    with pytest.raises(ValueError, match=r"run_data.star is empty or no STAR file"):
        read_particles(relion)


def test_a_missing_stack_is_named(relion: Path) -> None:
    (relion.parents[2] / "Extract" / "job007" / "a.mrcs").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"names the stack Extract/job007/a.mrcs.*--datadir"
    ):
        read_particles(relion)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("000001@", "abc@"), "row 1: 'abc@Extract/job007/a.mrcs' is no image name"),
        (("11111.000000", "nan"), "row 4: rlnDefocusU is 'nan', no number"),
        (("  104.500000", ""), "row 4 .line 39. has 11 values for 12 columns"),
        (("mic2.mrc  2 12345", "mic2.mrc  5 12345"), "row 3: optics group 5 is not in"),
        (("0.070000     2.000000", "0.070000     2.100000"), "row 3 has a pixel size of 2.1 Å"),
        (("2.000000           16 ", "2.000000           32 "), "row 1 says a box of 32 px"),
        (("_rlnImagePixelSize", "_rlnNo"), "gives no pixel size"),
        (
            ("_rlnImageDimensionality", "_rlnCtfDataAreCtfPremultiplied"),
            "row 1: rlnCtfDataAreCtfPremultiplied says that the images are CTF-corrected",
        ),
        (("_rlnImageName", "_rlnNo"), "has no column rlnImageName"),
        (("_rlnCoordinateX", "_rlnTomoName"), "lists subtomograms"),
    ],
)
def test_bad_stars_are_answered_in_one_sentence(relion: Path, change, words: str) -> None:
    edited(relion, change)
    with pytest.raises(ValueError, match=words) as caught:
        read_particles(relion)
    assert "run_data.star" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_changed_source_is_not_written_from(relion: Path, tmp_path: Path) -> None:
    particles = read_particles(relion)
    lines = relion.read_text().rstrip().split("\n")
    relion.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(ValueError, match="has 4 rows now but 5 were read"):
        star_export.write_rows(particles, np.array([0]), tmp_path / "x.star")


def test_numbers_are_checked_row_by_row(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="row 2: rlnDefocusU is 'x'"):
        star_rows.to_numbers(tmp_path, "rlnDefocusU", ["1", "x", "3"])
