"""What napari sees of the plugin: manifest, readers, sample data."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from npe2 import PluginManifest

import napari_cryodeco
from napari_cryodeco import demo
from napari_cryodeco.gui import readers, sample
from napari_cryodeco.runs.paths import RunPaths

MANIFEST = Path(napari_cryodeco.__file__).with_name("napari.yaml")
MODES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_file(MANIFEST)


def write_mrc(path, data, pixel_size, stack=False):
    with mrcfile.new(path) as mrc:
        mrc.set_data(data)
        if stack:
            mrc.set_image_stack()
        mrc.voxel_size = pixel_size
    return path


# ---- manifest


def test_the_manifest_is_valid_and_every_name_in_it_imports(manifest):
    manifest.validate_imports()


def test_the_manifest_offers_what_the_readme_promises(manifest):
    offered = manifest.contributions
    assert [w.display_name for w in offered.widgets] == [
        "Reconstruct",
        "Explorer",
        "Movie",
        "Export",
        "Evidence",
        "Views",
        "Compare",
        "Align",
        "Other programs",
    ]
    assert {p for r in offered.readers for p in r.filename_patterns} >= {"*.mrc", "*.map", "*.mrcs"}
    assert any(r.accepts_directories for r in offered.readers)
    assert len(offered.sample_data) == 2
    assert manifest.display_name == "CryoDECO"
    package, _, icon = str(manifest.icon).partition(":")
    assert (MANIFEST.parent / icon).is_file() and package == "napari_cryodeco"


def test_the_manifest_at_the_top_is_the_one_in_the_package():
    top = MANIFEST.parents[2] / "napari.yaml"
    if not top.exists():
        pytest.skip("not a checkout")
    assert top.read_text() in (MANIFEST.read_text(), "src/napari_cryodeco/napari.yaml")


def test_no_panel_loads_what_ends_windows_on_software_opengl():
    """triton loaded after Mesa's software OpenGL ends the process: only the job may load it."""
    lines = [
        "import importlib, pkgutil, sys",
        "import napari_cryodeco.gui, napari_cryodeco.explore, napari_cryodeco.demo",
        "for package in (napari_cryodeco.gui, napari_cryodeco.explore):",
        "    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):",
        "        importlib.import_module(module.name)",
        "assert 'triton' not in sys.modules",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=300)


# ---- readers


@pytest.mark.parametrize("mode", MODES)
def test_a_map_keeps_raw_values_and_scale(tmp_path, mode):
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(6, 8, 10)) * 10 + 20).astype(MODES[mode])
    path = write_mrc(tmp_path / "map.mrc", values, 2.5)
    (data, options, kind) = readers.get_map_reader(str(path))(str(path))[0]
    assert kind == "image"
    np.testing.assert_array_equal(data, values)
    np.testing.assert_allclose(options["scale"], 2.5)
    assert options["units"] == ("Å",) * 3


def test_a_stack_is_flat_images_with_a_scale(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 8, 8)).astype(np.float32)
    path = write_mrc(tmp_path / "particles.mrcs", values, 3.0, stack=True)
    (data, options, _) = readers.read_mrc_files(str(path))[0]
    np.testing.assert_array_equal(data, values)
    assert options["scale"] == (1.0, 3.0, 3.0)
    assert "rendering" not in options


def test_a_4d_file_is_one_map_under_a_slider(tmp_path, make_napari_viewer):
    from napari_cryodeco.runs.store import write_volume_stack

    values = np.random.default_rng(0).normal(20, 10, (3, 8, 8, 8)).astype(np.float32)
    write_volume_stack(tmp_path / "path.mrc", values, 3, 2.5)
    (data, options, kind) = readers.read_mrc_files(str(tmp_path / "path.mrc"))[0]
    np.testing.assert_array_equal(data, values)
    layer = make_napari_viewer().add_image(data, **options)
    assert kind == "image" and layer.rendering == "iso"
    np.testing.assert_allclose(layer.scale, (1, 2.5, 2.5, 2.5))
    assert layer.axis_labels == readers.FRAME_AXES


