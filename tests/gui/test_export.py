"""The Export panel writes exactly the particles that its sentence names."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import starfile
from qtpy.QtCore import QPoint, Qt

from napari_cryodeco.explore.landscape import cluster
from napari_cryodeco.explore.selection import Selection
from napari_cryodeco.explore.volumes import VolumeDecoder, VolumeRequest
from napari_cryodeco.gui.export_choice import Which, chosen_rows, suggest_target
from napari_cryodeco.gui.export_panel import NO_RUN, ExportPanel
from napari_cryodeco.gui.export_plan import What
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.session import session_of


class Window:
    """Stands for a viewer without a map: the panel asks it for its session and layers."""

    def __init__(self):
        self.layers = []


@pytest.fixture
def viewer():
    return Window()


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


def export(qtbot, panel):
    with qtbot.waitSignal(panel._task.ended, timeout=60_000):
        qtbot.mouseClick(panel.write, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.work.bar.isVisible() and not panel._task.busy)


def said(panel):
    return panel.work.message.text()


def listed(panel):
    tree = panel.plan.files
    return [tree.topLevelItem(i).text(0) for i in range(tree.topLevelItemCount())]


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


def test_a_suggested_name_is_free(tmp_path):
    first = suggest_target(tmp_path, "selected", ".star")
    first.write_text("")
    second = suggest_target(tmp_path, "selected", ".star")
    assert second != first and second.suffix == ".star" and not second.exists()


# ---- the window


def test_without_a_run_it_says_what_to_do(qtbot):
    panel = ExportPanel(Window())
    qtbot.addWidget(panel)
    assert panel.plan.sentence.text() == NO_RUN
    assert not panel.write.isEnabled() and not panel.judge.judge.isEnabled()


def test_the_selection_is_written_read_back_and_counted(qtbot, panel, session, particle_set):
    session.select_rows(np.array([2, 7, 11, 30]))
    assert "4 of 60 particles" in panel.plan.sentence.text()
    export(qtbot, panel)
    target = panel.target.value()
    assert "4 particles written and read back" in said(panel)
    written = [p for p in target.parent.glob("subset*.star") if p.is_file()]
    source = image_names(particle_set.star_with_poses)
    places = [name.split("@")[0] for name in image_names(written[0])]
    assert places == [source[row].split("@")[0] for row in (2, 7, 11, 30)]


def test_row_numbers_are_what_was_selected(qtbot, panel, session, tmp_path):
    session.select_rows(np.array([0, 59]))
    panel.kind.setCurrentText("row numbers")
    panel.target.show_value(tmp_path / "rows.txt")
    export(qtbot, panel)
    assert np.loadtxt(tmp_path / "rows.txt", dtype=int).tolist() == [0, 59]


def test_a_file_that_is_there_is_replaced_only_by_a_tick(qtbot, panel, session, tmp_path):
    session.select_rows(np.array([1]))
    panel.target.show_value(tmp_path / "other.star")
    assert panel.write.isEnabled() and not panel.replace.isVisible()
    (tmp_path / "subset.star").write_text("mine\n")
    panel.target.show_value(tmp_path / "subset.star")
    assert "exists already" in panel.plan.obstacle.text()
    assert not panel.write.isEnabled() and panel.replace.isVisible()
    tick(qtbot, panel.replace)
    assert panel.write.isEnabled() and not panel.plan.obstacle.isVisible()
    panel.target.show_value(tmp_path / "other.star")
    panel.target.show_value(tmp_path / "subset.star")
    assert not panel.replace.isChecked()  # the tick was of another name
    assert (tmp_path / "subset.star").read_text() == "mine\n"
    tick(qtbot, panel.replace)
    export(qtbot, panel)
    assert len(image_names(tmp_path / "subset.star")) == 1
    assert not panel.replace.isChecked()


def tick(qtbot, box):
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))


def test_a_file_that_appears_meanwhile_is_not_replaced(qtbot, panel, session, tmp_path):
    session.select_rows(np.array([1]))
    (tmp_path / "subset.star").write_text("mine\n")
    export(qtbot, panel)
    assert "exists already" in said(panel)
    assert (tmp_path / "subset.star").read_text() == "mine\n"


def test_a_wrong_suffix_is_said(panel, session, tmp_path):
    session.select_rows(np.array([1]))
    panel.target.show_value(tmp_path / "subset.doc")
    assert "ends in .star" in panel.plan.sentence.text()
    assert not panel.write.isEnabled()


def test_cs_from_a_star_file_is_refused_before_writing(panel, session):
    session.select_rows(np.array([1]))
    panel.kind.setCurrentText("cryoSPARC .cs")
    assert "choose STAR" in panel.plan.sentence.text()
    assert not panel.write.isEnabled()


def test_the_sentence_follows_the_selection(panel, session):
    session.select_rows(np.arange(10))
    assert "10 of 60" in panel.plan.sentence.text()
    session.undo()
    assert "select some" in panel.plan.sentence.text()
    choose(panel, Which.ALL)
    assert "60 of 60 particles (100.0 %)" in panel.plan.sentence.text()


# ---- several groups, bundles, another file


def test_each_cluster_is_a_file_of_its_own(qtbot, panel, session, tmp_path):
    session.set_clustering(cluster(session.loaded().latents, 2))
    choose(panel, Which.EACH_CLUSTER)
    panel.target.show_value(tmp_path / "each")
    assert listed(panel) == ["cluster_1.star", "cluster_2.star"]
    assert "2 files, in the folder" in panel.plan.sentence.text()
    export(qtbot, panel)
    names = [image_names(tmp_path / "each" / name) for name in listed(panel)]
    assert len(set(names[0]) | set(names[1])) == 60 and not set(names[0]) & set(names[1])
    assert "60 particles written and read back" in said(panel)


def test_named_selections_that_overlap_or_leave_some_out_are_told(panel, session):
    choose(panel, Which.EACH_NAMED)
    assert "No selection is named yet" in panel.plan.sentence.text()
    session.set_named((Selection("a/b", np.arange(10)), Selection("c", np.arange(5, 20))))
    assert listed(panel) == ["a_b.star", "c.star"]
    warnings = panel.plan.warnings.text()
    assert "5 times a particle is in a second group" in warnings
    assert "40 particles are in no group" in warnings


def everything(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("half_maps", [False, True])
def test_the_dry_run_of_a_bundle_names_every_file(qtbot, panel, session, tmp_path, half_maps):
    session.set_clustering(cluster(session.loaded().latents, 2))
    panel.what.setCurrentText(What.BUNDLE.value)
    choose(panel, Which.EACH_CLUSTER)
    panel.half_maps.setChecked(half_maps)
    panel.target.show_value(tmp_path / "bundle")
    planned = set(listed(panel))
    assert not (tmp_path / "bundle").exists()
    export(qtbot, panel)
    assert everything(tmp_path / "bundle") == planned
    assert f"{len(planned)} files written" in said(panel)


@pytest.mark.parametrize("what", [What.MAPS, What.RUN])
def test_maps_and_whole_runs_need_no_particles_chosen(qtbot, panel, session, tmp_path, what):
    session.set_clustering(cluster(session.loaded().latents, 2, epoch=1))
    panel.what.setCurrentText(what.value)
    assert not panel.which.isVisible() and not panel.kind.isVisible()
    panel.target.show_value(tmp_path / "out")
    export(qtbot, panel)
    maps = [name for name in everything(tmp_path / "out") if name.endswith(".mrc")]
    assert len(maps) == 2


def original_of(particle_set, folder, rows):
    """Another file of some of the particles, in another order."""
    source = particle_set.star_with_poses
    tables = starfile.read(source, always_dict=True)
    table = tables["particles"].iloc[rows[::-1]].copy()
    names = [name.split("@") for name in table["rlnImageName"]]
    folders = (source.parent, source.parent.parent)
    stacks = {s: next(f / s for f in folders if (f / s).is_file()) for s in {n[1] for n in names}}
    table["rlnImageName"] = [f"{place}@{stacks[stack]}" for place, stack in names]
    path = folder / "original.star"
    starfile.write({**tables, "particles": table}, path)
    return path


def look_up(qtbot, panel):
    with qtbot.waitSignal(panel.original._task.ended, timeout=60_000):
        qtbot.mouseClick(panel.original.match, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.original._task.busy and panel.original.match.isEnabled())


def test_counts_of_the_original_come_before_anything_is_written(
    qtbot, panel, session, tmp_path, particle_set
):
    original = original_of(particle_set, tmp_path, np.arange(40))
    session.select_rows(np.arange(10))
    panel.original.file.show_value(original)
    assert "Press Match first" in panel.plan.obstacle.text() and not panel.write.isEnabled()
    look_up(qtbot, panel)
    assert "10 matched, 0 unmatched, 0 ambiguous of 10" in panel.original.counts.text()
    assert panel.write.isEnabled() and not panel.original.partial.isVisible()
    session.select_rows(np.arange(35, 45))  # no second look-up
    assert "5 matched, 5 unmatched" in panel.original.counts.text()
    assert not panel.write.isEnabled() and "leave these out" in panel.plan.obstacle.text()
    assert "5 particles have no certain row" in panel.plan.warnings.text()
    tick(qtbot, panel.original.partial)
    assert panel.write.isEnabled()
    export(qtbot, panel)
    kept = set(image_names(tmp_path / "subset.star"))
    assert len(kept) == 5 and "5 unmatched" in said(panel)
    session.select_rows(np.arange(50, 60))
    assert "None of these particles" in panel.plan.obstacle.text()
    panel.original.file.show_value(tmp_path / "nothing.star")
    look_up(qtbot, panel)
    assert "nothing.star" in panel.original.work.message.text()
    assert "\n" not in panel.original.work.message.text()


@pytest.mark.parametrize("which", [Which.SELECTION, Which.EACH_CLUSTER])
def test_stacks_of_the_original_are_found_in_the_folder_given(
    qtbot, panel, session, tmp_path, particle_set, which
):
    original = tmp_path / "moved" / "original.star"  # its stacks are named as they were
    original.parent.mkdir()
    original.write_bytes(particle_set.star_with_poses.read_bytes())
    latents = session.loaded().latents
    session.set_clustering(cluster(latents, 2, epoch=session.epoch))
    session.select_rows(np.arange(10))
    choose(panel, which)
    assert not panel.original.datadir.isVisible()
    panel.original.file.show_value(original)
    assert panel.original.datadir.isVisible()
    look_up(qtbot, panel)
    if which is Which.EACH_CLUSTER:
        panel.target.show_value(tmp_path / "each")
    assert panel.write.isEnabled()
    export(qtbot, panel)
    assert not panel._order().target.exists() and particle_set.stack.name in said(panel)
    panel.original.datadir.show_value(particle_set.stack.parent)
    export(qtbot, panel)
    assert panel._order().target.exists(), said(panel)


def test_a_bundle_opens_in_chimerax_as_the_window_looks(make_napari_viewer, qtbot, planted_run):
    viewer = make_napari_viewer(show=True)
    session = session_of(viewer)
    session.open(planted_run.path)
    panel = ExportPanel(viewer)
    qtbot.addWidget(panel)
    decoder = VolumeDecoder(planted_run.epoch().field_path, "cpu")
    shown = map_view_of(viewer)
    shown.show(decoder.decode(VolumeRequest(session.loaded().latents[0])))
    shown.set_level(4.5)
    viewer.scene.camera.angles = (0.0, 90.0, 0.0)
    options = panel._options(None)
    assert options.level == 4.5 and options.surface == shown.colour
    view = options.camera
    np.testing.assert_allclose(view.rotation @ view.rotation.T, np.eye(3), atol=1e-5)
    # what was one canvas wide in the window is as wide as ChimeraX' field of view
    height, width = viewer.window._qt_viewer.canvas.size
    assert view.extent == pytest.approx(min(height, width) / viewer.scene.camera.zoom)
    viewer.scene.camera.zoom *= 2
    assert panel._options(None).camera.extent == pytest.approx(view.extent / 2)


def test_every_control_of_the_panel_explains_itself(panel):
    controls = (panel.what, panel.which, panel.labels, panel.kind, panel.copy_images)
    controls += (panel.half_maps, panel.target, panel.replace, panel.write, panel.plan.files)
    controls += (panel.original.file, panel.original.match, panel.original.partial)
    assert all(widget.toolTip() for widget in controls)
