"""The Export panel writes exactly the particles that its sentence names."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import starfile
from qtpy.QtCore import Qt

from napari_cryodeco.explore.landscape import cluster
from napari_cryodeco.gui.export_choice import STAR, Which, chosen_rows, preview, suggest_target
from napari_cryodeco.gui.export_panel import NO_RUN, ExportPanel
from napari_cryodeco.gui.session import session_of


class Window:
    """Stands for a viewer: the panel asks it for nothing but its session."""


@pytest.fixture
def viewer():
    return Window()


@pytest.fixture
def session(viewer, planted_run):
    session = session_of(viewer)
    session.open(planted_run.path)
    return session


@pytest.fixture
def panel(qtbot, viewer, session, tmp_path):
    widget = ExportPanel(viewer)
    qtbot.addWidget(widget)
    widget.show()
    qtbot.waitExposed(widget)
    widget.target.show_value(tmp_path / "subset.star")
    return widget


def choose(panel, which):
    panel.which.setCurrentText(which.value)


def export(qtbot, panel, button):
    with qtbot.waitSignal(panel._task.ended, timeout=20_000):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.bar.isVisible())


def image_names(path):
    table = starfile.read(path, always_dict=True)
    return list(table["particles"]["rlnImageName"])


# ---- logic without a window


def test_the_four_choices_are_the_sets_they_say(session):
    n = len(session.loaded().latents)
    session.select_rows(np.array([3, 5, 8]))
    session.set_clustering(cluster(session.loaded().latents, 2))
    assert chosen_rows(session, Which.SELECTION).tolist() == [3, 5, 8]
    others = chosen_rows(session, Which.OTHERS)
    assert len(others) == n - 3 and not np.isin([3, 5, 8], others).any()
    assert chosen_rows(session, Which.ALL).tolist() == list(range(n))
    first, second = (chosen_rows(session, Which.CLUSTERS, label) for label in "12")
    assert sorted([*first, *second]) == list(range(n))
    assert chosen_rows(session, Which.CLUSTERS, "2, 1").tolist() == list(range(n))
    assert (session.clustering.labels[first] == 0).all()


@pytest.mark.parametrize(
    ("labels", "words"),
    [("", "write their numbers"), ("3", "no cluster 3"), ("0", "no cluster 0"), ("a", "'a'")],
)
def test_wrong_cluster_numbers_are_said(session, labels, words):
    session.set_clustering(cluster(session.loaded().latents, 2))
    with pytest.raises(ValueError, match=words):
        chosen_rows(session, Which.CLUSTERS, labels)


def test_nothing_selected_is_said(session):
    with pytest.raises(ValueError, match="select some in the Explorer"):
        chosen_rows(session, Which.SELECTION)
    with pytest.raises(ValueError, match="no clusters yet"):
        chosen_rows(without_clusters(session), Which.CLUSTERS, "1")


def without_clusters(session):
    return SimpleNamespace(loaded=session.loaded, selected=session.selected, clustering=None)


def test_the_preview_counts_and_names_files(tmp_path):
    sentence = preview(12_345, 402_118, tmp_path / "p.star", STAR, tmp_path / "s.star")
    assert "12,345 of 402,118 particles (3.1 %)" in sentence
    assert "optics" in sentence and str(tmp_path / "s.star") in sentence


def test_a_suggested_name_is_free(tmp_path):
    first = suggest_target(tmp_path, "selected", ".star")
    first.write_text("")
    second = suggest_target(tmp_path, "selected", ".star")
    assert second != first and second.suffix == ".star" and not second.exists()


# ---- the window


def test_without_a_run_it_says_what_to_do(qtbot):
    panel = ExportPanel(Window())
    qtbot.addWidget(panel)
    assert panel.sentence.text() == NO_RUN
    assert not panel.write_particles.isEnabled() and not panel.write_run.isEnabled()


def test_the_selection_is_written_read_back_and_counted(qtbot, panel, session, particle_set):
    session.select_rows(np.array([2, 7, 11, 30]))
    assert "4 of 60 particles" in panel.sentence.text()
    export(qtbot, panel, panel.write_particles)
    target = panel.target.value()
    assert "4 particles written and read back" in panel.result.text()
    written = [p for p in target.parent.glob("subset*.star") if p.is_file()]
    source = image_names(particle_set.star_with_poses)
    places = [name.split("@")[0] for name in image_names(written[0])]
    assert places == [source[row].split("@")[0] for row in (2, 7, 11, 30)]


def test_row_numbers_are_what_was_selected(qtbot, panel, session, tmp_path):
    session.select_rows(np.array([0, 59]))
    panel.kind.setCurrentText("row numbers")
    panel.target.show_value(tmp_path / "rows.txt")
    export(qtbot, panel, panel.write_particles)
    assert np.loadtxt(tmp_path / "rows.txt", dtype=int).tolist() == [0, 59]


def test_a_file_that_is_there_is_not_overwritten(qtbot, panel, session, tmp_path):
    session.select_rows(np.array([1]))
    (tmp_path / "subset.star").write_text("mine\n")
    export(qtbot, panel, panel.write_particles)
    assert "exists already" in panel.result.text()
    assert (tmp_path / "subset.star").read_text() == "mine\n"


def test_a_wrong_suffix_is_said(qtbot, panel, session, tmp_path):
    session.select_rows(np.array([1]))
    panel.target.show_value(tmp_path / "subset.doc")
    export(qtbot, panel, panel.write_particles)
    assert ".star, .cs or .txt" in panel.result.text()
    assert not list(tmp_path.glob("*"))


def test_cs_from_a_star_file_is_refused_before_writing(panel, session):
    session.select_rows(np.array([1]))
    panel.kind.setCurrentText("cryoSPARC .cs")
    assert "choose STAR" in panel.sentence.text()
    assert not panel.write_particles.isEnabled()


def test_the_sentence_follows_the_selection(panel, session):
    session.select_rows(np.arange(10))
    assert "10 of 60" in panel.sentence.text()
    session.undo()
    assert "select some" in panel.sentence.text()
    choose(panel, Which.ALL)
    assert "60 of 60 particles (100.0 %)" in panel.sentence.text()
