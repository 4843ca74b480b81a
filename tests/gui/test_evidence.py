"""The Evidence panel in a real window: particles put back, compared, shown and saved."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import mrcfile
import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_cryodeco.explore.landscape import cluster
from napari_cryodeco.gui.evidence_choice import Source, asked_for
from napari_cryodeco.gui.evidence_panel import NO_RUN, EvidencePanel
from napari_cryodeco.gui.layers import FROM_PARTICLES, NAME, map_view_of, particles_view_of
from napari_cryodeco.gui.session import Session
from napari_cryodeco.runs.store import read_mrc


@pytest.fixture
def panel(viewer, session):
    widget = EvidencePanel(viewer)
    viewer.window.add_dock_widget(widget, name="Evidence")
    return widget


def choose(panel, source):
    panel.source.setCurrentText(source.value)


def click(qtbot, panel, button):
    with qtbot.waitSignal(panel._task.ended, timeout=60_000):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel._task.busy and not panel.work.bar.isVisible(), timeout=20_000)


def layers(viewer):
    return [layer.name for layer in viewer.layers]


# ---- logic without a window


def test_what_is_asked_for_is_what_the_controls_say(session):
    latents = session.loaded().latents
    session.select_rows(np.arange(25))
    session.set_clustering(cluster(latents, 2))
    assert asked_for(session, Source.SELECTION, "", 0).rows.tolist() == list(range(25))
    assert asked_for(session, Source.ALL, "", 0).count == 60
    second = asked_for(session, Source.CLUSTERS, "2", 0)
    assert (session.clustering.labels[second.rows] == 1).all() and second.source == "clusters 2"
    with pytest.raises(ValueError, match="click into the plot"):
        asked_for(session, Source.NEIGHBOURS, "", 30)
    session.move_cursor_to(4)
    near = asked_for(session, Source.NEIGHBOURS, "", 30)
    assert near.count == 30 and near.rows is None
    np.testing.assert_array_equal(near.point, session.cursor.z)
    assert asked_for(session, Source.NEIGHBOURS, "", 500).count == 60


# ---- the window


def test_without_a_run_it_says_what_to_do(qtbot, viewer):
    panel = EvidencePanel(viewer)
    qtbot.addWidget(panel)
    assert panel.sentence.text() == NO_RUN
    assert not panel.start.isEnabled() and not panel.save.isEnabled()


def test_every_control_explains_itself(panel):
    for widget in (
        panel.source,
        panel.labels,
        panel.count,
        panel.start,
        panel.work.cancel,
        panel.save,
    ):
        assert widget.toolTip()


def test_without_particles_it_says_how_to_choose_some(panel, session):
    assert "select some in the Explorer" in panel.sentence.text()
    assert not panel.start.isEnabled()
    session.select_rows(np.arange(30))
    assert "30 of 60 particles" in panel.sentence.text() and panel.start.isEnabled()
    assert not panel.labels.isVisible() and not panel.count.isVisible()
    choose(panel, Source.CLUSTERS)
    assert panel.labels.isVisible() and "no clusters yet" in panel.sentence.text()
    choose(panel, Source.NEIGHBOURS)
    assert panel.count.isVisible() and "click into the plot" in panel.sentence.text()
    session.move_cursor_to(0)
    assert panel.start.isEnabled()


def test_a_selection_is_reconstructed_shown_and_compared(
    qtbot, panel, session, viewer, particle_set
):
    session.select_rows(np.flatnonzero(particle_set.labels == 1))
    click(qtbot, panel, panel.start)
    view = panel.view
    assert "30 particles: their half-maps agree to" in view.result.text()
    assert view.result.isVisible() and not panel.work.message.isVisible()
    decoded, half_maps = view.plot.series
    assert (half_maps.label, decoded.label) == ("half-maps", "decoded map")
    assert half_maps.y[0] > 0.9 > 0.5 > decoded.y.mean()
    # the field of this run was never trained, and the particles say so
    assert view.warning.isVisible()
    assert "shows what these particles do not" in view.warning.text()
    assert "upper bounds" in view.result.toolTip() and "1/Å" in view.plot.toolTip()

    assert layers(viewer) == [NAME, FROM_PARTICLES]
    truth, _ = read_mrc(particle_set.maps[1])
    shown = particles_view_of(viewer)._shown[0]
    assert np.corrcoef(shown.ravel(), truth.ravel())[0, 1] > 0.85
    assert shown.std() == pytest.approx(1, rel=1e-4)


def test_both_layers_keep_to_one_level_and_are_used_again(qtbot, panel, session, viewer):
    choose(panel, Source.ALL)
    click(qtbot, panel, panel.start)
    decoded, particles = map_view_of(viewer), particles_view_of(viewer)
    assert particles.level == decoded.level
    decoded.set_level(4.5)
    assert particles.level == 4.5
    before = list(viewer.layers)
    viewer.layers[FROM_PARTICLES].visible = False  # napari's eye
    session.select_rows(np.arange(30))
    choose(panel, Source.SELECTION)
    click(qtbot, panel, panel.start)
    assert list(viewer.layers) == before
    assert not viewer.layers[FROM_PARTICLES].visible
    assert particles.level == 4.5


def test_neighbours_of_the_cursor_and_clusters(qtbot, panel, session, particle_set):
    session.move_cursor_to(0)
    choose(panel, Source.NEIGHBOURS)
    panel.count.setValue(25)
    click(qtbot, panel, panel.start)
    chosen = panel._verdict.chosen
    assert len(chosen.rows) == 25
    assert (particle_set.labels[chosen.rows] == particle_set.labels[0]).all()
    assert "nearest to particle 1 in z" in panel.view.result.toolTip()

    session.set_clustering(cluster(session.loaded().latents, 2))
    choose(panel, Source.CLUSTERS)
    panel.labels.setText("2")
    click(qtbot, panel, panel.start)
    expected = np.flatnonzero(session.clustering.labels == 1)
    assert panel._verdict.chosen.rows.tolist() == expected.tolist()


def test_maps_are_saved_as_the_command_writes_them(qtbot, panel, tmp_path):
    choose(panel, Source.ALL)
    click(qtbot, panel, panel.start)
    panel.folder.show_value(tmp_path / "maps")
    click(qtbot, panel, panel.save)
    assert "written" in panel.work.message.text()
    assert panel.view.result.isVisible()  # what was found stays
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert names == [
        *("decoded.mrc", "fsc.json", "half_map_1.mrc", "half_map_2.mrc", "map.mrc", "rows.txt")
    ]
    record = json.loads((tmp_path / "maps" / "fsc.json").read_text())
    assert record["count"] == 60 and record["rows"] == "all particles"
    with mrcfile.open(tmp_path / "maps" / "map.mrc") as mrc:
        assert float(mrc.voxel_size.x) == pytest.approx(8.0)
    click(qtbot, panel, panel.save)
    assert "exists already" in panel.work.message.text()


def test_the_suggested_folder_is_free_again_after_saving(qtbot, panel, planted_run):
    choose(panel, Source.ALL)
    click(qtbot, panel, panel.start)
    first = panel.folder.value()
    assert first.parent == planted_run.path / "export" and not first.exists()
    click(qtbot, panel, panel.save)
    assert (first / "map.mrc").is_file()
    assert panel.folder.value() != first and not panel.folder.value().exists()


def test_too_few_particles_are_one_sentence(qtbot, panel, session, viewer):
    session.select_rows(np.arange(5))
    click(qtbot, panel, panel.start)
    assert panel.work.message.text().startswith("5 particles are too few")
    assert not panel.save.isEnabled() and panel.start.isEnabled()
    assert layers(viewer) == []


def test_progress_has_an_estimate_and_cancel_stops(qtbot, panel, viewer, monkeypatch):
    def slow(snapshot, asked, report):
        for done in range(1000):
            report(done, 1000)
            time.sleep(0.02)

    monkeypatch.setattr("napari_cryodeco.gui.evidence_panel.judge_asked", slow)
    choose(panel, Source.ALL)
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: " left" in panel.work.message.text(), timeout=20_000)
    assert (
        panel.work.bar.isVisible() and panel.work.cancel.isVisible() and not panel.start.isEnabled()
    )
    with qtbot.waitSignal(panel._task.ended, timeout=20_000):
        qtbot.mouseClick(panel.work.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(panel.start.isEnabled, timeout=20_000)
    assert panel.work.message.text() == "Cancelled." and not panel.work.cancel.isVisible()
    assert layers(viewer) == []


def test_another_run_begins_anew(qtbot, panel, session, planted_template):
    choose(panel, Source.ALL)
    click(qtbot, panel, panel.start)
    assert panel.save.isEnabled()
    session.open(session.run.path)  # the same one again: nothing is lost
    assert panel.save.isEnabled() and panel.view.plot.series
    session.open(planted_template.path)
    assert not panel.save.isEnabled() and not panel.view.plot.series
    assert not panel.view.result.isVisible()
    assert str(planted_template.path) in str(panel.folder.value())


def test_the_choice_needs_no_viewer():
    with pytest.raises(ValueError, match="No run is open"):
        asked_for(Session(), Source.ALL, "", 0)


def test_the_panel_is_light():
    """torch takes seconds to import: the first reconstruction loads it, not the menu."""
    program = (
        "import sys, napari_cryodeco.gui.evidence_panel;"
        "sys.exit('torch' in sys.modules and 'imported torch')"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