def test_several_files_make_several_layers(tmp_path):
    paths = [
        str(write_mrc(tmp_path / name, np.ones((4, 4, 4), np.float32), 1.5))
        for name in ("a.mrc", "b.MAP")
    ]
    layers = readers.get_map_reader(paths)(paths)
    assert [options["name"] for _, options, _ in layers] == ["a.mrc", "b.MAP"]


def test_a_faint_map_is_not_drawn_by_the_slow_shader(tmp_path):
    faint = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    assert readers.map_options(faint, 1.0, "x")["rendering"] == "iso"
    assert readers.map_options(faint * 0.01, 1.0, "x")["rendering"] == "mip"


def test_what_is_no_mrc_file_is_said_with_its_name(tmp_path):
    path = tmp_path / "text.mrc"
    path.write_text("this is no map" * 200)
    with pytest.raises(ValueError, match=r"text\.mrc: this is no readable MRC file"):
        readers.read_mrc_files(str(path))


def test_a_truncated_map_is_refused(tmp_path):
    path = write_mrc(tmp_path / "map.mrc", np.zeros((16, 16, 16), np.float32), 1.0)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"map\.mrc: .*truncated"):
        readers.read_mrc_files(str(path))


@pytest.mark.parametrize("name", ["photos", "empty.mrc.d", "run.yaml", "a.tif"])
def test_other_folders_and_files_are_left_alone(tmp_path, name):
    (tmp_path / name).mkdir()
    assert readers.get_run_reader(str(tmp_path / name)) is None
    assert readers.get_map_reader(str(tmp_path / name)) is None


def test_a_run_is_known_by_its_folder_or_its_settings_file(tmp_path):
    paths = RunPaths(tmp_path / "run")
    paths.root.mkdir()
    paths.config.write_text("{}")
    assert readers.get_run_reader(str(paths.root)) is None  # half a run is no run
    paths.data.write_text("{}")
    assert readers.get_run_reader(str(paths.root)) is readers.read_run
    assert readers.get_run_reader(str(paths.config)) is readers.read_run


def test_the_newest_epochs_maps_are_found_consensus_first(tmp_path):
    paths = RunPaths(tmp_path)
    assert readers.newest_maps(tmp_path) == []
    for number, names in ((2, ["old"]), (10, ["class_001", "consensus"])):
        paths.epoch(number).mkdir(parents=True)
        for name in names:
            write_mrc(paths.epoch(number) / f"{name}.mrc", np.ones((4, 4, 4), np.float32), 1.0)
    assert [p.stem for p in readers.newest_maps(tmp_path)] == ["consensus", "class_001"]


# ---- sample data


def test_the_sample_maps_do_not_touch_each_other():
    layers = sample.open_maps()
    assert len(layers) == len(demo.SAMPLE.structures)
    reach = []
    for data, options, _ in layers:
        assert data.std() == pytest.approx(1, abs=1e-3)
        across = np.flatnonzero((data > 3).any((0, 1))) * options["scale"][2]
        reach.append((options["translate"][2] + across[0], options["translate"][2] + across[-1]))
    assert all(left[1] < right[0] for left, right in itertools.pairwise(reach))


def test_the_sample_particles_are_made_once(tmp_path, monkeypatch):
    small = replace(demo.SAMPLE, recipe=replace(demo.SAMPLE.recipe, box=32))
    monkeypatch.setattr(demo, "SAMPLE", small)
    monkeypatch.setattr(sample, "IMAGES_EACH", 2)
    monkeypatch.setattr(sample, "sample_folder", lambda: tmp_path / "sample")
    data, options, _ = sample.open_particles()[0]
    assert data.shape == (2 * len(small.structures), 32, 32)
    assert options["scale"] == (1.0, small.recipe.pixel_size, small.recipe.pixel_size)
    star = tmp_path / "sample" / "particles.star"
    made = star.stat().st_mtime_ns
    sample.open_particles()
    assert star.stat().st_mtime_ns == made
