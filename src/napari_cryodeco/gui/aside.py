"""Layers that are hidden while something else stands in their place."""

from __future__ import annotations

import weakref
from collections.abc import Container
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari import Viewer


class Aside:
    """Hides 3-D layers of a viewer, and shows them again."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = weakref.ref(viewer)
        self._hidden: list[Any] = []

    def put(self, keep: Container[Any]) -> None:
        """Hide every visible layer but those to `keep`."""
        viewer = self._viewer()
        for layer in () if viewer is None else viewer.layers:
            if layer.ndim == 3 and layer.visible and layer not in keep:
                layer.visible = False
                self._hidden.append(layer)

    def back(self) -> None:
        """Show again what was hidden and is still there."""
        viewer, hidden = self._viewer(), self._hidden
        self._hidden = []
        for layer in hidden:
            if viewer is not None and layer in viewer.layers:
                layer.visible = True
