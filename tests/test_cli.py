"""The command line on a planted run; other programs call these names and options."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import mrcfile
import numpy as np
import pytest
import starfile

from napari_cryodeco.cli import main
from napari_cryodeco.runs.run import Run

COMMANDS = (
    *("new", "train", "watch", "project", "cluster", "decode", "movie", "select", "export"),
    *("simulate", "demo", "backproject", "check", "align", "score", "pretrain", "prior"),
)
NEW_OPTIONS = ("poses", "classes", "preset", "z-dim", "prior", "datadir", "device", "seed")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path, planted_run: Run) -> Path:
    """A copy of the planted run."""
    shutil.copytree(planted_run.path, tmp_path / "run")
    return tmp_path / "run"


def call(*words: object) -> int:
    return main([str(word) for word in words])


def fails(capsys: Capture, *words: object) -> str:
    """Call, expect a failure with one sentence on standard error, and return the sentence."""
    capsys.readouterr()
    assert call(*words) != 0
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert captured.out == ""
    assert lines[0].startswith("cryodeco: ")
    assert "Traceback" not in lines[0]
    return lines[0]


def test_the_command_line_is_light() -> None:
    program = (
        "import sys; from napari_cryodeco.cli import main; main(['--help']);"
        "heavy = {'torch', 'timm', 'umap', 'sklearn', 'napari', 'qtpy'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    import napari_cryodeco

    source = Path(napari_cryodeco.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(f" {name} " in done.stdout for name in COMMANDS)


def test_version_and_help(capsys: Capture) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out.strip()
    assert call("new", "--help") == 0
    text = capsys.readouterr().out
    assert all(f"--{option}" in text for option in NEW_OPTIONS)


def test_new_keeps_every_option(tmp_path: Path, particle_set: Any) -> None:
    (tmp_path / "weights").mkdir()
    words = ["new", particle_set.star_with_poses, tmp_path / "run", "--poses", "file"]
    words += ["--classes", "3", "--preset", "simple-motion", "--z-dim", "5"]
    words += ["--prior", tmp_path / "weights", "--datadir", particle_set.folder, "--seed", "9"]
    words += ["--device", "cpu", "--set", "refine.epochs=7", "--set", "encoder.blocks=2"]
    assert call(*words) == 0
    config = Run.open(tmp_path / "run").config
    assert config.poses == "file"
    assert config.abinitio.classes == 3
    assert (config.preset, config.latent_dim) == ("simple-motion", 5)
    assert config.encoder.prior == str(tmp_path / "weights")
    assert config.data.source == particle_set.star_with_poses
    assert config.data.datadir == particle_set.folder
    assert (config.device, config.seed) == ("cpu", 9)
    assert (config.refine.epochs, config.encoder.blocks) == (7, 2)


def test_new_with_nothing_said_is_the_default_model(tmp_path: Path, particle_set: Any) -> None:
    from napari_cryodeco.config import TrainConfig
    from napari_cryodeco.stage_config import DataConfig

    assert call("new", particle_set.star, tmp_path / "run") == 0
    default = TrainConfig(data=DataConfig(source=particle_set.star))
    assert Run.open(tmp_path / "run").config == default


def test_new_fills_in_by_the_effort(tmp_path: Path, particle_set: Any) -> None:
    words = ["new", particle_set.star, tmp_path / "run", "--effort", "parity"]
    assert call(*words, "--set", "refine.batch=5", "--z-dim", "3") == 0
    config = Run.open(tmp_path / "run").config
    assert (config.effort, config.loop, config.parity.search_batch) == ("parity", "parity", 22)
    assert (config.refine.batch, config.latent_dim, config.refine.field_rate) == (5, 3, 1e-4)
    assert (
        call(
            "new",
            particle_set.star,
            tmp_path / "two",
            "--effort",
            "parity",
            "--loop",
            "prior-first",
        )
        == 0
    )
    assert Run.open(tmp_path / "two").config.loop == "prior-first"


def test_new_takes_a_bare_stack(tmp_path: Path, particle_set: Any) -> None:
    words = ["new", particle_set.stack, tmp_path / "run", "--defocus", "15000", "--voltage", "200"]
    assert call(*words, "--cs", "2.0", "--amplitude", "0.07", "--pixel-size", "7.5") == 0
    particles = Run.open(tmp_path / "run").particles
    assert (len(particles), particles.pixel_size) == (60, 7.5)
    assert float(particles.ctf.defocus_v[0]) == 15000
    assert float(particles.ctf.voltage[-1]) == 200


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--classes", "many"], "abinitio.classes"),
        (["--z-dim", "-1"], "latent_dim"),
        (["--set", "refine.epoch=3"], "refine.epoch"),
        (["--set", "epochs"], "NAME=VALUE"),
        (["--device", "gpu"], "device"),
        (["--prior", "nowhere"], "prior nowhere: no such folder"),
        (["--box", "17"], "even"),
        (["--preset", "wobble"], "preset"),
    ],
)
def test_wrong_options_are_one_sentence(
    tmp_path: Path, particle_set: Any, capsys: Capture, words: list[str], sentence: str
) -> None:
    assert sentence in fails(capsys, "new", particle_set.star, tmp_path / "run", *words)
    assert not list(tmp_path.iterdir())


def test_a_word_too_few_is_one_sentence(capsys: Capture) -> None:
    assert "--help" in fails(capsys, "train")
    assert "unknwon" in fails(capsys, "unknwon")


def test_commands_on_what_is_no_run(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "a.mrc"
    for words in (
        ("train", tmp_path),
        ("watch", tmp_path),
        ("project", tmp_path),
        ("cluster", tmp_path, "-k", 2),
        ("decode", tmp_path, "--row", 0, "-o", out),
        ("movie", tmp_path, "-o", tmp_path / "a.gif"),
        ("select", tmp_path, "--labels", 1, "-o", tmp_path / "a.star"),
        ("export", tmp_path, tmp_path / "out"),
        ("backproject", tmp_path, "--near", 0, "-o", tmp_path / "out"),
        ("score", tmp_path, "--truth", tmp_path),
    ):
        assert "is no run" in fails(capsys, *words)
    assert not list(tmp_path.iterdir())


def test_watch_says_how_it_stands(run: Path, capsys: Capture) -> None:
    assert call("watch", run) == 0
    assert "done" in capsys.readouterr().out


@pytest.mark.slow
def test_project_writes_both_views(run: Path) -> None:
    assert call("project", run) == 0
    assert {path.name for path in (run / "views").iterdir()} == {
        "0001-pca.safetensors",
        "0001-umap.safetensors",
    }


def test_clusters_select_and_decode(
    run: Path, particle_set: Any, tmp_path: Path, capsys: Capture
) -> None:
    assert call("cluster", run, "-k", 2, "--method", "kmeans") == 0
    assert "cluster 2: 30 particles (50.0%)" in capsys.readouterr().out

    assert call("select", run, "--labels", "2", "-o", tmp_path / "two.star") == 0
    table = starfile.read(tmp_path / "two.star")["particles"]
    rows = [int(name.split("@")[0]) - 1 for name in table["rlnImageName"]]
    members = np.flatnonzero(particle_set.labels == particle_set.labels[rows[0]])
    assert rows == members.tolist()

    assert call("decode", run, "--cluster", 2, "-o", tmp_path / "two.mrc") == 0
    latents = Run.open(run).epoch().latents()
    np.save(tmp_path / "z.npy", latents[rows].mean(0))
    assert call("decode", run, "--z", tmp_path / "z.npy", "-o", tmp_path / "same.mrc") == 0
    with mrcfile.open(tmp_path / "two.mrc") as two, mrcfile.open(tmp_path / "same.mrc") as same:
        assert float(two.voxel_size.x) == pytest.approx(particle_set.pixel_size)
        np.testing.assert_allclose(two.data, same.data, atol=1e-4 * np.abs(two.data).max())


def test_a_b_factor_sharpens_the_decoded_map(run: Path, tmp_path: Path) -> None:
    words = ("decode", run, "--row", 3, "-o")
    assert call(*words, tmp_path / "a.mrc") == 0
    assert call(*words, tmp_path / "b.mrc", "--b-factor", "-400") == 0
    with mrcfile.open(tmp_path / "a.mrc") as a, mrcfile.open(tmp_path / "b.mrc") as b:
        s = np.fft.fftfreq(len(a.data), d=float(a.voxel_size.x))
        gain = np.exp(100 * (s[:, None, None] ** 2 + s[:, None] ** 2 + s**2))
        expected = np.fft.ifftn(np.fft.fftn(a.data) * gain).real
        np.testing.assert_allclose(b.data, expected, atol=1e-4 * np.abs(expected).max())


def test_suggest_prints_and_keeps_the_curve_and_makes_no_clusters(
    run: Path, capsys: Capture
) -> None:
    assert call("cluster", run, "--suggest", "--most", 4) == 0
    said = capsys.readouterr().out
    assert "silhouette" in said and "lowest BIC" in said
    assert [path.name for path in (run / "views").iterdir()] == ["0001-suggestion.json"]
    curve = json.loads((run / "views" / "0001-suggestion.json").read_text())
    assert curve["k"] == [1, 2, 3, 4] and curve["suggested"] == 2
    assert np.argmax(curve["silhouette"]) == 1 and np.argmin(curve["bic"]) == 1


def test_unassigned_particles_are_class_0_in_exports(
    run: Path, tmp_path: Path, capsys: Capture
) -> None:
    from dataclasses import replace

    from napari_cryodeco.explore import landscape

    assert call("cluster", run, "--method", "hdbscan", "--smallest", 12) == 0
    found = landscape.latest_clustering(run / "views")
    assert found is not None and len(found.centres) == 2
    labels = found.labels.copy()
    labels[[5, 40]] = -1
    landscape.save(replace(found, labels=labels), run / "views")
    assert call("select", run, "--labels", "0", "-o", tmp_path / "none.txt") == 0
    rows = np.loadtxt(tmp_path / "none.txt", int)
    assert rows.tolist() == np.flatnonzero(labels < 0).tolist()
    assert call("export", run, tmp_path / "out") == 0
    table = starfile.read(tmp_path / "out" / "particles.star")["particles"]
    np.testing.assert_array_equal(table["rlnClassNumber"], labels + 1)
    assert "rlnClassNumber 0" in (tmp_path / "out" / "README.txt").read_text()


def test_images_are_copied_as_float32_when_asked(run: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("3\n7\n")
    subset = tmp_path / "two.star"
    rows = ("--rows", tmp_path / "rows.txt")
    assert call("select", run, *rows, "--float32", "-o", subset) == 0
    with mrcfile.open(tmp_path / "two.mrcs") as stack:
        assert stack.data.dtype == np.float32 and len(stack.data) == 2
    assert len(starfile.read(subset)["particles"]) == 2


def test_rows_are_selected_as_given(run: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("7\n3\n59\n")
    assert call("select", run, "--rows", tmp_path / "rows.txt", "-o", tmp_path / "a.txt") == 0
    assert np.loadtxt(tmp_path / "a.txt", int).tolist() == [3, 7, 59]


def test_a_recipe_is_done_again_on_another_run(run: Path, tmp_path: Path, capsys: Capture) -> None:
    from napari_cryodeco.explore.landscape import latest_clustering
    from napari_cryodeco.explore.selection import Recipe, Selection, Step

    high = np.flatnonzero(Run.open(run).epoch().latents()[:, 0] >= 2)  # one of the two clusters
    part = Step("range", ("z1",), bounds=(4.0, np.inf))
    grow = Step("neighbours", labels=(10,), mode="grow")
    words = ("select", run, "--recipe", tmp_path / "open.safetensors", "-o")

    def keep(*steps: Step) -> None:  # with rows of another run
        Selection("open", np.array([1, 2]), Recipe(steps)).save(tmp_path / "open.safetensors")

    keep(part, grow, grow, grow)
    assert call(*words, tmp_path / "a.txt") == 0
    assert np.loadtxt(tmp_path / "a.txt", int).tolist() == high.tolist()
    assert (run / "views" / "0001-neighbours10.safetensors").is_file()
    keep(Step("all"), Step("labels", labels=(2,), mode="subtract"))
    assert call(*words, tmp_path / "b.txt") == 1
    assert "has none: cluster first" in capsys.readouterr().err
    assert call("cluster", run, "-k", 2) == 0
    assert call(*words, tmp_path / "b.txt") == 0
    clusters = latest_clustering(run / "views")
    assert clusters is not None
    first = np.flatnonzero(clusters.labels == 0)
    assert np.loadtxt(tmp_path / "b.txt", int).tolist() == first.tolist()


def test_nothing_is_overwritten_unasked(run: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "rows.txt").write_text("7\n")
    for words, out in (
        (("decode", run, "--row", 1), tmp_path / "a.mrc"),
        (("select", run, "--rows", tmp_path / "rows.txt"), tmp_path / "a.star"),
    ):
        out.write_text("mine")
        assert "exists already" in fails(capsys, *words, "-o", out)
        assert out.read_text() == "mine"
        assert call(*words, "-o", out, "--overwrite") == 0
        assert out.read_bytes() != b"mine"


def test_wrong_choices_name_what_there_is(run: Path, tmp_path: Path, capsys: Capture) -> None:
    out = ("-o", tmp_path / "a.mrc")
    assert "cryodeco cluster" in fails(capsys, "decode", run, "--cluster", 1, *out)
    call("cluster", run, "-k", 2)
    assert "clusters 1 to 2" in fails(capsys, "decode", run, "--cluster", 3, *out)
    assert "clusters 1 to 2" in fails(capsys, "decode", run, "--cluster", 0, *out)
    assert "rows 0 to 59" in fails(capsys, "decode", run, "--row", 60, *out)
    assert "one of" in fails(capsys, "decode", run, *out)
    assert "one of" in fails(capsys, "decode", run, "--row", 1, "--cluster", 1, *out)
    (tmp_path / "z.npy").write_text("1 2 3")
    assert "no .npy file" in fails(capsys, "decode", run, "--z", tmp_path / "z.npy", *out)
    wrong = ("-o", tmp_path / "a.star")
    assert "no cluster 3" in fails(capsys, "select", run, "--labels", "1,3", *wrong)
    assert "no cluster 0" in fails(capsys, "select", run, "--labels", "0", *wrong)
    assert "write numbers" in fails(capsys, "select", run, "--labels", "one", *wrong)
    assert "leave -k out" in fails(capsys, "cluster", run, "-k", 2, "--method", "hdbscan")
    assert "--smallest" in fails(capsys, "cluster", run, "--smallest", 9)
    assert "61 clusters of 60" in fails(capsys, "cluster", run, "-k", 61)


def test_the_traceback_of_a_failure_is_in_the_log(
    run: Path, tmp_path: Path, capsys: Capture
) -> None:
    fails(capsys, "decode", run, "--cluster", 1, "-o", tmp_path / "a.mrc")
    text = (run / "log.txt").read_text()
    assert "Traceback" in text
    assert "has no clusters yet" in text


def test_simulate_makes_a_set(tmp_path: Path) -> None:
    words = ["simulate", "--structures", "1wcm,2buk", "-n", 3, "-D", 16, "--apix", 16]
    assert call(*words, "--snr", 0.5, "--seed", 2, "-o", tmp_path / "set") == 0
    with mrcfile.open(tmp_path / "set" / "particles.mrcs") as mrc:
        assert mrc.data.shape == (6, 16, 16)
        assert float(mrc.voxel_size.x) == 16
    assert (tmp_path / "set" / "gt" / "particles_gt.star").is_file()


@pytest.mark.slow
def test_export_has_row_i_as_row_i(run: Path, particle_set: Any, tmp_path: Path) -> None:
    assert call("cluster", run, "-k", 2, "--method", "kmeans") == 0
    assert call("export", run, tmp_path / "out") == 0
    table = starfile.read(tmp_path / "out" / "particles.star")["particles"]
    assert [int(name.split("@")[0]) for name in table["rlnImageName"]] == list(range(1, 61))
    classes = table["rlnClassNumber"].to_numpy()
    assert set(classes) == {1, 2}
    swapped = classes[0] - 1 != particle_set.labels[0]
    assert ((classes - 1) ^ swapped == particle_set.labels).all()
    assert (table["rlnMaxValueProbDistribution"] > 0.99).all()
    np.testing.assert_array_equal(
        np.load(tmp_path / "out" / "latents.npy"), Run.open(run).epoch().latents()
    )
    maps = sorted((tmp_path / "out" / "maps").iterdir())
    assert [path.name for path in maps] == ["class_001.mrc", "class_002.mrc"]
    for path in maps:
        with mrcfile.open(path) as mrc:
            assert float(mrc.voxel_size.x) == pytest.approx(particle_set.pixel_size)
    assert call("export", run, tmp_path / "out") == 1
    assert call("export", run, tmp_path / "out", "--overwrite") == 0


@pytest.mark.slow
def test_movie_writes_gif_and_maps(run: Path, tmp_path: Path, capsys: Capture) -> None:
    words = ("movie", run, "--pc", 1, "--from", 10, "--to", 90, "--frames", 3)
    assert call(*words, "-o", tmp_path / "pc1.gif") == 0
    with imageio.get_reader(tmp_path / "pc1.gif") as reader:
        assert len(list(reader)) == 3
    assert call(*words, "-o", tmp_path / "maps") == 0
    with mrcfile.open(tmp_path / "maps" / "frame_000.mrc") as mrc:
        assert float(mrc.voxel_size.x) == pytest.approx(8.0)
    assert "exists already" in fails(capsys, *words, "-o", tmp_path / "maps")
    assert "components 1 to 4" in fails(capsys, "movie", run, "--pc", 9, "-o", tmp_path / "pc9.gif")
