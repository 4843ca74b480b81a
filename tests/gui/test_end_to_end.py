"""The main job in a real window, by mouse: train → explore → lasso → map → export → movie."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import starfile
from npe2 import PluginManifest
from qtpy.QtCore import QEvent, QObject, QPoint, QSettings, Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow

import napari_cryodeco
from napari_cryodeco import jobs
from napari_cryodeco.config import TrainConfig
from napari_cryodeco.gui import reconstruct_panel
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.session import session_of

LEFT = Qt.MouseButton.LeftButton
PLUGIN = "napari-cryodeco"
MANIFEST = Path(napari_cryodeco.__file__).with_name("napari.yaml")


@pytest.fixture(autouse=True)
def own_settings(tmp_path, monkeypatch):
    """Keep the user's settings and devices out of the tests."""
    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(tmp_path))
    monkeypatch.setattr(reconstruct_panel, "list_devices", lambda: ())


@pytest.fixture
def viewer(make_napari_viewer, npe2pm):
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    return viewer


@pytest.fixture
def quick(particle_set):
    """Settings of a run that trains in seconds."""
    return TrainConfig.model_validate(
        {
            "data": {"source": particle_set.star_with_poses},
            "poses": "file",
            "latent_dim": 2,
            "field": {"width": 32, "layers": 2, "frequencies": 32},
            "refine": {"epochs": 2, "batch": 16},
            "precision": "fp32",
            "device": "cpu",
            "threads": 1,
        }
    )


class HeightWatch(QObject):
    """Notes every height that the window takes."""

    def __init__(self, heights):
        super().__init__()
        self.heights = heights

    def eventFilter(self, watched, event):
        if event.type() == QEvent.Type.Resize:
            self.heights.append(event.size().height())
        return False


def click(qtbot, button):
    qtbot.mouseClick(button, LEFT)


def open_panel(qtbot, viewer, name):
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    qtbot.waitExposed(panel)
    qtbot.wait(50)
    return panel


def train(qtbot, viewer, config, folder):
    """Start by mouse, wait until the process of its own has ended, and give back the panel."""
    panel = open_panel(qtbot, viewer, "Reconstruct")
    panel.form.write(config)
    panel.folder.show_value(folder)
    click(qtbot, panel.start)
    qtbot.waitUntil(lambda: panel.stop.isEnabled(), timeout=60_000)
    assert "napari_cryodeco train" in panel.command.text()
    qtbot.waitUntil(lambda: "finished" in panel.progress.line.text(), timeout=180_000)
    assert panel.progress.bar.value() == panel.progress.bar.maximum()
    assert panel.progress.loss.series and panel.progress.resolution.series
    return panel


def draw(qtbot, scatter, corners):
    """Draw a polygon, given in data units, with the left button."""
    screen = [scatter.frame().to_screen(x, y) for x, y in corners]
    points = [QPoint(round(p.x()), round(p.y())) for p in screen]
    qtbot.mousePress(scatter, LEFT, pos=points[0])
    for begin, end in zip(points, [*points[1:], points[0]], strict=True):
        for share in (0.25, 0.5, 0.75, 1.0):
            qtbot.mouseMove(scatter, begin + (end - begin) * share)
            qtbot.wait(2)
    qtbot.mouseRelease(scatter, LEFT, pos=points[0])


