"""A mesh whose triangles change keeps its compiled shader: on software OpenGL half of each drawing.

vispy has no switch for it, and napari no way to the node of a layer: what is private to them and
used here is used here only. Where they have changed, meshes are drawn as before, more slowly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Surface


def keep_shader(viewer: Viewer, layer: Surface) -> bool:
    """Compile the shader of a layer in a viewer anew only for other colours; whether that works.

    vispy makes another, equal function that colours the mesh for all new data, and so compiles.
    """
    window = getattr(getattr(viewer, "window", None), "_qt_viewer", None)
    visuals = getattr(getattr(window, "canvas", None), "layer_to_visual", {})
    node = getattr(visuals.get(layer), "node", None)
    makes = getattr(node, "_build_color_transform", None)
    if node is None or makes is None or not hasattr(node, "_clim_values"):
        return False
    node.unfreeze()
    node._build_color_transform = _Steady(node, makes)
    node.freeze()
    return True


class _Steady:
    """Gives the function made last for as long as it would be the same."""

    def __init__(self, node: Any, makes: Callable[[Any], Any]) -> None:
        self._node, self._makes = node, makes
        self._key: tuple[Any, ...] | None = None
        self._made: Any = None

    def __call__(self, colours: Any) -> Any:
        low, high = self._node._clim_values
        key = (colours.shape[1:], float(low), float(high), self._node.cmap.glsl_map)
        if key != self._key:
            self._key, self._made = key, self._makes(colours)
        return self._made
