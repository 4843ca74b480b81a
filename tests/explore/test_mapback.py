"""A selection finds its rows in the un-binned original, and what it does not find is counted."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
import torch

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.explore.mapback import map_back, write_mapped
from napari_cryodeco.runs.run import Run
from napari_cryodeco.stage_config import DataConfig

ROWS = np.array([2, 3, 31, 100, 450])


@pytest.fixture
def table(wide_run: Run) -> dict[str, list]:
    """The run's own columns, to be changed."""
    frame = starfile.read(wide_run.particles.source)["particles"]
    return {name: frame[name].tolist() for name in frame.columns}


@pytest.fixture
def writer(tmp_path: Path, wide_star_writer):
    """Write an un-binned original: other stacks of twice the box, in another order."""
    stack = tmp_path / "unbinned" / "all.mrcs"
    stack.parent.mkdir()
    with mrcfile.new(stack) as mrc:
        mrc.set_data(np.random.default_rng(0).normal(size=(600, 40, 40)).astype(np.float32))
        mrc.set_image_stack()
    order = np.random.default_rng(1).permutation(600)

    def write(columns: dict[str, list], drop: tuple[str, ...] = ()) -> tuple[Path, np.ndarray]:
        moved = {name: [values[row] for row in order] for name, values in columns.items()}
        moved["rlnImageName"] = [f"{row + 1:06d}@all.mrcs" for row in range(600)]
        for name in drop:
            del moved[name]
        star = wide_star_writer(stack.parent / "particles.star", moved)
        star.write_text(star.read_text().replace("0.1 8.0 20", "0.1 4.0 40"))
        return star, np.argsort(order)  # where each row of the run went

    return write


def test_coordinates_find_the_unbinned_rows(wide_run: Run, table, writer, tmp_path: Path) -> None:
    original, place = writer(table)
    mapped = map_back(wide_run, ROWS, original)
    assert mapped.found.tolist() == place[ROWS].tolist()
    assert (mapped.matched, mapped.unmatched, mapped.complete) == (5, 0, True)
    assert (
        "5 of 5 particles matched (5 by coordinates), 0 unmatched, 0 ambiguous" in mapped.sentence
    )
    written = write_mapped(mapped, tmp_path / "out.star", poses_of=wide_run)
    assert written.count == 5
    frame = starfile.read(tmp_path / "out.star")
    assert frame["optics"]["rlnImagePixelSize"].item() == 4.0
    again = read_particles(tmp_path / "out.star")
    assert (again.box, again.pixel_size) == (40, 4.0)
    wanted = {(table["rlnMicrographName"][r], table["rlnCoordinateX"][r]) for r in ROWS}
    particles = frame["particles"]
    assert {
        *zip(particles["rlnMicrographName"], particles["rlnCoordinateX"], strict=True)
    } == wanted
    # poses are the run's, each with its own particle
    order = ROWS[np.argsort(place[ROWS])]
    poses = wide_run.epoch().poses()[torch.from_numpy(order)]
    torch.testing.assert_close(again.poses.rotations, poses.rotations, atol=1e-5, rtol=0)
    torch.testing.assert_close(again.poses.shifts, poses.shifts, atol=1e-4, rtol=0)


def test_a_missing_particle_is_never_dropped_in_silence(
    wide_run: Run, table, writer, tmp_path: Path
) -> None:
    table["rlnCoordinateX"][3] += 40
    original, _ = writer(table)
    mapped = map_back(wide_run, ROWS, original)
    assert (mapped.matched, mapped.unmatched) == (4, 1)
    with pytest.raises(ValueError, match=r"4 of 5 .*1 unmatched.*row 3 is the first.*--partial"):
        write_mapped(mapped, tmp_path / "out.star")
    assert not (tmp_path / "out.star").exists()
    written = write_mapped(mapped, tmp_path / "out.star", partial=True)
    assert written.count == 4
    assert "4 of 5 particles matched" in written.warnings[-1]


def test_two_within_the_tolerance_are_ambiguous(wide_run: Run, table, writer) -> None:
    for name in ("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY"):
        table[name][5] = table[name][2]
    table["rlnCoordinateX"][5] += 0.5
    original, place = writer(table)
    mapped = map_back(wide_run, ROWS, original)
    assert mapped.ambiguous.tolist() == [True, False, False, False, False]
    assert mapped.found[0] == -1
    assert map_back(wide_run, ROWS, original, within=0.2).found.tolist() == place[ROWS].tolist()


