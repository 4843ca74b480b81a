"""Load what must be loaded before the first window."""

from __future__ import annotations

import shutil
from functools import partial

import pytest

# The fixture `trained_run` trains in this process, which loads timm and with it triton. triton's
# LLVM after that of Mesa's software OpenGL ends the process; the other way round is fine.
import timm  # noqa: F401

from napari_cryodeco.gui.explorer_panel import ExplorerPanel
from napari_cryodeco.gui.session import session_of


@pytest.fixture
def qtbot(qtbot):
    """Waits longer than pytest-qt's five seconds: machines that test are busy."""
    qtbot.waitUntil = partial(qtbot.waitUntil, timeout=20_000)
    return qtbot


@pytest.fixture
def run_path(planted_run, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(planted_run.path, path)
    return path


@pytest.fixture
def panel(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    panel = ExplorerPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Explorer")
    panel.viewer_for_test = viewer
    yield panel
    panel.decoding.stop()
    panel.loader.close()


@pytest.fixture
def opened(panel, run_path, qtbot):
    panel.open_run(run_path)
    qtbot.waitUntil(lambda: panel.session.snapshot is not None, timeout=30_000)
    return panel


@pytest.fixture
def viewer(make_napari_viewer):
    """A small real window."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    return viewer


@pytest.fixture
def session(viewer, planted_run):
    """Its session, with a run open."""
    session = session_of(viewer)
    session.open(planted_run.path)
    return session
