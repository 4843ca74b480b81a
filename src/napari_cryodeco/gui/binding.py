"""Connections from the session to a widget that end with the widget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psygnal import SignalInstance
from qtpy.QtCore import QObject


def bind(owner: QObject, *pairs: tuple[Any, Callable[..., Any]]) -> None:
    """Connect signals of a session, or of napari, to methods of a Qt object until it is destroyed.

    A session lives as long as its viewer; a panel may be closed before.
    """
    for signal, slot in pairs:
        signal.connect(slot)

    def unbind() -> None:
        for signal, slot in pairs:
            if isinstance(signal, SignalInstance):
                signal.disconnect(slot, missing_ok=True)
            else:
                signal.disconnect(slot)

    owner.destroyed.connect(unbind)