def test_the_original_image_name_finds_rows_without_coordinates(
    wide_star_writer, table, writer, tmp_path: Path
) -> None:
    """RELION notes the image that a rescaled one was made of."""
    original, place = writer(table, drop=("rlnCoordinateX", "rlnCoordinateY"))
    binned = {name: values for name, values in table.items() if "Coordinate" not in name}
    binned["rlnImageOriginalName"] = [f"{place[row] + 1:06d}@all.mrcs" for row in range(600)]
    run = make_run(tmp_path, wide_star_writer(tmp_path / "binned.star", binned))
    mapped = map_back(run, ROWS, original)
    assert mapped.found.tolist() == place[ROWS].tolist()
    assert mapped.by == (("image name", 5),)


def test_a_name_is_not_believed_against_the_coordinates(
    wide_star_writer, table, tmp_path: Path, wide_run: Run
) -> None:
    """A second extraction has stacks of the same names, its particles in another order."""
    order = np.random.default_rng(2).permutation(600)
    names = table["rlnImageName"]
    again = {name: [values[row] for row in order] for name, values in table.items()}
    again["rlnImageName"] = names
    original = wide_star_writer(tmp_path / "again.star", again)
    mapped = map_back(wide_run, ROWS, original)
    assert mapped.found.tolist() == np.argsort(order)[ROWS].tolist()


def test_a_file_that_has_nothing_in_common_is_told(
    wide_run: Run, table, writer, tmp_path: Path
) -> None:
    original, _ = writer(table, drop=("rlnCoordinateX", "rlnMicrographName"))
    mapped = map_back(wide_run, ROWS, original)  # names can be compared, and none is there
    assert (mapped.matched, mapped.unmatched) == (0, 5)
    with pytest.raises(ValueError, match=r"0 of 5 particles matched.*give the file"):
        write_mapped(mapped, tmp_path / "out.star", partial=True)
    with pytest.raises(ValueError, match=r"mapped to a .star or .cs file"):
        map_back(wide_run, ROWS, tmp_path / "x.mrcs")
    with pytest.raises(FileNotFoundError, match=r"no\.star is missing"):
        map_back(wide_run, ROWS, tmp_path / "no.star")


def make_run(folder: Path, source: Path) -> Run:
    config = TrainConfig(data=DataConfig(source=source), device="cpu")
    return Run.create(folder / "made", read_particles(source), config)


def cs_table(stack: str, uids: np.ndarray, box: int, pixel: float) -> np.ndarray:
    kinds = [("uid", "<u8"), ("blob/path", "S200"), ("blob/idx", "<u4"), ("blob/psize_A", "<f4")]
    ctf = ("df1_A", "df2_A", "df_angle_rad", "accel_kv", "cs_mm", "amp_contrast")
    table = np.zeros(len(uids), dtype=[*kinds, *((f"ctf/{name}", "<f4") for name in ctf)])
    table["uid"], table["blob/path"], table["blob/psize_A"] = uids, stack.encode(), pixel
    table["blob/idx"] = np.arange(len(uids))
    table["ctf/df1_A"], table["ctf/df2_A"] = 12000, 11000
    table["ctf/accel_kv"], table["ctf/cs_mm"], table["ctf/amp_contrast"] = 300, 2.7, 0.1
    return table


def write_cs(path: Path, table: np.ndarray) -> Path:
    with path.open("wb") as file:
        np.save(file, table)
    return path


def test_uids_come_first_and_give_the_users_bytes(tmp_path: Path, particle_set) -> None:
    uids = np.random.default_rng(0).permutation(10**6)[:60].astype(np.uint64)
    binned = cs_table(str(particle_set.stack), uids, 20, 8.0)
    run = make_run(tmp_path, write_cs(tmp_path / "binned.cs", binned))
    order = np.random.default_rng(1).permutation(60)
    # the same stack, so that image names would match other particles
    large = cs_table(str(particle_set.stack), uids[order], 20, 8.0)
    original = write_cs(tmp_path / "original.cs", large)
    mapped = map_back(run, np.arange(10), original)
    assert mapped.by == (("uid", 10),)
    assert mapped.found.tolist() == np.argsort(order)[:10].tolist()
    write_mapped(mapped, tmp_path / "out.cs")
    out = np.load(tmp_path / "out.cs", allow_pickle=False)
    assert set(out["uid"]) == set(uids[:10])
    assert out.tobytes() == large[np.sort(mapped.found)].tobytes()
    # a uid that is there twice or not at all is not looked for by a name, which would be wrong
    large["uid"][1], large["uid"][2] = large["uid"][0], 10**7
    odd = map_back(run, np.sort(order[:3]), write_cs(original, large))
    assert (int(odd.ambiguous.sum()), odd.unmatched, odd.matched) == (1, 2, 0)
