"""`cryodeco motion` as it is typed, and the picture and files that it makes."""

from __future__ import annotations

import json

import mrcfile
import numpy as np
import pytest
from PIL import Image

from napari_cryodeco.cli import main
from napari_cryodeco.explore import landscape, trajectory
from napari_cryodeco.explore.palette import FAR, PAIR, UNCLEAR, far_ramp
from napari_cryodeco.explore.render import View, surface
from napari_cryodeco.explore.volumes import Volume, VolumeDecoder, VolumeRequest


def test_a_motion_is_mapped_into_a_folder(planted_run, tmp_path, capsys) -> None:
    out = tmp_path / "motion"
    command = ["motion", str(planted_run.path), "--component", "2", "--frames", "3"]
    assert main([*command, "--level", "2", "--out", str(out)]) == 0
    said = capsys.readouterr()
    record = json.loads((out / "motion.json").read_text())
    assert record["along"] == "PC2, 5 to 95 %" and record["maps"] == 3
    assert record["level_sigma"] == 2 and all(line in said.out for line in record["said"])
    decoder = VolumeDecoder(planted_run.epoch().field_path)
    walk = trajectory.pc_traverse(planted_run.epoch().latents(), 2, 5, 95, 3)
    frames = np.stack([decoder.decode(VolumeRequest(z)).data for z in walk.points])
    grids = {}
    for name in ("mean", "middle", "motion", "spread"):
        with mrcfile.open(out / f"{name}.mrc") as mrc:
            grids[name] = mrc.data.copy()
            assert float(mrc.voxel_size.x) == pytest.approx(8.0)
    for name, truth in (("mean", frames.mean(0)), ("middle", frames[1])):
        # The command takes bfloat16 where that is quicker: within 1 % of float32.
        assert np.linalg.norm(grids[name] - truth) < 0.01 * np.linalg.norm(truth)
    assert (grids["spread"] >= 0).all() and (grids["motion"] >= 0).all()
    with Image.open(out / "motion.png") as picture:
        assert picture.size[1] == 600 < picture.size[0]
    assert main([*command, "--out", str(out)]) != 0  # nothing is overwritten
    assert "exists already" in capsys.readouterr().err


def test_between_clusters_and_along_a_saved_path(planted_run, tmp_path, capsys) -> None:
    found = landscape.cluster(planted_run.epoch().latents(), 2, epoch=1)
    landscape.save(found, planted_run.paths.views)
    command = ["motion", str(planted_run.path), "--level", "2"]
    between = [*command, "--clusters", "1", "2", "--frames", "3", "-o", str(tmp_path / "a")]
    assert main(between) == 0
    assert "support frames 1:" in capsys.readouterr().err  # nothing lies between two islands
    file = tmp_path / "path.json"
    trajectory.save(trajectory.through(found.centres, 3, "mine"), file)
    assert main([*command, "--path", str(file), "-o", str(tmp_path / "b")]) == 0
    one, two = (json.loads((tmp_path / n / "motion.json").read_text()) for n in "ab")
    assert one.pop("along") == "cluster 1 to cluster 2" and two.pop("along") == "mine"
    assert one == two  # the same way, named otherwise


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--frames", "1"], "at least 2"),
        (["--component", "9"], "components 1 to 4"),
        (["--component", "0"], "components 1 to 4"),
        (["--clusters", "1", "2"], "no clusters"),
        (["--component", "1", "--clusters", "1", "2"], "one of --component"),
        (["--path", "nowhere.json"], "missing"),
        (["--level", "90"], "choose a lower level"),
    ],
)
def test_what_cannot_be_is_one_sentence(planted_run, tmp_path, capsys, options, words) -> None:
    assert main(["motion", str(planted_run.path), *options, "-o", str(tmp_path / "m")]) != 0
    said = capsys.readouterr().err.strip()
    assert words in said and "Traceback" not in said and not (tmp_path / "m").exists()


def test_the_picture_takes_its_colours_where_they_are() -> None:
    axis = np.arange(32) - 16
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    ball = Volume(np.exp(-(x**2 + y**2 + z**2) / 40).astype(np.float32), 2.0)
    paint = np.zeros((32, 32, 32, 3), np.uint8)
    paint[..., :16, 2] = 255  # blue where x is below the middle, red above
    paint[..., 16:, 0] = 255
    picture = surface(ball, 3.0, View(size=(100, 100)), None, None, paint).astype(int)
    left, right = picture[50, 40], picture[50, 60]
    assert left[2] > left[0] + 80 and right[0] > right[2] + 80
    plain = surface(ball, 3.0, View(size=(100, 100)))
    np.testing.assert_array_equal(plain[0, 0], picture[0, 0])  # outside only paper


# Machado, Oliveira & Fernandes (2009): linear RGB as eyes without one kind of cone see it.
BLIND = {
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@pytest.mark.parametrize("kind", ["all", *BLIND])
def test_colours_are_told_apart_by_every_eye(kind) -> None:
    from skimage.color import rgb2lab

    def seen(colours: np.ndarray) -> np.ndarray:
        rgb = np.asarray(colours, float) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        if kind != "all":
            linear = np.clip(linear @ np.array(BLIND[kind]).T, 0, 1)
        back = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        return rgb2lab(back)

    lab = seen(far_ramp())
    assert (np.diff(lab[:, 0]) <= 0.3).all() and lab[0, 0] - lab[-1, 0] > 50  # darker all the way
    steps = seen(far_ramp()[np.linspace(0, 255, len(FAR)).astype(int)])
    assert (np.linalg.norm(np.diff(steps, axis=0), axis=1) > 15).all()
    from PIL import ImageColor

    unclear = seen(np.array(ImageColor.getrgb(UNCLEAR)))
    assert np.linalg.norm(lab - unclear, axis=1).min() > 20
    first, second = (seen(np.array(ImageColor.getrgb(one))) for one in PAIR)
    assert np.linalg.norm(first - second) > 40
