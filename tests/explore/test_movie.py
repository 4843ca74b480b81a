"""Movies: what comes back from the files, how a run becomes one, and what a failure leaves."""

from __future__ import annotations

from pathlib import Path

import imageio.v2 as imageio
import mrcfile
import numpy as np
import pytest
from PIL import Image

from napari_cryodeco.explore import frames, movie
from napari_cryodeco.explore.movie import MovieOptions, Stopped
from napari_cryodeco.explore.render import View
from napari_cryodeco.explore.trajectory import Trajectory
from napari_cryodeco.explore.volumes import Volume

SMALL = MovieOptions(view=View(size=(48, 48)), level=2.0)


def flat_frames(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """One grey a frame, each brighter than the last."""
    return [
        np.full((height, width, 3), 40 + 200 * i // max(1, count - 1), np.uint8)
        for i in range(count)
    ]


@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 65)])
def test_an_mp4_has_every_frame_in_order_and_even_sides(
    tmp_path: Path, height: int, width: int
) -> None:
    pictures = flat_frames(6, height, width)
    movie.write(tmp_path / "a.mp4", pictures, fps=5)
    with imageio.get_reader(tmp_path / "a.mp4") as reader:
        found = [np.asarray(frame) for frame in reader]
        rate = reader.get_meta_data()["fps"]
    assert rate == 5 and len(found) == 6
    assert found[0].shape == (height + height % 2, width + width % 2, 3)
    for frame, picture in zip(found, pictures, strict=True):
        assert abs(float(frame.mean()) - float(picture.mean())) < 6


def test_a_gif_has_every_frame_and_its_pace(tmp_path: Path) -> None:
    movie.write(tmp_path / "a.gif", flat_frames(5), fps=20)
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 5 and picture.info["duration"] == 50
        assert picture.info["loop"] == 0


def test_pictures_of_a_folder_are_exact(tmp_path: Path) -> None:
    pictures = [np.random.default_rng(i).integers(0, 255, (9, 7, 3), np.uint8) for i in range(3)]
    movie.write(tmp_path / "frames", pictures)
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == ["frame_000.png", "frame_001.png", "frame_002.png"]
    for name, picture in zip(names, pictures, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "frames" / name)), picture)


def test_maps_of_a_series_keep_their_scale(tmp_path: Path) -> None:
    volumes = [
        Volume(np.random.default_rng(i).standard_normal((8, 8, 8)).astype(np.float32), 2.5)
        for i in range(3)
    ]
    calls: list[tuple[int, int]] = []
    paths = movie.write_series(tmp_path / "maps", volumes, lambda *call: calls.append(call))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    for path, volume in zip(paths, volumes, strict=True):
        with mrcfile.open(path) as mrc:
            np.testing.assert_array_equal(mrc.data, volume.data)
            assert mrc.voxel_size.x == pytest.approx(2.5)


def test_nothing_is_overwritten_and_nothing_half_made_is_left(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        movie.write(tmp_path / "a.gif", flat_frames(2))
    assert (tmp_path / "a.gif").read_text() == "mine"
    for name in ("b.mp4", "b.gif", "b"):
        with pytest.raises(ValueError, match="at least one frame"):
            movie.write(tmp_path / name, [])

        def broken():
            yield flat_frames(1)[0]
            raise RuntimeError("in the middle")

        with pytest.raises(RuntimeError, match="in the middle"):
            movie.write(tmp_path / name, broken())
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_other_suffixes_and_missing_ffmpeg_say_what_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"ends in \.mp4 or \.gif"):
        movie.write(tmp_path / "a.avi", flat_frames(2))
    monkeypatch.setattr(frames, "have_ffmpeg", lambda: False)
    with pytest.raises(ValueError, match=r"napari-cryodeco\[all\].*a\.gif works without"):
        movie.write(tmp_path / "a.mp4", flat_frames(2))


def test_there_and_back_has_no_frame_twice_in_a_row() -> None:
    assert movie.there_and_back(4) == [0, 1, 2, 3, 2, 1]
    assert movie.there_and_back(2) == [0, 1] and movie.there_and_back(1) == [0]


