"""Homogeneous runs (no z): the map is decoded, compared and exported; a latent space is missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import starfile

from napari_cryodeco.cli import main
from napari_cryodeco.explore.landscape import NO_LATENTS
from napari_cryodeco.imaging import fsc
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_mrc
from napari_cryodeco.train.starts import StartPlan

QUICK = ("refine.epochs=2", "refine.warmup=80", "refine.batch=10", "field.width=32")
QUICK += ("field.layers=2", "field.frequencies=32", "threads=1", "deterministic=true")
Capture = pytest.CaptureFixture[str]


def call(*words: object) -> int:
    return main([str(word) for word in words])


def new(run: Path, star: Path, *words: object) -> int:
    settings = [word for setting in QUICK for word in ("--set", setting)]
    return call("new", star, run, "--z-dim", 0, "--device", "cpu", *settings, *words)


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory, particle_set: Any) -> Path:
    """The rows of the second species only, with their poses."""
    tables = starfile.read(particle_set.star_with_poses)
    tables["particles"] = tables["particles"][particle_set.labels == 1]
    star = particle_set.folder / "discs.star"
    starfile.write(tables, star)
    return star


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, discs: Path) -> Path:
    path = tmp_path_factory.mktemp("rigid") / "run"
    assert new(path, discs, "--poses", "file", "--set", "encoder.kind=cnn") == 0
    assert call("train", path) == 0
    return path


def likeness(file: Path, truth: Path) -> float:
    import torch

    return fsc.mean(*(torch.from_numpy(read_mrc(path)[0]) for path in (file, truth)))


def test_decode_needs_no_point_and_gives_the_molecule(
    run: Path, particle_set: Any, tmp_path: Path, capsys: Capture
) -> None:
    assert Run.open(run).epoch().latents().shape == (30, 0)
    assert call("decode", run, "-o", tmp_path / "map.mrc") == 0
    assert call("decode", run, "--row", 3, "-o", tmp_path / "row.mrc") == 0
    maps = [read_mrc(tmp_path / name)[0] for name in ("map.mrc", "row.mrc")]
    np.testing.assert_array_equal(*maps)
    rod, disc = (likeness(tmp_path / "map.mrc", truth) for truth in particle_set.maps)
    assert disc > 0.5 and disc > rod


def test_all_particles_are_put_back(run: Path, particle_set: Any, tmp_path: Path) -> None:
    assert call("backproject", run, "-o", tmp_path / "out", "--device", "cpu") == 0
    assert np.loadtxt(tmp_path / "out" / "rows.txt", int).tolist() == list(range(30))
    assert likeness(tmp_path / "out" / "map.mrc", particle_set.maps[1]) > 0.5
    (tmp_path / "rows.txt").write_text("".join(f"{row}\n" for row in range(24)))
    assert call("backproject", run, "--rows", tmp_path / "rows.txt", "-o", tmp_path / "few") == 0


def test_everything_is_exported_as_one_class(run: Path, tmp_path: Path) -> None:
    assert call("export", run, tmp_path / "out") == 0
    table = starfile.read(tmp_path / "out" / "particles.star")["particles"]
    assert len(table) == 30
    assert (table["rlnClassNumber"] == 1).all()
    assert (table["rlnMaxValueProbDistribution"] == 1).all()
    assert np.load(tmp_path / "out" / "latents.npy").shape == (30, 0)
    with mrcfile.open(tmp_path / "out" / "maps" / "class_001.mrc") as file:
        assert file.data.std() > 0
    assert "this run has no z" in (tmp_path / "out" / "README.txt").read_text()


@pytest.mark.parametrize(
    "words",
    [
        ("project",),
        ("cluster",),
        ("cluster", "-k", "2"),
        ("movie", "-o", "pc1.mp4"),
        ("decode", "--cluster", "1", "-o", "map.mrc"),
        ("backproject", "--labels", "1", "-o", "out"),
        ("backproject", "--near", "0", "-o", "out"),
        ("select", "--labels", "1", "-o", "part.star"),
    ],
)
def test_what_needs_a_latent_space_says_so(
    run: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert call(words[0], run, *words[1:]) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1] == f"cryodeco: {NO_LATENTS}"
    assert not list(tmp_path.iterdir())


def test_the_window_says_so_too(run: Path) -> None:
    from napari_cryodeco.gui.snapshot import load_snapshot

    with pytest.raises(ValueError, match="one rigid map"):
        load_snapshot(run)


def test_ab_initio_of_one_map(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """No z means one species, whatever is left to be estimated."""
    monkeypatch.setattr(
        StartPlan, "of", lambda species, looks: StartPlan(steps=12, last=looks.radius)
    )
    path = tmp_path / "run"
    assert new(path, discs, "--poses", "abinitio", "--set", "abinitio.restarts=1") == 0
    assert call("train", path) == 0
    epoch = Run.open(path).epoch()
    assert epoch.latents().shape == (30, 0)
    assert epoch.class_posteriors().shape == (30, 1)
    assert f"Next: cryodeco decode {path}" in capsys.readouterr().out
    assert call("decode", path, "-o", tmp_path / "map.mrc") == 0


def test_a_bundle_has_no_view_of_what_is_not_there(run: Path, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.txt", tmp_path / "bundle"
    rows.write_text("".join(f"{row}\n" for row in range(20)))
    assert main(["judge", str(run), "--rows", str(rows)]) == 0
    assert main(["bundle", str(run), "--rows", str(rows), "-o", str(out), "--device", "cpu"]) == 0
    names = {path.name for path in out.iterdir()}
    assert {"maps", "particles", "methods.txt"} < names
    assert "view.png" not in names
    assert "no latent space" in (out / "methods.txt").read_text()
