"""What a drawn range does with the selection, by button or by the keys held."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt

OPERATIONS = ("replace", "add", "subtract", "intersect")

_Modifier = Qt.KeyboardModifier


def operation_of(modifiers: Any, otherwise: str) -> str:
    """Shift adds, Alt or Ctrl subtracts, both intersect; without a key it is `otherwise`.

    Ctrl stands for Alt where the desktop keeps Alt for moving windows.
    """
    add = bool(modifiers & _Modifier.ShiftModifier)
    subtract = bool(modifiers & (_Modifier.AltModifier | _Modifier.ControlModifier))
    if add and subtract:
        return "intersect"
    return "add" if add else "subtract" if subtract else otherwise
