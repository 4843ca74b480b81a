"""The Reconstruct panel writes a run, starts its process, and shows what that process writes."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QSettings, Qt
from qtpy.QtWidgets import QPlainTextEdit

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.gui import reconstruct_panel
from napari_cryodeco.gui.curves import MAX_POINTS, Series, round_ticks
from napari_cryodeco.gui.metrics import MetricHistory
from napari_cryodeco.gui.reconstruct_panel import Actions, ReconstructPanel, suggest_folder
from napari_cryodeco.gui.run_place import CLUSTER, RunPlace
from napari_cryodeco.gui.watching import headline, remaining
from napari_cryodeco.runs import progress
from napari_cryodeco.runs.latent_size import Component, LatentSize, write_latent_size
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import Metric, Progress, Status
from napari_cryodeco.runs.species import SpeciesRecord, write_species


@pytest.fixture(autouse=True)
def own_settings(tmp_path, monkeypatch):
    """Keep the user's settings, home and devices out of the tests."""
    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(reconstruct_panel, "list_devices", lambda: ())


@pytest.fixture
def panel(qtbot):
    widget = ReconstructPanel()
    qtbot.addWidget(widget)
    widget.show()
    qtbot.waitExposed(widget)
    yield widget
    widget._watcher.stop()


@pytest.fixture
def run_folder(particle_set, tmp_path):
    """A run that was made and not yet trained."""
    from napari_cryodeco.data.read import read_particles
    from napari_cryodeco.runs.run import Run

    config = TrainConfig.model_validate(
        {"data": {"source": str(particle_set.star)}, "seed": 7, "refine": {"epochs": 3}}
    )
    Run.create(tmp_path / "run", read_particles(particle_set.star), config)
    return tmp_path / "run"


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


# ---- logic without a window


@pytest.mark.parametrize(
    ("status", "epochs", "busy", "expected"),
    [
        (None, False, False, Actions(True, False, False, False)),
        (None, False, True, Actions(False, False, False, False)),
        (Status(state="queued"), False, False, Actions(False, False, True, False)),
        (Status(state="queued", pid=9), False, False, Actions(False, True, False, False)),
        (Status(state="running"), False, False, Actions(False, True, False, False)),
        (Status(state="running"), True, False, Actions(False, True, False, True)),
        (Status(state="stopped"), True, False, Actions(False, False, True, True)),
        (Status(state="lost"), True, False, Actions(False, False, True, True)),
        (Status(state="failed"), False, False, Actions(False, False, True, False)),
        (Status(state="done"), True, False, Actions(False, False, False, True)),
    ],
)
def test_buttons_follow_the_state(status, epochs, busy, expected):
    assert Actions.of(status, epochs, busy) == expected


def test_a_unit_done_again_replaces_its_numbers():
    history = MetricHistory()
    told = [Metric(float(t), "refine", 0, t, "loss", float(t)) for t in range(4)]
    again = [Metric(10.0 + t, "refine", 0, t, "loss", 100.0 + t) for t in range(2)]
    history.add([*told, *again])
    minutes, values = history.curve("loss", "refine")
    assert values.tolist() == [2, 3, 100, 101]
    assert (np.diff(minutes) > 0).all()


def test_a_night_between_stop_and_resume_is_no_training_time():
    history = MetricHistory()
    history.add([Metric(t, "refine", 0, int(t), "loss", 1.0) for t in (0.0, 30.0)])
    history.add([Metric(t, "refine", 1, int(t), "loss", 1.0) for t in (40_000.0, 40_030.0)])
    minutes, _ = history.curve("loss", "refine")
    assert minutes[-1] == pytest.approx(1.0)


def test_the_newest_fit_is_found_whatever_its_name():
    history = MetricHistory()
    assert history.newest(["loss", "log_likelihood"]) is None
    history.add([Metric(1.0, "joint", 0, 1, "log_likelihood", 5.0)])
    history.add([Metric(2.0, "joint", 0, 1, "resolution", 20.0)])
    assert history.newest(["loss", "log_likelihood"]) == ("log_likelihood", "joint")
    history.add([Metric(3.0, "refine", 0, 1, "loss", 1.0)])
    assert history.newest(["loss", "log_likelihood"]) == ("loss", "refine")


def test_an_epoch_may_take_an_hour():
    history = MetricHistory()
    history.add([Metric(3600.0 * t, "refine", t, 1, "loss", 1.0) for t in range(4)])
    minutes, _ = history.curve("loss", "refine")
    assert minutes.tolist() == [0, 60, 120, 180]