def test_frames_share_scale_level_and_camera() -> None:
    """Twice the density must look bigger: were every frame scaled by itself, it would not."""
    axis = np.arange(24) - 12
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    ball = np.exp(-(x**2 + y**2 + z**2) / 18).astype(np.float32)
    walk = Trajectory("path", np.zeros((2, 1), np.float32))
    faint, strong = movie.draw([Volume(ball, 2.0), Volume(2 * ball, 2.0)], walk, None, SMALL)
    painted = [(frame[:36] < 200).any(-1).sum() for frame in (faint, strong)]
    assert painted[1] > 1.2 * painted[0]


def test_a_run_becomes_a_movie(planted_run, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    made = movie.write_pc_movie(
        planted_run,
        tmp_path / "pc1.gif",
        frames=4,
        options=SMALL,
        progress=lambda *call: calls.append(call),
    )
    with Image.open(made.path) as picture:
        assert picture.n_frames == 6  # there and back
    assert made.frames == 4
    assert set(made.unsupported) >= {1, 2}  # between the two clusters there is nobody
    assert calls == [(i, 8) for i in range(1, 9)]


def test_a_folder_gets_pictures_and_maps(planted_run, tmp_path: Path) -> None:
    movie.write_pc_movie(planted_run, tmp_path / "pc2", component=2, frames=3, options=SMALL)
    names = sorted(path.name for path in (tmp_path / "pc2").iterdir())
    assert names == [f"frame_{i:03d}.{end}" for i in range(3) for end in ("mrc", "png")]
    with mrcfile.open(tmp_path / "pc2" / "frame_000.mrc") as mrc:
        geometry = planted_run.geometry
        assert mrc.voxel_size.x == pytest.approx(geometry.pixel_size)
        assert mrc.data.shape == (geometry.box,) * 3


def test_a_stopped_movie_leaves_nothing(planted_run, tmp_path: Path) -> None:
    done: list[int] = []
    for after in (1, 4):
        done.clear()
        with pytest.raises(Stopped):
            movie.write_pc_movie(
                planted_run,
                tmp_path / "pc1.gif",
                frames=3,
                options=SMALL,
                progress=lambda i, of: done.append(i),
                stop=lambda after=after: len(done) >= after,
            )
        assert len(done) == after
    assert not list(tmp_path.iterdir())


def test_wrong_wishes_are_refused_before_anything_is_decoded(planted_run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="components 1 to 4"):
        movie.write_pc_movie(planted_run, tmp_path / "a.gif", component=5)
    with pytest.raises(ValueError, match=r"ends in \.mp4"):
        movie.write_pc_movie(planted_run, tmp_path / "a.mov")
    assert not list(tmp_path.iterdir())


def test_all_maps_in_one_4d_file(planted_run, tmp_path: Path) -> None:
    walk = movie.pc_traverse(planted_run.epoch().latents(), 1, 5, 95, 3)
    calls: list[tuple[int, int]] = []
    made = movie.write_movie(
        planted_run.epoch(), tmp_path / "pc1.mrc", walk, progress=lambda *call: calls.append(call)
    )
    movie.write_movie(planted_run.epoch(), tmp_path / "maps", walk, options=SMALL)
    assert made.frames == 3 and calls == [(i, 6) for i in range(1, 7)]
    assert mrcfile.validate(str(tmp_path / "pc1.mrc"))
    with mrcfile.open(tmp_path / "pc1.mrc") as mrc:
        assert mrc.is_volume_stack() and mrc.data.shape == (3, *(planted_run.geometry.box,) * 3)
        assert mrc.voxel_size.z == pytest.approx(planted_run.geometry.pixel_size)
        assert mrc.header.dmax == mrc.data.max()
        for frame, values in enumerate(mrc.data):
            with mrcfile.open(tmp_path / "maps" / f"frame_{frame:03d}.mrc") as one:
                np.testing.assert_allclose(values, one.data, atol=1e-5 * np.abs(one.data).max())
    with pytest.raises(FileExistsError, match="exists already"):
        movie.write_movie(planted_run.epoch(), tmp_path / "pc1.mrc", walk)


def test_a_4d_file_that_failed_is_not_there(tmp_path: Path) -> None:
    volumes = [Volume(np.ones((8, 8, 8), np.float32), 2.0)] * 3

    def broken(done: int, of: int) -> None:
        if done == 2:
            raise Stopped("in the middle")

    with pytest.raises(Stopped):
        movie.write_frames(tmp_path / "a.mrc", volumes, broken)
    assert not list(tmp_path.iterdir())
