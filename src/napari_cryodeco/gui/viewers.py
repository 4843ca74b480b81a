"""napari's viewer behind the proxy that plugins are given."""

from __future__ import annotations

from typing import Any


def lasting(viewer: Any) -> Any:
    """The viewer itself: the proxy that napari hands to plugins does not last."""
    return getattr(viewer, "__wrapped__", viewer)
