"""The maps that a viewer has: layers of files, and those that this plugin shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from napari_cryodeco.gui.layers import corner_of, map_view_of, particles_view_of

if TYPE_CHECKING:
    from napari import Viewer

Place = tuple[float, ...]


def maps_in(viewer: Viewer) -> dict[str, tuple[np.ndarray, float, Place]]:
    """Data, voxel size (Å) and place of voxel 0 of every map in the viewer, by layer name."""
    found: dict[str, tuple[np.ndarray, float, Place]] = {}
    for layer in viewer.layers:
        if isinstance(layer, Image) and layer.ndim == 3 and not layer.rgb:
            shape, scale = layer.data.shape, np.asarray(layer.scale)
            if len(set(shape)) == 1 and np.allclose(scale, scale[0]) and shape[0] > 1:
                place = tuple(float(value) for value in layer.translate)
                found[layer.name] = (layer.data, float(scale[0]), place)
    for view in (map_view_of(viewer), particles_view_of(viewer)):
        if view.layer is not None and (shown := view.shown) is not None:  # meshes: software OpenGL
            place = tuple(float(value) for value in corner_of(*shown))
            found[view.layer.name] = (*shown, place)
    return found