@pytest.mark.gl
def test_from_particles_to_a_subset_a_map_and_a_movie(qtbot, viewer, quick, particle_set, tmp_path):
    run = tmp_path / "run"
    session, view = session_of(viewer), map_view_of(viewer)

    reconstruct = train(qtbot, viewer, quick, run)
    click(qtbot, reconstruct.explore)
    qtbot.waitUntil(lambda: session.snapshot is not None, timeout=60_000)
    explorer = open_panel(qtbot, viewer, "Explorer")
    qtbot.waitUntil(lambda: view.layer is not None, timeout=60_000)

    # lasso the half of the plane right of the median
    x, y = session.coordinates()
    middle = float(np.median(x))
    corners = [
        (middle, y.min() - 1),
        (x.max() + 1, y.min() - 1),
        (x.max() + 1, y.max() + 1),
        (middle, y.max() + 1),
    ]
    click(qtbot, explorer.selection_bar.button("lasso"))
    before = np.array(view._shown[0])
    draw(qtbot, explorer.scatter, corners)
    chosen = session.selected
    assert 0 < len(chosen) < len(x)
    frame = explorer.scatter.frame()
    pixel = frame.extent.width / frame.rect.width()  # the mouse moves in whole pixels
    assert set(np.flatnonzero(x > middle + 2 * pixel)) <= set(chosen)
    assert set(chosen) <= set(np.flatnonzero(x > middle - 2 * pixel))
    assert f"{len(chosen):,} of {len(x):,}" in explorer.selection_bar.count_text
    qtbot.waitUntil(lambda: not np.array_equal(before, view._shown[0]), timeout=30_000)

    # export it
    export = open_panel(qtbot, viewer, "Export")
    target = tmp_path / "subset.star"
    export.target.show_value(target)
    assert f"{len(chosen)} of {len(x)} particles" in export.plan.sentence.text()
    click(qtbot, export.write)
    qtbot.waitUntil(lambda: "read back" in export.work.message.text(), timeout=30_000)
    written = starfile.read(target, always_dict=True)["particles"]
    source = starfile.read(particle_set.star_with_poses, always_dict=True)["particles"]
    columns = [name for name in source.columns if name != "rlnImageName"]
    assert len(written) == len(chosen)
    expected = source.iloc[chosen][columns].reset_index(drop=True)
    assert written[columns].equals(expected)

    # the movie, in the same layer
    layer = view.layer
    movie = open_panel(qtbot, viewer, "Movie")
    movie.chooser.frames.setValue(4)
    click(qtbot, movie.decode)
    qtbot.waitUntil(lambda: "4 frames decoded" in movie.message.text(), timeout=60_000)
    movie.export.kind.setCurrentText("GIF movie")
    movie.export.side.setValue(160)
    movie.export.target.show_value(tmp_path / "pc1.gif")
    click(qtbot, movie.export.write)
    qtbot.waitUntil(lambda: "frames written" in movie.export.result.text(), timeout=60_000)
    assert len(imageio.imread(tmp_path / "pc1.gif")) == 4
    assert view.layer is layer


@pytest.mark.gl
def test_a_dropped_run_opens_the_explorer_in_a_small_window(qtbot, viewer, planted_run):
    session = session_of(viewer)
    viewer.open(str(planted_run.path), plugin=PLUGIN)
    qtbot.waitUntil(lambda: session.snapshot is not None, timeout=60_000)
    assert session.run.path == planted_run.path
    heights = []
    viewer.window._qt_window.installEventFilter(watch := HeightWatch(heights))
    for name in ("Reconstruct", "Movie", "Export", "Evidence"):
        open_panel(qtbot, viewer, name)
    docks = {}
    for dock in viewer.window._qt_window.findChildren(QDockWidget):
        docks[dock.objectName().split(" (")[0]] = dock
    window: QMainWindow = docks["Movie"].window()
    assert docks["Explorer"] in window.tabifiedDockWidgets(docks["Reconstruct"])
    assert docks["Export"] in window.tabifiedDockWidgets(docks["Movie"])
    assert docks["Evidence"] in window.tabifiedDockWidgets(docks["Movie"])
    assert window.dockWidgetArea(docks["Movie"]) != window.dockWidgetArea(docks["Explorer"])
    qtbot.wait(300)
    window.removeEventFilter(watch)
    assert window.height() == 800  # a laptop's screen
    assert set(heights) <= {800}  # not for a moment either
    assert window.minimumSizeHint().height() <= window.minimumHeight() <= 800


@pytest.mark.gl
def test_stop_resume_and_a_closed_window(qtbot, viewer, quick, tmp_path):
    """Stop keeps what is done, Resume goes on from there, in a new panel as well."""
    run = tmp_path / "run"
    epochs = quick.refine.model_copy(update={"epochs": 400, "early_stop": False})
    long = quick.model_copy(update={"refine": epochs})
    panel = open_panel(qtbot, viewer, "Reconstruct")
    panel.form.write(long)
    panel.folder.show_value(run)
    click(qtbot, panel.start)
    qtbot.waitUntil(lambda: panel.explore.isEnabled(), timeout=120_000)  # an epoch is there
    viewer.window.remove_dock_widget(panel)
    again = reconstruct_panel.ReconstructPanel()  # as after a restart
    qtbot.addWidget(again)
    again.show()
    assert again.folder.value() == run
    assert again.form.read().refine.epochs == 400
    qtbot.waitUntil(lambda: again.stop.isEnabled(), timeout=30_000)
    click(qtbot, again.stop)
    qtbot.waitUntil(lambda: again.resume.isEnabled(), timeout=60_000)
    assert "stopped" in again.progress.line.text()
    done = again.progress.bar.value()
    click(qtbot, again.resume)
    qtbot.waitUntil(lambda: again.stop.isEnabled(), timeout=60_000)
    qtbot.waitUntil(lambda: again.progress.bar.value() >= done > 0, timeout=60_000)
    jobs.stop(run)
    qtbot.waitUntil(lambda: again.resume.isEnabled(), timeout=60_000)
    again._watcher.stop()
