"""Differences of maps have a sign and a scale; mosaics share both; batches lose no particle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import starfile

from napari_cryodeco.explore.batch import write_each
from napari_cryodeco.explore.figure import Group
from napari_cryodeco.explore.map_difference import MapDifference, difference_of
from napari_cryodeco.explore.mapback import MapBack, map_back
from napari_cryodeco.explore.mosaic import arranged, tiles
from napari_cryodeco.explore.volumes import Volume, VolumeDecoder, common_sigma
from napari_cryodeco.runs.run import Run


def blob(centre: tuple[int, int, int], height: float = 1.0) -> Volume:
    grid = np.stack(np.meshgrid(*(np.arange(24),) * 3, indexing="ij"), -1)
    squares = ((grid - np.array(centre)) ** 2).sum(-1)
    return Volume((height * np.exp(-squares / 8)).astype(np.float32), 2.0)


def subtracted(a: Volume, b: Volume) -> MapDifference:
    return MapDifference(a, b, Volume(a.data - b.data, a.voxel_size), common_sigma((a, b)))


def test_a_part_that_only_one_has_shows_with_its_sign_and_height() -> None:
    both, part = blob((8, 8, 8)), blob((16, 16, 16), 0.5)
    more = Volume(both.data + part.data, 2.0)
    made = subtracted(more, both)
    low, high = made.extremes
    assert low == pytest.approx(0, abs=1e-6)
    assert high == pytest.approx(0.5 / common_sigma((more, both)), rel=1e-5)
    assert np.unravel_index(made.in_sigma.argmax(), made.in_sigma.shape) == (16, 16, 16)
    turned = subtracted(both, more)
    assert turned.extremes == (-high, 0.0)
    assert turned.correlation == pytest.approx(np.corrcoef(more.data.flat, both.data.flat)[0, 1])


def test_maps_that_hardly_differ_are_said_to() -> None:
    one = blob((12, 12, 12))
    assert "next to nothing" in subtracted(one, Volume(one.data * 1.001, 2.0)).sentence
    assert "next to nothing" not in subtracted(one, blob((8, 12, 12))).sentence


def test_a_minus_b_is_minus_b_minus_a(planted_run: Run) -> None:
    decoder, latents = VolumeDecoder(planted_run.epoch().field_path, "cpu"), planted_run.epoch()
    z = latents.latents()[[0, -1]]
    there, back = difference_of(decoder, *z), difference_of(decoder, *z[::-1])
    np.testing.assert_allclose(there.volume.data, -back.volume.data, atol=1e-6)
    none = difference_of(decoder, z[0], z[0])
    assert none.extremes == (0.0, 0.0) and none.level > 0


def test_tiles_share_one_scale() -> None:
    groups = [Group("a", np.arange(3), "#FF0000"), Group("b", np.arange(1), "#0000FF")]
    whole, half = blob((12, 12, 12)), blob((12, 12, 12), 0.3)
    made = list(tiles(groups, [whole, half], 4, level=3.0))
    assert [tile.caption for tile in made] == ["a: 75.0 %", "b: 25.0 %"]
    inked = [int((tile.picture != 255).any(-1).sum()) for tile in made]
    assert inked[0] > inked[1]  # each by itself they would be the same
    assert len({tile.pixel_size for tile in made}) == 1
    picture = arranged([tile.picture for tile in made] * 2)
    assert picture.shape == (440, 440, 3)
    np.testing.assert_array_equal(picture[220:, :220], made[0].picture)


def test_a_batch_is_whole_or_not_there(planted_run: Run, tmp_path: Path) -> None:
    groups = [Group("a", np.arange(10), "#FF0000"), Group("b", np.arange(10, 60), "#0000FF")]
    written = write_each(planted_run.particles, groups, tmp_path / "out", ".star")
    assert written.count == 60
    sizes = [len(starfile.read(p)["particles"]) for p in sorted((tmp_path / "out").iterdir())]
    assert sizes == [10, 50]
    with pytest.raises(FileExistsError, match="exists already"):
        write_each(planted_run.particles, groups, tmp_path / "out", ".star")
    bad = [*groups, Group("c", np.array([60]), "#00FF00")]
    with pytest.raises(ValueError, match="60"):
        write_each(planted_run.particles, bad, tmp_path / "none", ".star")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_counts_of_some_rows_are_those_of_a_look_up_of_these_rows(planted_run: Run) -> None:
    source = planted_run.particles.source
    whole = map_back(planted_run, np.arange(60), source)
    some = np.array([40, 3, 3, 7])
    part, alone = whole.only(some), map_back(planted_run, some, source)
    assert isinstance(part, MapBack)
    np.testing.assert_array_equal(part.rows, alone.rows)
    np.testing.assert_array_equal(part.found, alone.found)
    with pytest.raises(ValueError, match="Row 3 was not looked for"):
        whole.only(np.array([40])).only(some)
