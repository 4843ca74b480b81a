"""What users are told: what their data forbid, and what a control is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt

if TYPE_CHECKING:
    from qtpy.QtWidgets import QLabel, QWidget


def attempt(act: Callable[[], object], tell: Callable[[str], object]) -> bool:
    """Do something; `tell` gets why it could not be done, or ``""`` once it is done."""
    try:
        act()
    except (ValueError, OSError) as error:
        tell(str(error))
        return False
    tell("")
    return True


def readable(label: QLabel) -> None:
    """Let a sentence wrap, and be copied by the mouse."""
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)


def explain(hints: Mapping[QWidget, str]) -> None:
    """Give controls their tooltips; as rich text, which Qt wraps."""
    for widget, hint in hints.items():
        widget.setToolTip(f"<qt>{hint}</qt>")