def test_thinning_keeps_the_mean_and_the_ends_near():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, 12_000)
    series = Series("loss", x, rng.normal(size=x.size))
    thin = series.thinned(MAX_POINTS)
    assert len(thin.x) <= MAX_POINTS
    assert thin.y.mean() == pytest.approx(series.y.mean(), abs=1e-6)
    assert thin.x[0] < 0.01 < 0.99 < thin.x[-1]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.7, 12), (1e-7, 3e-7), (990, 1010), (5, 5)])
def test_ticks_are_round_and_inside(low, high):
    ticks = round_ticks(low, high)
    assert (not ticks) == (low == high)
    assert all(low - 1e-9 <= t <= high + 1e-9 * abs(high) for t in ticks)
    steps = np.diff(ticks)
    assert np.allclose(steps, steps[:1])


def test_durations_as_people_say_them():
    assert remaining(20) == "less than a minute"
    assert remaining(260) == "about 4 min"
    assert remaining(3 * 3600) == "about 3 h"
    line = headline(Status(state="running", stage="refine", unit=2, units=20, eta_s=260))
    assert line == "refine 3 of 20: running, about 4 min left"
    assert headline(Status(state="failed", error="Out of memory: lower refine.batch.")) == (
        "Out of memory: lower refine.batch."
    )
    assert headline(Status(state="lost")) == "no sign of life; press Resume to go on"


@pytest.mark.parametrize("state", ["queued", "stopped", "lost", "running"])
def test_a_copy_has_nothing_to_resume_here(state):
    line = headline(Status(state=state, stage="refine", units=20), "node7")
    assert "Resume" not in line and line.endswith("on node7")


def test_the_suggested_folder_is_free_and_not_beside_the_particles(tmp_path):
    source = Path("/project/Extract/job012/particles.star")
    first = suggest_folder(source)
    assert source.parent not in first.parents
    first.mkdir(parents=True)
    assert suggest_folder(source) != first


# ---- the window


def test_start_without_particles_says_which_field(panel, qtbot):
    click(qtbot, panel.start)
    assert panel.error.isVisible()
    assert panel.error.text().startswith("Particles: nothing is chosen yet")


def test_a_wrong_file_is_said_in_the_window_and_leaves_no_run(panel, qtbot, tmp_path):
    panel.form.editor("data.source").show_value(tmp_path / "gone.star")
    panel.folder.show_value(tmp_path / "run")
    click(qtbot, panel.start)
    qtbot.waitUntil(lambda: panel.error.isVisible(), timeout=10_000)
    assert "gone.star" in panel.error.text()
    assert not (tmp_path / "run").exists()
    qtbot.waitUntil(lambda: panel.start.isEnabled(), timeout=20_000)


def test_the_effort_sets_what_the_user_left_alone(panel):
    """Shown at once, so that nothing is hidden; what was set by hand stays through all changes."""
    form = panel.form
    form.editor("refine.batch").show_value(77)
    for effort, epochs in (("fast", 4), ("parity", 8), ("normal", 8), ("parity", 8)):
        form.editor("effort").show_value(effort)
        assert form.editor("refine.epochs").value() == epochs
        assert form.editor("refine.batch").value() == 77
    assert form.editor("loop").value() == "parity"
    assert form.editor("latent_dim").value() == 128
    assert form.editor("refine.field_rate").value() == 1e-4
    form.editor("data.source").show_value(Path("/project/a.star"))
    shown = form.read()
    own = {"refine": {"batch": 77}, "effort": "parity", "data": {"source": "/project/a.star"}}
    assert shown == TrainConfig.model_validate(own)


def test_the_effort_of_a_run_is_where_changes_begin(panel, particle_set, tmp_path):
    from napari_cryodeco.data.read import read_particles
    from napari_cryodeco.runs.run import Run

    values = {"data": {"source": str(particle_set.star)}, "effort": "fast"}
    config = TrainConfig.model_validate(values | {"refine": {"epochs": 3}})
    Run.create(tmp_path / "run", read_particles(particle_set.star), config)
    panel.attach(tmp_path / "run")
    assert panel.form.read() == config
    panel.form.editor("effort").show_value("normal")
    found = panel.form.read()
    assert (found.refine.epochs, found.refine.warmup, found.abinitio.restarts) == (3, 400, 2)


def test_choosing_particles_suggests_a_folder_until_the_user_has_one(panel):
    panel.form.editor("data.source").show_value(Path("/project/job1/a.star"))
    assert panel.folder.value() == suggest_folder(Path("/project/job1/a.star"))
    panel.folder.show_value(Path("/mine"))
    panel.form.editor("data.source").show_value(Path("/project/job1/b.star"))
    assert panel.folder.value() == Path("/mine")


