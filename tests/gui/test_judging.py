"""Is it real, in the window: the card, the alarm, stability and core particles."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_cryodeco.explore import stability
from napari_cryodeco.explore.landscape import cluster
from napari_cryodeco.explore.replay import replay
from napari_cryodeco.gui.export_choice import Which
from napari_cryodeco.gui.export_panel import ExportPanel
from napari_cryodeco.gui.judge_view import CHANGED
from napari_cryodeco.gui.judging import Sureness
from napari_cryodeco.gui.session import session_of
from napari_cryodeco.gui.snapshot import columns_of
from napari_cryodeco.runs.store import read_tensors, write_tensors

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def panel(qtbot, viewer, session):
    widget = ExportPanel(viewer)
    viewer.window.add_dock_widget(widget, name="Export")
    qtbot.mouseClick(widget.real.button, LEFT)
    return widget


def press(qtbot, view, button, task):
    with qtbot.waitSignal(task.ended, timeout=60_000):
        qtbot.mouseClick(button, LEFT)
    qtbot.waitUntil(lambda: not task.busy and button.isEnabled(), timeout=20_000)


def judge(qtbot, panel):
    press(qtbot, panel.judge, panel.judge.judge, panel.judge._task)


def put_in_two_views(run, labels):
    """Turn the particles of one species to one side: a viewing-direction cluster by design."""
    path = run.path / "epochs" / "0001" / "poses.safetensors"
    tensors, header = read_tensors(path)
    rotations = tensors["rotations"].clone()
    rotations[labels == 1] = rotations[np.flatnonzero(labels == 1)[0]].clone()
    write_tensors(path, {**tensors, "rotations": rotations}, header)


def test_a_cluster_of_one_view_is_no_go_and_its_finding_colours_the_plot(
    qtbot, planted_run, particle_set, viewer
):
    put_in_two_views(planted_run, particle_set.labels)
    session = session_of(viewer)
    session.open(planted_run.path)
    panel = ExportPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Export")
    qtbot.mouseClick(panel.real.button, LEFT)
    assert "select some in the Explorer" in panel.judge.sentence.text()
    assert not panel.judge.judge.isEnabled()
    session.select_rows(np.flatnonzero(particle_set.labels == 1))
    judge(qtbot, panel)
    view = panel.judge.view
    assert "NO-GO" in view.verdict.text() and "✕" in view.verdict.text()
    assert "selected, epoch 1" in view.verdict.text()
    assert "NO-GO" in panel.real.button.text()
    assert "30 of 60" in view.facts.text()
    first = view.findings.topLevelItem(0)
    assert first.text(0) == "viewing direction" and "strong" in first.text(1)
    excess = [float(view.findings.topLevelItem(i).text(1).split()[0]) for i in range(3)]
    assert excess == sorted(excess, reverse=True)
    place = view.findings.visualItemRect(first).center()
    qtbot.mouseClick(view.findings.viewport(), LEFT, pos=place)
    qtbot.waitUntil(lambda: session.colouring.label.startswith("angle from"), timeout=10_000)
    inside = session.colouring.values[particle_set.labels == 1]
    np.testing.assert_allclose(inside, inside[0], atol=1e-3)  # one view: one angle


def test_every_finding_colours_by_its_column(qtbot, panel, session):
    session.select_rows(np.arange(20))
    judge(qtbot, panel)
    findings = panel.judge.view.findings
    panel.judge.view.findings.setFocus()
    for place, found in enumerate(panel.judge.card.alarm.findings):
        if found.cap is None:
            findings.setCurrentItem(findings.topLevelItem(place))
            qtbot.keyClick(findings, Qt.Key.Key_Return)
            qtbot.waitUntil(lambda f=found: session.colouring.label == f.column.name)
            assert findings.topLevelItem(place).toolTip(0)


def test_a_card_holds_for_its_particles_only(qtbot, panel, session):
    session.select_rows(np.arange(20))
    judge(qtbot, panel)
    assert panel.judge.view.isVisible()
    session.select_rows(np.arange(21))
    assert not panel.judge.view.isVisible() and panel.judge.sentence.text() == CHANGED
    assert panel.real.button.text().endswith("Is it real?")
    panel.which.setCurrentText(Which.EACH_CLUSTER.value)
    assert "no clusters yet" in panel.judge.sentence.text()
    session.set_clustering(cluster(session.loaded().latents, 2, epoch=1))
    assert "one group at a time" in panel.judge.sentence.text()
    assert not panel.judge.judge.isEnabled()


def test_a_selection_that_changes_while_it_is_judged_gets_no_card(qtbot, panel, session):
    session.select_rows(np.arange(20))
    qtbot.mouseClick(panel.judge.judge, LEFT)
    session.select_rows(np.arange(30))
    qtbot.waitUntil(lambda: not panel.judge._task.busy, timeout=30_000)
    qtbot.wait(50)
    assert panel.judge.card is None and not panel.judge.view.isVisible()


def test_stability_is_told_kept_and_becomes_a_column(qtbot, panel, session):
    assert not panel.judge.again.isEnabled()
    found = cluster(session.loaded().latents, 2, epoch=1)
    session.set_clustering(found)
    press(qtbot, panel.judge, panel.judge.again, panel.judge._trying)
    said = panel.judge.trials.message.text()
    assert said.count("Jaccard index of 1.00: stable") == 2
    kept = stability.latest(session.loaded().run.paths.views, found)
    columns = columns_of(session.loaded())
    np.testing.assert_array_equal(columns.column("cluster confidence"), kept.confidence)


@pytest.mark.parametrize("sureness", list(Sureness))
def test_core_particles_are_a_step_that_replays_and_is_undone(qtbot, panel, session, sureness):
    latents = session.loaded().latents
    found = cluster(latents, 2, epoch=1)
    sure = np.linspace(0.5, 1, len(latents)).astype(np.float32)
    posteriors = np.where(found.labels[:, None] == np.arange(2), sure[:, None], 1 - sure[:, None])
    session.set_clustering(type(found)(**{**found.__dict__, "posteriors": posteriors}))
    panel.judge.sureness.setCurrentText(str(sureness))
    qtbot.mouseClick(panel.judge.keep, LEFT)
    if sureness is Sureness.CONFIDENCE:
        assert "press Stability first" in panel.judge.told.text()
        assert len(session.selected) == 0
        press(qtbot, panel.judge, panel.judge.again, panel.judge._trying)
        qtbot.mouseClick(panel.judge.keep, LEFT)
        kept = stability.latest(session.loaded().run.paths.views, session.clustering)
        expected = kept.core(np.arange(60), 0.9)
    else:
        expected = session.clustering.core(np.arange(60), 0.9)
        assert 0 < len(expected) < 60
    assert session.selected.tolist() == expected.tolist()  # of nothing selected: of all
    replayed = replay(session.history.recipe.steps, columns_of(session.loaded()))
    assert np.flatnonzero(replayed).tolist() == expected.tolist()
    session.undo()
    session.select_rows(np.arange(50, 60))
    qtbot.mouseClick(panel.judge.keep, LEFT)
    assert session.selected.tolist() == np.intersect1d(expected, np.arange(50, 60)).tolist()
    assert f"of {10} particles kept" in panel.judge.told.text()
    session.undo()
    assert len(session.selected) == 10


def test_the_threshold_takes_keys_and_no_wheel_that_passes(qtbot, panel, session):
    session.set_clustering(cluster(session.loaded().latents, 2, epoch=1))
    box = panel.judge.threshold
    box.setFocus()
    qtbot.keyClick(box, Qt.Key.Key_Up)
    assert box.value() == pytest.approx(0.95)


def test_every_control_explains_itself(panel):
    view = panel.judge
    for widget in (view.judge, view.again, view.sureness, view.threshold, view.keep):
        assert widget.toolTip()
    assert view.view.findings.toolTip() and panel.real.button.toolTip()
