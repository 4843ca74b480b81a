"""Columns of particles: what they mean, how the user's own are joined, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import starfile
import torch
from sklearn.neighbors import NearestNeighbors

from napari_cryodeco.explore import landscape, user_columns
from napari_cryodeco.explore.closeness import closeness
from napari_cryodeco.explore.columns import Columns
from napari_cryodeco.explore.user_columns import read_user_columns
from napari_cryodeco.runs.run import Run


def test_derived_columns_follow_their_definitions(planted_run: Run, particle_set) -> None:
    columns = Columns(planted_run)
    table = starfile.read(particle_set.star_with_poses)["particles"]
    found = columns.read(["defocus", "astigmatism", "shift", "rlnDefocusU", "tilt", "azimuth"])
    mean = (table["rlnDefocusU"] + table["rlnDefocusV"]) / 2
    np.testing.assert_allclose(found["defocus"], mean, rtol=1e-5)
    spread = (table["rlnDefocusU"] - table["rlnDefocusV"]).abs()
    np.testing.assert_allclose(found["astigmatism"], spread, atol=0.01)
    length = np.hypot(table["rlnOriginXAngst"], table["rlnOriginYAngst"])
    np.testing.assert_allclose(found["shift"], length, atol=1e-3)
    np.testing.assert_array_equal(found["rlnDefocusU"], table["rlnDefocusU"])
    # the viewing direction is the third row of RELION's matrix
    tilt, azimuth = np.deg2rad(found["tilt"]), np.deg2rad(found["azimuth"])
    seen = np.stack([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth)], 1)
    third = planted_run.epoch().poses().rotations[:, 2].numpy()
    np.testing.assert_allclose(seen, third[:, :2], atol=1e-5)
    np.testing.assert_allclose(np.cos(tilt), third[:, 2], atol=1e-5)


def test_columns_have_titles_units_and_periods(planted_run: Run) -> None:
    columns = Columns(planted_run)
    assert columns.column("rlnDefocusU").label == "defocus U (Å)"
    assert columns.column("rlnVoltage").label == "voltage (kV)"  # of the optics table
    assert columns.column("shift").label == "shift length (Å)"
    assert columns.column("rlnAnglePsi").period == 360
    assert columns.column("rlnDefocusAngle").period == 180
    with pytest.raises(ValueError, match="has no column nothing: `cryodeco columns"):
        columns.read(["nothing"])


def test_clusters_are_columns_once_they_are_made(planted_run: Run, particle_set) -> None:
    assert "cluster" not in [column.name for column in Columns(planted_run).listed]
    latents = planted_run.epoch().latents()
    landscape.save(landscape.cluster(latents, 2, epoch=1), planted_run.paths.views)
    found = Columns(planted_run).read(["cluster", "posterior"])
    np.testing.assert_array_equal(found["cluster"], particle_set.labels + 1)
    assert found["posterior"].min() > 0.99


def test_closeness_is_the_distance_to_the_tenth_neighbour() -> None:
    z = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    z[:100] *= 0.1
    found = closeness(z)
    distance = NearestNeighbors(n_neighbors=10).fit(z).kneighbors()[0][:, -1]
    median = float(torch.tensor(distance).median())
    np.testing.assert_allclose(found, median / distance, rtol=1e-3)
    assert closeness(z[:1]).tolist() == [1.0]
    same = closeness(np.zeros((30, 2), np.float32))
    assert np.isfinite(same).all()


def test_a_changed_source_is_told(planted_run: Run, tmp_path: Path, particle_set) -> None:
    star = tmp_path / "short.star"
    lines = particle_set.star_with_poses.read_text().rstrip("\n").split("\n")
    star.write_text("\n".join(lines[:-1]) + "\n")
    record = planted_run.paths.data.read_text()
    planted_run.paths.data.write_text(record.replace(str(particle_set.star_with_poses), str(star)))
    columns = Columns(Run.open(planted_run.path))
    with pytest.raises(ValueError, match="59 values but the run 60 particles"):
        columns.read(["rlnDefocusU"])


def test_an_array_of_the_right_length_is_a_column(planted_run: Run, tmp_path: Path) -> None:
    source, n = planted_run.particles.source, len(planted_run.particles)
    values = np.random.default_rng(0).normal(size=(n, 2))
    np.save(tmp_path / "score.npy", values)
    found = read_user_columns(tmp_path / "score.npy", source, n).values
    np.testing.assert_array_equal(found["score[1]"], values[:, 1])
    user_columns.keep(planted_run.paths.columns, "my score", found["score[1]"])
    columns = Columns(planted_run)
    assert columns.column("my score").origin == "user"
    np.testing.assert_array_equal(columns.read(["my score"])["my score"], values[:, 1])
    np.save(tmp_path / "score.npy", values[:-1])
    with pytest.raises(ValueError, match="59 rows but the run 60 particles"):
        read_user_columns(tmp_path / "score.npy", source, n)


def test_a_csv_file_is_joined_by_the_image_name(planted_run: Run, tmp_path: Path) -> None:
    source, n = planted_run.particles.source, len(planted_run.particles)
    names = starfile.read(source)["particles"]["rlnImageName"].tolist()
    order = np.random.default_rng(0).permutation(n)[:50]
    lines = [f"{names[row].lstrip('0')},{row / 4},kind {row % 3}" for row in order]
    path = tmp_path / "ranks.csv"
    path.write_text("\n".join(["rlnImageName,rank,kind", *lines, "7@other.mrcs,1,kind 0"]) + "\n")
    found = read_user_columns(path, source, n)
    assert (found.missing, found.unknown) == (n - 50, 1)
    np.testing.assert_array_equal(found.values["rank"][order], order / 4)
    left = np.setdiff1d(np.arange(n), order)
    assert np.isnan(found.values["rank"][left]).all()
    assert found.values["kind"][order[3]] == f"kind {order[3] % 3}"
    user_columns.keep(planted_run.paths.columns, "kind", found.values["kind"])
    kept = Columns(planted_run).read(["kind"])["kind"]
    assert kept.tolist() == found.values["kind"].tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", r"1 rows but the run 60 particles.*rlnImageName or uid to join by"),
        ("1,2\n1,2\n", "needs a first line with the names"),
        ("a,a\n1,2\n", "two columns of one name"),
        ("a,b\n1\n", "row 1 has 1 values for 2 columns"),
        ("uid,b\n1,2\n", "joined by uid, which .* has not"),
        ("rlnImageName,b\n1@x.mrcs,2\n", "is it of other particles"),
        ("rlnImageName,b\n1@{0},2\n1@{0},3\n", "row 2: 1@.* is named twice"),
        ("rlnImageName\n1@{0}\n", "no column beside rlnImageName"),
        ("", "needs a first line"),
    ],
)
def test_wrong_csv_files_are_one_sentence(
    planted_run: Run, tmp_path: Path, text: str, words: str
) -> None:
    source, n = planted_run.particles.source, len(planted_run.particles)
    name = starfile.read(source)["particles"]["rlnImageName"][0].split("@")[1]
    path = tmp_path / "user.csv"
    path.write_text(text.format(name))
    with pytest.raises(ValueError, match=words) as caught:
        read_user_columns(path, source, n)
    assert "\n" not in str(caught.value)