def test_attaching_shows_settings_and_numbers_of_a_run(panel, qtbot, run_folder):
    with Progress(run_folder) as progress:
        progress.unit("refine", 1, 3)
        for step in range(5):
            progress.metric("loss", 1.0 / (step + 1))
            progress.metric("resolution", 40.0 - step)
            progress.step(step, 5)
        panel.folder.show_value(run_folder)
        assert panel.form.read().seed == 7
        assert panel.progress.line.text().startswith("refine 2 of 3: running")
        assert panel.progress.loss.series[0].label == "refine"
        assert panel.stop.isEnabled() and not panel.start.isEnabled()
        progress.finish("stopped")
    panel._watcher.poll()
    assert panel.resume.isEnabled() and not panel.stop.isEnabled()


def test_a_failed_run_says_its_sentence(panel, run_folder):
    with Progress(run_folder) as progress:
        progress.finish("failed", "cuda:0 is out of memory: lower Batch.")
    panel.attach(run_folder)
    assert panel.error.text() == "cuda:0 is out of memory: lower Batch."


def test_a_new_window_finds_the_last_run(panel, qtbot, run_folder):
    panel.folder.show_value(run_folder)
    again = ReconstructPanel()
    qtbot.addWidget(again)
    assert again.folder.value() == run_folder
    assert again.form.read().seed == 7
    again._watcher.stop()


def test_a_damaged_run_is_said_in_one_sentence(panel, run_folder):
    RunPaths(run_folder).config.write_text("poses: nowhere\n")
    panel.attach(run_folder)
    assert "run.yaml" in panel.error.text() and "\n" not in panel.error.text()


def test_the_log_opens(panel, qtbot, run_folder):
    panel.folder.show_value(run_folder)
    RunPaths(run_folder).log.write_text("epoch 1 done\n")
    click(qtbot, panel.log)
    texts = [box.toPlainText() for box in panel.findChildren(QPlainTextEdit)]
    assert "epoch 1 done\n" in texts


def test_the_window_stays_free_while_the_run_is_made(panel, qtbot, monkeypatch, tmp_path):
    gate, asked = threading.Event(), []

    def slow(config, path, place):
        gate.wait(5)
        asked.append((config, path, place))
        raise ValueError("particles.star row 3: no such stack.")

    monkeypatch.setattr(reconstruct_panel, "begin", slow)
    panel.form.editor("data.source").show_value(tmp_path / "a.star")
    panel.folder.show_value(tmp_path / "run")
    click(qtbot, panel.start)
    assert not asked  # the click came back before the work was done
    assert not panel.start.isEnabled()
    gate.set()
    qtbot.waitUntil(lambda: bool(asked) and panel.start.isEnabled(), timeout=20_000)
    assert "row 3" in panel.error.text()


def test_species_that_cannot_be_trusted_are_named_beside_the_progress(panel, run_folder, qtbot):
    write_species(
        run_folder,
        [SpeciesRecord(400, True, 0.93, 1.0, 21.5), SpeciesRecord(80, False, 0.0, 0.97, 40.0)],
    )
    panel.folder.show_value(run_folder)
    qtbot.waitUntil(lambda: "do not trust 2 yet" in panel.progress.facts.text(), timeout=10_000)
    assert panel.progress.facts.isVisible()
    assert "it may be wrong" in panel.progress.facts.toolTip()


def test_the_length_of_z_is_explained_beside_the_progress(panel, run_folder, qtbot):
    components = (Component(8.0, 0.5, 0.9, 0.7), Component(-0.4, 0.1, 0.3, 0.1))
    write_latent_size(run_folder, LatentSize(2, True, components))
    panel.folder.show_value(run_folder)
    qtbot.waitUntil(
        lambda: "z: 2 numbers; directions confirmed: 1." in panel.progress.facts.text(),
        timeout=10_000,
    )
    assert panel.progress.facts.toolTip().count("<td>confirmed</td>") == 1
    assert "1 of 2 components help" in panel.progress.facts.toolTip()


def planted_species(run_folder):
    write_species(
        run_folder,
        [SpeciesRecord(400, True, 0.93, 1.0, 21.5), SpeciesRecord(80, False, 0.0, 0.97, 40.0)],
    )
    with Progress(run_folder) as progress:
        progress.finish("done")


