"""What opening a run needs is imported ahead: once, off the GUI thread, and without triton."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import pytest

from napari_cryodeco.gui import importing


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that notes on which threads it was imported, as all that is needed."""
    (tmp_path / "needed_ahead.py").write_text(
        "import threading\nthread = threading.current_thread()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(importing, "FOR_RUNS", ("no_such_module",))
    monkeypatch.setattr(importing, "FOR_LAYERS", ("needed_ahead",))
    for event in ("_begun", "_runs_ready", "_layers_ready"):
        monkeypatch.setattr(importing, event, threading.Event())
    yield "needed_ahead"
    sys.modules.pop("needed_ahead", None)


def test_showing_the_explorer_imports_off_the_gui_thread(panel, qtbot, module):
    panel.viewer_for_test.window._qt_window.show()
    panel.show()
    qtbot.waitUntil(lambda: hasattr(sys.modules.get(module), "thread"), timeout=10_000)
    assert sys.modules[module].thread is not threading.main_thread()


def test_it_is_done_once(module):
    importing.import_ahead()
    (first,) = [t for t in threading.enumerate() if t.name == "cryodeco imports"] or [None]
    if first is not None:
        first.join(10)
    del sys.modules[module]
    importing.import_ahead()
    assert not [t for t in threading.enumerate() if t.name == "cryodeco imports"]
    assert module not in sys.modules


def test_whoever_waits_finds_it_imported_and_garbage_looked_for_again(module):
    importing.wait_for_runs()
    importing.wait_for_layers()  # has begun it itself: no panel was shown
    assert sys.modules[module].thread.name == "cryodeco imports"
    sys.modules[module].thread.join(30)
    assert gc.isenabled()


@pytest.mark.parametrize("error", ["OSError('a DLL')", "ImportError", "SyntaxError('broken')"])
def test_nobody_waits_for_what_cannot_be_imported(module, tmp_path, monkeypatch, error):
    (tmp_path / "breaks.py").write_text(f"raise {error}\n")
    monkeypatch.setattr(importing, "FOR_RUNS", ("breaks",))
    importing.wait_for_runs()
    importing.wait_for_layers()


def test_napari_may_import_scipy_for_its_camera_meanwhile():
    # the GUI thread's import and ours wait for each other in no order that they come in
    code = (
        "import threading\n"
        "from napari_cryodeco.gui import importing\n"
        "importing.FOR_RUNS = importing.FOR_RUNS[:1]\n"
        "importing.import_ahead()\n"
        "from scipy.spatial.transform import Rotation\n"
        "importing.wait_for_runs()\n"
        "from scipy.spatial import cKDTree"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_nothing_of_it_imports_triton_or_healpy():
    # triton ends windows on software OpenGL; healpy brings astropy and a second of waiting.
    names = importing.FOR_RUNS + importing.FOR_LAYERS
    code = (
        "import importlib, sys\n"
        f"[importlib.import_module(name) for name in {names!r}]\n"
        "sys.exit(str({'triton', 'torch._dynamo', 'healpy', 'umap', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "set()"
