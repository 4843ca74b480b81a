"""Columns of the user's file: other readers find the same, and a large file stays on disk."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import starfile

from napari_cryodeco.data import document, table
from napari_cryodeco.data.document import StarDocument
from napari_cryodeco.data.stored_rows import open_star


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows at a time, so that five rows are three chunks."""
    monkeypatch.setattr(document, "CHUNK", 2)
    monkeypatch.setattr("napari_cryodeco.data.stored_rows.CHUNK", 2)


@pytest.mark.usefixtures("small_chunks")
def test_every_column_is_what_starfile_reads(relion: Path) -> None:
    read = starfile.read(relion)
    found = table.open_table(relion)
    optics = read["optics"].set_index("rlnOpticsGroup")
    for name in found.names:
        values = found.read([name])[name]
        if name in read["particles"]:
            expected = read["particles"][name].to_numpy()
        else:  # of the optics table, joined by the group of the particle
            expected = optics[name].loc[read["particles"]["rlnOpticsGroup"]].to_numpy()
        assert values.tolist() == expected.tolist(), name
    assert set(found.names) == {*read["particles"].columns, *read["optics"].columns}
    assert found.read(["rlnVoltage"])["rlnVoltage"].tolist() == [300, 300, 200, 200, 300]


@pytest.mark.usefixtures("small_chunks")
def test_rows_on_disk_are_those_in_memory(relion: Path) -> None:
    text = relion.read_text().replace("  103.5", "# a remark\n\n  103.5")
    relion.write_text(text + "\ndata_after\n\n_rlnSomething 5\n")
    whole, stored = StarDocument.read(relion), open_star(relion)
    assert [block.name for block in stored.blocks] == ["optics", "particles", "after"]
    for one, other in zip(whole.blocks, stored.blocks, strict=True):
        assert one.labels == other.labels
        assert one.columns(one.labels, relion) == other.columns(other.labels, relion)


@pytest.mark.usefixtures("small_chunks")
def test_a_column_that_becomes_text_late_is_text_from_the_start(relion: Path) -> None:
    relion.write_text(relion.read_text().replace("  105.500000", "  none"))
    values = table.open_table(relion).read(["rlnCoordinateX"])["rlnCoordinateX"]
    assert values.tolist() == ["101.500000", "102.500000", "103.500000", "104.500000", "none"]


def test_wrong_rows_and_names_are_one_sentence(relion: Path) -> None:
    with pytest.raises(ValueError, match=r"run_data.star has no column rlnNothing"):
        table.open_table(relion).read(["rlnNothing"])
    text = relion.read_text().replace(" 3  4 5.25", "")
    relion.write_text(text)
    line = text[: text.index("  105.5")].count("\n") + 1
    with pytest.raises(ValueError, match=rf"row 5 \(line {line}\) has 9 values for 12 columns"):
        table.open_table(relion).read(["rlnDefocusU"])
    relion.write_text("data_x\n")
    with pytest.raises(ValueError, match="no column rlnImageName"):
        table.open_table(relion)
    relion.write_text("hello\n")
    with pytest.raises(ValueError, match="is empty or no STAR file"):
        table.open_table(relion)


def test_passthrough_columns_are_joined_by_uid(cs_job: Path, cs_saver) -> None:
    rows = np.load(cs_job)
    order = np.random.default_rng(1).permutation(len(rows))
    more = np.zeros(len(rows), dtype=[("uid", "<u8"), ("location/micrograph_path", "S9")])
    more["uid"] = rows["uid"]
    more["location/micrograph_path"] = [f">mic{i}.mrc".encode() for i in range(len(rows))]
    cs_saver(cs_job.with_name("J5_passthrough_particles.cs"), more[order])
    found = table.open_table(cs_job)
    name = "location/micrograph_path"
    assert found.read([name])[name].tolist() == [f">mic{i}.mrc" for i in range(len(rows))]
    pose = found.read(["alignments3D/pose[2]"])["alignments3D/pose[2]"]
    np.testing.assert_array_equal(pose, rows["alignments3D/pose"][:, 2])


def test_twice_the_rows_cost_the_memory_of_their_numbers_only(tmp_path: Path) -> None:
    peaks = {}
    for n in (40_000, 80_000):
        star = tmp_path / f"{n}.star"
        with star.open("w") as file:
            file.write("data_particles\n\nloop_\n_rlnImageName #1\n")
            file.writelines(f"_rlnExtra{i} #{i + 2}\n" for i in range(6))
            file.writelines(f"{i + 1:06d}@s.mrcs" + f" {i}.25" * 6 + "\n" for i in range(n))
        tracemalloc.start()
        values = table.open_table(star).read(["rlnExtra3"])["rlnExtra3"]
        peaks[n] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        np.testing.assert_array_equal(values, np.arange(n) + 0.25)
    assert peaks[80_000] - peaks[40_000] < 3 * 40_000 * values.itemsize  # a row of text: 40 times
