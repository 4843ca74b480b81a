"""napari's camera for the headless renderer, so that a movie looks as the window does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_cryodeco.explore.render import View


def camera_of(viewer: Any) -> Any:
    """The camera of a viewer; napari ≥ 0.9 has it on the scene."""
    return getattr(viewer, "scene", viewer).camera


def camera_rotation(viewer: Any) -> np.ndarray:
    """Rotation ``(3, 3)`` whose rows are the picture's right, up and towards the viewer, in xyz.

    napari's directions are zyx. Right is what makes the three right-handed, whatever handedness the
    window shows: a movie never mirrors the molecule.
    """
    camera = camera_of(viewer)
    forward = np.array(camera.view_direction, dtype=float)[::-1]
    up = np.array(camera.up_direction, dtype=float)[::-1]
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(right, forward), -forward])


def camera_view(viewer: Any) -> View:
    """Where the window's camera stands; what it sees fills the shorter side of the canvas."""
    from napari_cryodeco.explore.render import View  # torch, which an open run has loaded

    camera = getattr(viewer, "scene", viewer).camera
    centre = np.array(camera.center, dtype=float)[::-1]
    return View(camera_rotation(viewer), centre, _extent(viewer, float(camera.zoom)))


def canvas_size(viewer: Any) -> tuple[int, int] | None:
    """Width and height in pixels; None where there is no canvas (no public way to its size)."""
    window = getattr(getattr(viewer, "window", None), "_qt_viewer", None)
    canvas = getattr(window, "canvas", None)
    if canvas is None or not min(canvas.size) > 0:
        return None
    height, width = canvas.size
    return int(width), int(height)


def shorter_side(viewer: Any) -> float | None:
    """Of the canvas, in pixels; None where there is no canvas."""
    size = canvas_size(viewer)
    return None if size is None else float(min(size))


def _extent(viewer: Any, zoom: float) -> float | None:
    """Å across the canvas."""
    side = shorter_side(viewer)
    return side / zoom if side is not None and zoom > 0 else None
