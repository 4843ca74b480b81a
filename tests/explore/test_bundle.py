"""A bundle is whole: other programs read every file in it, counts and checksums agree."""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
from PIL import Image

from napari_cryodeco.explore import chimerax, figure, landscape
from napari_cryodeco.explore.bundle import BundleOptions, write_bundle
from napari_cryodeco.explore.figure import Group
from napari_cryodeco.explore.render import View
from napari_cryodeco.explore.volumes import Volume
from napari_cryodeco.runs.run import Run

GROUPS = (
    Group("rods / open", np.arange(30), "#56B4E9"),
    Group("rods: open", np.arange(30, 55), "#E69F00"),
)


@pytest.fixture
def bundle(planted_run: Run, tmp_path: Path) -> Path:
    options = BundleOptions(half_maps=True, level=2.0, device="cpu")
    made = write_bundle(planted_run, GROUPS, tmp_path / "bundle", options)
    assert made.files == sum(path.is_file() for path in made.path.rglob("*"))
    return made.path


def test_every_file_has_its_checksum(bundle: Path) -> None:
    lines = (bundle / "SHA256SUMS").read_text().splitlines()
    listed = dict(reversed(line.split("  ", 1)) for line in lines)
    there = {
        path.relative_to(bundle).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in bundle.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }
    assert listed == there
    assert {"README.txt", "methods.txt", "open.cxc", "view.png", "view.svg"} < set(there)
    assert "settings/run.yaml" in there


def test_particles_and_maps_of_names_that_are_alike(bundle: Path, planted_run: Run) -> None:
    names = ("rods_open", "rods_open-2")
    for name, group in zip(names, GROUPS, strict=True):
        table = starfile.read(bundle / "particles" / f"{name}.star")["particles"]
        assert len(table) == len(group.rows)
        first = int(table["rlnImageName"][0].split("@")[0]) - 1
        assert first == planted_run.particles.slice_of[group.rows[0]]
        for kind in (f"maps/{name}", f"half_maps/{name}_half_map_1", f"half_maps/{name}_map"):
            with mrcfile.open(bundle / f"{kind}.mrc") as mrc:
                assert mrc.voxel_size.x == pytest.approx(planted_run.geometry.pixel_size)
                assert mrc.data.shape == (planted_run.geometry.box,) * 3
        assert (bundle / "cards" / f"{name}.json").is_file()
    readme = (bundle / "README.txt").read_text()
    assert re.search(r"rods_open +30 particles \(50\.0%\)  rods / open", readme)
    assert re.search(r"rods_open-2 +25 particles \(41\.7%\)", readme)
    methods = (bundle / "methods.txt").read_text()
    assert "60 particle images of 20 px at 8 Å" in methods
    assert "CryoDECO" in methods
    assert "torch " in methods


def test_the_script_opens_the_maps_at_one_level(bundle: Path) -> None:
    script = (bundle / "open.cxc").read_text()
    opened = re.findall(r'^open "(.+)" id (\d+) name "(.+)"$', script, re.M)
    assert [name for _, _, name in opened] == ["rods / open", "rods: open"]
    maps = [mrcfile.read(bundle / file) for file, _, _ in opened]
    sigma = np.sqrt(np.mean([data.std() ** 2 for data in maps]))
    levels = re.findall(r"^volume #(\d+) .* level (\S+) color (\S+)$", script, re.M)
    for data, (_, number, _), (shown, level, colour), group in zip(
        maps, opened, levels, GROUPS, strict=True
    ):
        assert shown == number
        assert colour == group.colour
        assert float(level) == pytest.approx(data.mean() + 2 * sigma, rel=1e-4, abs=1e-9)


def test_the_camera_stands_where_the_picture_was_taken_from() -> None:
    volume = Volume(np.zeros((20, 20, 20), np.float32), 2.0)
    view = View(rotation=np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]), extent=40.0)
    text = chimerax.script([chimerax.ShownMap("a.mrc", "a", 1.0, "#000000")], view, volume)
    numbers = np.array(text.split("camera ")[1].strip().split(","), float).reshape(3, 4)
    # columns: right, up, towards the viewer, place; it looks along x at the centre of the box
    np.testing.assert_allclose(numbers[:, :3], view.rotation.T)
    towards = numbers[:, 3] - 20.0
    np.testing.assert_allclose(towards, [20 / np.tan(np.deg2rad(15)), 0, 0], rtol=1e-4)


def test_the_figure_has_each_particle_in_its_colour(planted_run: Run, tmp_path: Path) -> None:
    view = landscape.pca(planted_run.epoch().latents(), 1)
    lone = int(view.coordinates[:, 0].argmax())
    drawn = figure.draw(view, [Group("far", np.array([lone]), "#FF0000")])
    red = (drawn.plot == (255, 0, 0)).all(2)
    rows, columns = np.nonzero(red)
    share = (view.coordinates[lone, :2] - [drawn.x[0], drawn.y[0]]) / [
        drawn.x[1] - drawn.x[0],
        drawn.y[1] - drawn.y[0],
    ]
    side = len(drawn.plot)
    assert columns.mean() / side == pytest.approx(share[0], abs=0.005)
    assert 1 - rows.mean() / side == pytest.approx(share[1], abs=0.005)
    assert (drawn.plot < 255).any(2).sum() > 20 * red.sum()  # the others are there, in grey
    figure.write_png(drawn, tmp_path / "a.png")
    figure.write_svg(drawn, tmp_path / "a.svg")
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert (picture == (255, 0, 0)).all(2).sum() > red.sum()  # the legend too
    text = ElementTree.parse(tmp_path / "a.svg").getroot()
    words = {element.text for element in text.iter() if element.tag.endswith("text")}
    assert {"PC1", "PC2", "far: 1 (1.7%)", "all: 60"} <= words


def test_nothing_is_left_or_replaced_when_it_fails(
    planted_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError, match="exists already"):
        write_bundle(planted_run, GROUPS, tmp_path / "there")
    with pytest.raises(ValueError, match="rods: choose at least one particle"):
        write_bundle(planted_run, [Group("rods", np.array([], int), "#000000")], tmp_path / "b")
    with pytest.raises(ValueError, match="at least one group"):
        write_bundle(planted_run, [], tmp_path / "b")

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(planted_run, GROUPS, tmp_path / "b", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_rows_of_the_original_are_written(planted_run: Run, tmp_path: Path, particle_set) -> None:
    lines = particle_set.star.read_text().split("\n")
    keep = [line for line in lines if "000007@" not in line]
    original = tmp_path / "original.star"
    whole = str(particle_set.stack.resolve())  # another name of the same file
    original.write_text("\n".join(keep).replace(particle_set.stack.name, whole))
    options = BundleOptions(onto=original, device="cpu")
    with pytest.raises(ValueError, match="29 of 30 particles matched"):
        write_bundle(planted_run, GROUPS[:1], tmp_path / "b", options)
    options = BundleOptions(onto=original, partial=True, device="cpu")
    made = write_bundle(planted_run, GROUPS[:1], tmp_path / "b", options)
    assert any("1 unmatched" in warning for warning in made.warnings)
    assert "29 particles" in (made.path / "README.txt").read_text()
