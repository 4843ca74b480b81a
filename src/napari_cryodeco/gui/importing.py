"""Imports ahead what opening a run needs, while the user still looks for one.

torch alone takes two seconds: a window that imports it when a run is opened is empty for so long.
"""

from __future__ import annotations

import importlib
import threading
from contextlib import suppress

from napari_cryodeco.gui.background import end_before_exit

# in the order in which a run is opened: its latents, their columns, a map, and napari's first layer
NEEDED = (
    "torch",
    "napari_cryodeco.explore.epochs",
    "napari_cryodeco.explore.landscape",
    "napari_cryodeco.explore.shelf",
    "napari_cryodeco.explore.columns",
    "napari_cryodeco.explore.decoders",
    "pandas",
    "scipy.spatial",
)

_begun = threading.Event()
_ended = threading.Event()


def import_ahead() -> None:
    """Begin to import, once a process, on a thread of its own; whoever needs a module waits."""
    if _begun.is_set():
        return
    _begun.set()
    thread = threading.Thread(target=_import_all, name="cryodeco imports", daemon=True)
    end_before_exit(thread, _ended.set)
    thread.start()


def _import_all() -> None:
    for name in NEEDED:
        if _ended.is_set():
            return
        with suppress(ImportError):  # whoever needs it says so in a sentence
            importlib.import_module(name)
