"""`cryodeco movie` with a turning camera, an inset and a 4-D file, as it is typed."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest
from PIL import Image, ImageColor

from napari_cryodeco.cli import main
from napari_cryodeco.explore import palette


def frames_of(folder) -> list[np.ndarray]:
    files = sorted(folder.glob("*.png"))
    return [np.asarray(Image.open(file)).astype(int) for file in files]


def test_a_spin_and_an_inset(planted_run, tmp_path, capsys) -> None:
    made = tmp_path / "spin"
    ask = ["movie", str(planted_run.path), "--frames", "3", "--side", "128", "-o", str(made)]
    assert main([*ask, "--spin", "360", "--axis", "horizontal", "--inset"]) == 0
    assert "frames 1" in capsys.readouterr().err
    pictures = frames_of(made)
    assert len(pictures) == 3 and pictures[0].shape == (128, 128, 3)
    orange = ImageColor.getrgb(palette.EXTRAPOLATED)[:3]
    flagged = [(picture == orange).all(-1).sum() > 100 for picture in pictures]
    assert flagged == [False, True, False]  # the gap between the clusters
    still = tmp_path / "still"
    assert main([*ask[:-1], str(still)]) == 0
    assert all((a != b).any() for a, b in zip(pictures, frames_of(still), strict=True))


def test_equal_numbers_of_particles_between_frames(planted_run, tmp_path) -> None:
    file = tmp_path / "maps.mrc"
    ask = ["movie", str(planted_run.path), "--frames", "3", "-o", str(file)]
    assert main([*ask, "--spacing", "percentile"]) == 0
    with mrcfile.open(file) as mrc:
        assert mrc.is_volume_stack() and len(mrc.data) == 3
        assert mrc.voxel_size.x == pytest.approx(planted_run.geometry.pixel_size)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--spin", "90", "--wiggle", "20"], "give one of them"),
        (["--spin", "99999"], "choose −3600"),
        (["--side", "8"], "choose 96 to 4096"),
        (["--axis", "up", "--spin", "3"], "up"),
    ],
)
def test_what_cannot_be_is_one_sentence(planted_run, tmp_path, capsys, options, words) -> None:
    output = ["-o", str(tmp_path / "x.gif")]
    assert main(["movie", str(planted_run.path), *output, *options]) != 0
    said = capsys.readouterr().err.strip()
    assert words in said and "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_a_tour_of_the_clusters(planted_run, tmp_path, capsys) -> None:
    ask = ["movie", str(planted_run.path), "--tour", "--spin", "360", "--side", "96"]
    assert main([*ask, "-o", str(tmp_path / "none.gif")]) == 1
    assert "has no clusters yet" in capsys.readouterr().err
    assert main(["cluster", str(planted_run.path), "-k", "2"]) == 0
    assert main([*ask, "-o", str(tmp_path / "tour.gif")]) == 0
    assert "Hardly any" not in capsys.readouterr().err  # no frame lies between the clusters
    with Image.open(tmp_path / "tour.gif") as film:
        assert film.n_frames == 24
    file = tmp_path / "tour.json"
    path = ["path", str(planted_run.path), "--clusters", "2", "1", "--join", "tour"]
    assert main([*path, "--frames", "4", "-o", str(file)]) == 0
    again = ["-o", str(tmp_path / "x.gif"), "--path", str(file)]
    assert main([*ask, *again]) == 1
    assert "give one of them" in capsys.readouterr().err
