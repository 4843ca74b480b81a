"""What opening a run needs is imported ahead: once, off the GUI thread, and without triton."""

from __future__ import annotations

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
    monkeypatch.setattr(importing, "NEEDED", ("no_such_module", "needed_ahead"))
    monkeypatch.setattr(importing, "_begun", threading.Event())
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


def test_nothing_of_it_imports_triton_or_healpy():
    # triton ends windows on software OpenGL; healpy brings astropy and a second of waiting.
    code = (
        "import importlib, sys\n"
        f"[importlib.import_module(name) for name in {importing.NEEDED!r}]\n"
        "sys.exit(str({'triton', 'torch._dynamo', 'healpy', 'umap', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "set()"
