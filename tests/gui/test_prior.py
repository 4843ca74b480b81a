"""The chooser shows what the settings say, and fetches nothing before the licence is accepted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from qtpy.QtCore import QSettings, Qt
from qtpy.QtWidgets import QFileDialog, QLabel

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.gui import prior_download, reconstruct_panel
from napari_cryodeco.gui.prior_chooser import DOWNLOAD, FOLDER, PriorEditor
from napari_cryodeco.gui.prior_download import DownloadDialog
from napari_cryodeco.gui.reconstruct_panel import ReconstructPanel
from napari_cryodeco.model.official import FILE, LICENCE, default_folder
from napari_cryodeco.runs.prior_record import PriorRecord, write_record


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr(reconstruct_panel, "list_devices", lambda: ())
    return tmp_path / "home"


@pytest.fixture
def editor(qtbot):
    widget = PriorEditor()
    qtbot.addWidget(widget)
    return widget


@pytest.fixture
def dialog(qtbot):
    widget = DownloadDialog()
    qtbot.addWidget(widget)
    widget.show()
    return widget


def choose(editor, data):
    """As a user does, who sees the entry before anything follows."""
    place = editor._box.findData(data)
    editor._box.setCurrentIndex(place)
    editor._box.activated.emit(place)


@pytest.mark.parametrize("prior", ["bundled", "none", "/weights/mine", "bundled"])
def test_what_is_shown_comes_back(editor, prior):
    editor.show_value(prior)
    assert editor.value() == prior


def test_choosing_changes_the_settings(editor, qtbot):
    with qtbot.waitSignal(editor.changed):
        choose(editor, "none")
    assert editor.value() == "none"


def test_a_folder_is_asked_for_and_may_be_refused(editor, monkeypatch):
    answers = ["", "/weights/mine"]
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *words: answers.pop(0))
    choose(editor, FOLDER)
    assert (editor.value(), editor._box.currentText()) == ("bundled", "Bundled")
    choose(editor, FOLDER)
    assert editor.value() == "/weights/mine"
    assert editor._box.currentText() == "weights/mine"


def test_downloaded_weights_are_offered(qtbot, home):
    folder = default_folder("cryo-ief")
    folder.mkdir(parents=True)
    (folder / FILE).touch()
    editor = PriorEditor()
    qtbot.addWidget(editor)
    choose(editor, str(folder))
    assert editor.value() == str(folder)


def test_every_entry_says_what_it_is(editor):
    box = editor._box
    hints = [box.itemData(i, Qt.ItemDataRole.ToolTipRole) for i in range(box.count())]
    assert all(hints)
    assert "academic research only" in hints[box.findData(DOWNLOAD)]


def test_the_panel_shows_the_prior_at_once(qtbot):
    panel = ReconstructPanel()
    qtbot.addWidget(panel)
    panel.show()
    shown = panel.form.editor("encoder.prior")
    assert isinstance(shown, PriorEditor)
    assert shown.isVisible() and shown.toolTip()
    panel.form.editor("data.source").show_value(Path("/a.star"))
    assert panel.form.read().encoder.prior == "bundled"
    panel._watcher.stop()


def test_the_panel_says_which_prior_a_run_used(qtbot, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    config = TrainConfig.model_validate({"data": {"source": "/a.star"}})
    (run / "run.yaml").write_text(config.to_yaml())
    panel = ReconstructPanel()
    qtbot.addWidget(panel)
    panel.folder.show_value(run)
    assert not panel.progress.facts.isVisibleTo(panel)
    write_record(run, PriorRecord("bundled", "small", "abcdef" * 10 + "1234", "/x", "So."))
    panel._watcher.poll()
    assert panel.progress.facts.text() == "Prior: bundled (small, SHA-256 abcdefabcdef…). So."
    panel._watcher.stop()


# ---- the download


def test_the_licence_is_shown_and_must_be_accepted(dialog, qtbot):
    words = " ".join(label.text() for label in dialog.findChildren(QLabel))
    assert LICENCE.split("'")[1] in words
    assert not dialog.begin.isEnabled()
    dialog.agreed.setChecked(True)
    assert dialog.begin.isEnabled()


def test_each_name_has_its_own_folder(dialog):
    folders = set()
    for place in range(dialog.names.count()):
        dialog.names.setCurrentIndex(place)
        folders.add(dialog.folder.value())
    assert len(folders) == dialog.names.count()


def test_what_was_fetched_becomes_the_prior(editor, qtbot, monkeypatch, tmp_path):
    def fetch(name, into, report):
        report(1, 2)
        return into

    monkeypatch.setattr(prior_download, "fetch", fetch)
    choose(editor, DOWNLOAD)
    (dialog,) = editor.findChildren(DownloadDialog)
    dialog.folder.show_value(tmp_path / "here")
    dialog.agreed.setChecked(True)
    with qtbot.waitSignal(editor.changed, timeout=20_000):
        qtbot.mouseClick(dialog.begin, Qt.MouseButton.LeftButton)
    assert editor.value() == str(tmp_path / "here")


def test_a_failure_is_said_in_the_dialogue(dialog, qtbot, monkeypatch):
    def fetch(name, into, report):
        raise OSError("the host cannot be reached.")

    monkeypatch.setattr(prior_download, "fetch", fetch)
    dialog.agreed.setChecked(True)
    qtbot.mouseClick(dialog.begin, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "cannot be reached" in dialog.said.text(), timeout=20_000)
    qtbot.waitUntil(dialog.begin.isEnabled, timeout=20_000)
    assert dialog.isVisible()


def test_weights_that_do_not_load_are_told(monkeypatch, tmp_path):
    def download(name, into, report):
        into.mkdir()
        (into / FILE).write_bytes(b"nonsense")
        return into

    def run(command, **how):
        assert command[:3] == [sys.executable, "-m", "napari_cryodeco"]
        return subprocess.CompletedProcess(command, 1, "", "cryodeco: nonsense is no weights.\n")

    monkeypatch.setattr(prior_download, "download", download)
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ValueError, match=r"^nonsense is no weights\.$"):
        prior_download.fetch("cryo-ief", tmp_path / "here", lambda done, of: None)
