"""napari's camera for the headless renderer, so that a movie looks as the window does."""

from __future__ import annotations

from typing import Any

import numpy as np


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
