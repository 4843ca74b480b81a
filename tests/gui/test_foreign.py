"""The panel Other programs: a folder becomes a run, and what is missing is said in a sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_cryodeco.gui.decoding import DecodeThread, open_decoder, open_field
from napari_cryodeco.gui.foreign_panel import ForeignPanel, suggest_run
from napari_cryodeco.gui.readers import get_latents_reader, get_run_reader
from napari_cryodeco.gui.session import Session
from napari_cryodeco.runs.run import Run


@pytest.fixture
def source(particle_set, tmp_path) -> Path:
    """Latents of the set as an array, in a folder of their own."""
    z = np.random.default_rng(0).normal(size=(len(particle_set), 3)) * 0.2
    z[:, 0] += 4 * particle_set.labels
    (tmp_path / "job").mkdir()
    np.save(tmp_path / "job" / "z.npy", z)
    return tmp_path / "job" / "z.npy"


@pytest.fixture
def panel(qtbot):
    widget = ForeignPanel()
    qtbot.addWidget(widget)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def press(qtbot, panel):
    with qtbot.waitSignal(panel._task.ended, timeout=30_000):
        qtbot.mouseClick(panel.open, Qt.MouseButton.LeftButton)


def test_latents_are_opened_with_the_mouse(qtbot, panel, source, particle_set):
    assert not panel.open.isEnabled()
    panel.show_source(source)
    run = panel.run.value()
    assert run == source.parents[1] / "job-explored"
    panel.particles.show_value(particle_set.star_with_poses)
    with qtbot.waitSignal(panel.adopted, timeout=30_000) as told:
        qtbot.mouseClick(panel.open, Qt.MouseButton.LeftButton)
    assert told.args == [run]
    assert "Orientations" in panel.work.message.text()
    session = Session()
    session.open(run)
    assert session.loaded().latents.shape == (len(particle_set), 3)


def test_what_is_missing_is_asked_for(qtbot, panel, source):
    panel.show_source(source)
    press(qtbot, panel)
    assert "does not say which particles it belongs to" in panel.work.message.text()
    assert panel.open.isEnabled()
    assert not panel.run.value().exists()


def test_a_name_of_the_users_own_stays(panel, source, tmp_path):
    panel.run.show_value(tmp_path / "mine")
    panel.show_source(source)
    assert panel.run.value() == tmp_path / "mine"
    (tmp_path / "job-explored").mkdir()
    assert suggest_run(source) == tmp_path / "job-explored-2"


def test_readers_tell_by_names_alone(tmp_path, planted_run):
    (tmp_path / "drgn").mkdir()
    assert get_latents_reader(str(tmp_path / "drgn")) is None
    (tmp_path / "drgn" / "z.3.pkl").write_bytes(b"never opened")
    for path in ("drgn", "drgn/z.3.pkl"):
        assert get_latents_reader(str(tmp_path / path)) is not None
        assert get_run_reader(str(tmp_path / path)) is None
    zdim = tmp_path / "recovar" / "model" / "zdim_4"
    zdim.mkdir(parents=True)
    (zdim / "latent_coords.npy").write_bytes(b"never opened")
    assert get_latents_reader(str(tmp_path / "recovar")) is not None
    assert get_latents_reader(str(planted_run.path)) is None
    assert get_latents_reader(str(tmp_path / "drgn" / "weights.3.pkl")) is None


def test_the_map_without_a_decoder_is_a_sentence_or_the_nearest(qtbot, planted_run):
    planted_run.epoch().field_path.unlink()
    thread = DecodeThread()
    thread.use(lambda: open_decoder(planted_run, 1))
    z = planted_run.epoch().latents()[0]
    with qtbot.waitSignal(thread.failed, timeout=10_000) as told:
        thread.request(z, "here")
    assert "no decoder" in told.args[0]
    assert "codebook" in told.args[0]

    from napari_cryodeco.explore.codebook import make_codebook, save_codebook

    made = make_codebook(planted_run, centres=2, side=1, box=12, near=30)
    save_codebook(made, planted_run)
    thread.use(lambda: open_decoder(planted_run, 1))
    with qtbot.waitSignal(thread.decoded, timeout=10_000) as shown:
        thread.request(z, "here")
    assert "nearest of 3 maps" in shown.args[0].device
    assert shown.args[0].volume.data.std() > 0
    with pytest.raises(ValueError, match="no decoder"):
        open_field(planted_run, 1)  # a movie is not made of nearest maps
    thread.stop()


def test_a_copied_run_without_decoder_and_images_opens(planted_run, tmp_path):
    skipped = shutil.ignore_patterns("field.safetensors", "images.*")
    shutil.copytree(planted_run.path, tmp_path / "copy", ignore=skipped)
    session = Session()
    session.open(tmp_path / "copy")
    assert len(session.loaded().latents) == len(Run.open(planted_run.path).particles)