def test_a_species_in_doubt_can_be_tried_again(panel, run_folder, qtbot, monkeypatch, tmp_path):
    from napari_cryodeco.train import again

    asked = []

    def retry(path, what, out, tick):
        asked.append((path, what.species, out))
        return again.Retried("Species 2 keeps its map: so.", None)

    monkeypatch.setattr(again, "retry_species", retry)
    panel.folder.show_value(run_folder)
    assert not panel.again.choice.isVisible()
    planted_species(run_folder)
    qtbot.waitUntil(panel.again.choice.isVisible, timeout=10_000)
    assert panel.again.species.value() == 2  # the one in doubt
    click(qtbot, panel.again.button)
    qtbot.waitUntil(lambda: "keeps its map" in panel.again.answer.text(), timeout=20_000)
    assert asked == [(run_folder, 1, run_folder.with_name(f"{run_folder.name}_species2"))]
    assert panel.folder.value() == run_folder and panel.again.button.text() == "Try again"


def test_a_better_map_attaches_the_new_run(panel, run_folder, qtbot, monkeypatch, tmp_path):
    from napari_cryodeco.train import again

    def retry(path, what, out, tick):
        shutil.copytree(path, out, ignore=shutil.ignore_patterns("species.json"))
        return again.Retried("Species 2 has a better map: so.", out)

    monkeypatch.setattr(again, "retry_species", retry)
    planted_species(run_folder)
    panel.folder.show_value(run_folder)
    qtbot.waitUntil(panel.again.choice.isVisible, timeout=10_000)
    click(qtbot, panel.again.button)
    new = run_folder.with_name(f"{run_folder.name}_species2")
    qtbot.waitUntil(lambda: panel.folder.value() == new, timeout=20_000)
    assert "better map" in panel.again.answer.text()


# ---- on a cluster


@pytest.fixture
def sbatch(tmp_path):
    """A batch system that answers as Slurm does and runs nothing."""
    program = tmp_path / "bin" / "sbatch"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho Submitted batch job 4242\n")
    program.chmod(0o755)
    return program


def test_the_script_is_shown_before_and_start_hands_it_over(
    panel, qtbot, particle_set, tmp_path, sbatch
):
    run = tmp_path / "on-cluster"
    panel.form.editor("data.source").show_value(particle_set.star)
    panel.folder.show_value(run)
    assert panel.command.text() == f"cryodeco train {run}"
    assert not panel.place.script.isVisible()
    panel.place.where.setCurrentText(CLUSTER)
    panel.place.form.editor("command").show_value(str(sbatch))
    panel.place.form.editor("num_gpu").show_value(4)
    panel.place.form.changed.emit()
    shown = panel.place.script.toPlainText()
    assert "#SBATCH --gpus-per-node=4" in shown and f"train {run}" in shown
    assert panel.command.text() == f"{sbatch} {run / 'submit.sh'}"
    assert not run.exists()
    click(qtbot, panel.start)
    qtbot.waitUntil(lambda: RunPaths(run).job.is_file(), timeout=20_000)
    qtbot.waitUntil(lambda: panel.start.isEnabled() or panel.resume.isEnabled(), timeout=20_000)
    assert RunPaths(run).script.read_text() == shown
    panel._watcher.poll()
    assert panel.progress.line.text() == "handed to sbatch, waiting for the cluster…"
    again = RunPlace()  # a new window
    qtbot.addWidget(again)
    assert again.value().num_gpu == 4


def test_a_wrong_template_is_said_where_the_script_would_stand(panel, qtbot, tmp_path):
    template = tmp_path / "mine.sh"
    template.write_text("#SBATCH -p {{ partition }}\n{{ run_cmd }}\n")
    panel.folder.show_value(tmp_path / "run")
    panel.place.where.setCurrentText(CLUSTER)
    panel.place.form.editor("template").show_value(template)
    text = panel.place.script.toPlainText()
    assert text.startswith(f"{template} asks for partition: give partition=VALUE (")
    panel.place.form.editor("variables").show_value("partition=gpu")
    panel.place.form.changed.emit()
    assert panel.place.script.toPlainText().startswith("#SBATCH -p gpu")


def test_a_run_of_another_machine_is_followed(panel, run_folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(progress.socket, "gethostname", lambda: "node17")
        patch.setattr(progress.os, "getpid", lambda: 2**22 + 1)  # no process of this machine
        with progress.Progress(run_folder) as told:
            told.unit("refine", 1, 3)
            patch.undo()
            panel.folder.show_value(run_folder)
            assert panel.progress.line.text().startswith("refine 2 of 3: running")
            assert panel.stop.isEnabled()
            click_stop = RunPaths(run_folder).stop
            panel.stop.click()
            assert click_stop.exists()
