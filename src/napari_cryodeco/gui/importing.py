"""Imports ahead what opening a run needs, while the user still looks for one.

torch alone takes two seconds: a window that imports it when a run is opened is empty for so long.
"""

from __future__ import annotations

import gc
import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from napari_cryodeco.gui.background import end_before_exit

# In the order in which a run is opened: its latents, their columns, a map; then napari's first
# layer. What napari imports, too, is named as napari names it, and comes before a thread of ours
# can ask for it by another name: of two threads that lock a package and a module in it in opposite
# orders, one gets an error.
FOR_RUNS = (
    "scipy.spatial.transform",
    "torch",
    "napari_cryodeco.explore.epochs",
    "napari_cryodeco.explore.landscape",
    "napari_cryodeco.explore.shelf",
    "napari_cryodeco.explore.columns",
    "napari_cryodeco.explore.decoders",
)
FOR_LAYERS = ("pandas",)

_begun = threading.Event()
_ended = threading.Event()  # the process is about to end
_runs_ready, _layers_ready = threading.Event(), threading.Event()


def import_ahead() -> None:
    """Begin to import, once a process, on a thread of its own; whoever needs a module waits."""
    if _begun.is_set():
        return
    _begun.set()
    thread = threading.Thread(target=_import_all, name="cryodeco imports", daemon=True)
    end_before_exit(thread, _ended.set)
    thread.start()


def wait_for_runs() -> None:
    """Wait until what reading a run needs is imported; not for the GUI thread."""
    import_ahead()
    _runs_ready.wait()


def wait_for_layers() -> None:
    """Wait until what napari's first layer needs is imported, too; not for the GUI thread.

    The GUI thread, which makes the layer, then does not import it.
    """
    import_ahead()
    _layers_ready.wait()


def _import_all() -> None:
    with _nothing_collected():
        for names, ready in ((FOR_RUNS, _runs_ready), (FOR_LAYERS, _layers_ready)):
            for name in names:
                if not _ended.is_set():
                    with suppress(Exception):  # whoever needs it gets the error, too
                        importlib.import_module(name)
            ready.set()


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Look for no garbage meanwhile: what is imported stays, and to look takes a third of the time.

    Then once, or it would be while the GUI thread makes the first layer.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
            gc.collect()
