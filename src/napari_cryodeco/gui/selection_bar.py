"""Tools of the scatter plot and the selection: mouse mode, lasso operation, history, count."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QSize, Signal
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_cryodeco.gui.icons import icon
from napari_cryodeco.gui.operations import OPERATIONS
from napari_cryodeco.gui.scatter import Mode

_MODES = {
    Mode.POINT: "Point (P): click or drag to decode the map of that place",
    Mode.LASSO: "Lasso (L): draw around particles to select them; a click decodes the place",
    Mode.BOX: "Box (B): drag from corner to corner to select what is inside",
    Mode.POLYGON: "Polygon (G): click corner by corner; a double click, Enter, or a click on the "
    "first corner ends it; Backspace takes a corner back, Escape gives it up",
    Mode.PICK: "Pick (C): click a particle to select its whole cluster, or all of its class where "
    "the colours are classes",
    Mode.PATH: "Path (T): click points to join, or drag to draw a curve; Backspace takes the last "
    "point back. The Movie panel joins them along the particles, decodes and saves the path",
    Mode.PAN: "Pan (H): drag to move the view. Middle or right button, or Space, pans at any time; "
    "the wheel zooms",
}
_OPERATIONS = {
    "replace": "Replace: select what you draw, pick or brush, instead of what was selected",
    "add": "Add what you draw, pick or brush (or hold Shift)",
    "subtract": "Take away what you draw, pick or brush (or hold Alt or Ctrl)",
    "intersect": "Keep only what you draw, pick or brush too (or hold Shift and Alt)",
}
_STEPS = {
    "undo": "Undo the last selection step (Ctrl+Z); every step is listed under Selections",
    "redo": "Redo (Ctrl+Shift+Z)",
    "grow": "Grow (]): select the ten nearest neighbours in z of each selected particle too; of "
    "nothing selected, those of the particle at the cursor",
    "shrink": "Shrink ([): deselect particles that have a neighbour in z that is not selected",
    "invert": "Invert: select exactly what is not selected (Ctrl+I)",
    "all": "Select all particles (Ctrl+A)",
    "clear": "Select nothing (Ctrl+D)",
}


class SelectionBar(QWidget):
    """Two rows: what the mouse does, and what is done with the selection, with its count."""

    mode_chosen = Signal(str)
    operation_chosen = Signal(str)
    step_chosen = Signal(str)  # undo, redo, grow, shrink, invert, all, clear
    fit_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._buttons: dict[str, QToolButton] = {}
        tools, steps = _row(), _row()
        self._add_group(tools, {m.value: tip for m, tip in _MODES.items()}, self.mode_chosen)
        self._add_button(tools, "fit", "Fit (F): show all particles").clicked.connect(
            lambda: self.fit_asked.emit()
        )
        tools.addWidget(_divider())
        self._add_group(tools, _OPERATIONS, self.operation_chosen)
        tools.addStretch(1)
        for name, tip in _STEPS.items():
            button = self._add_button(steps, name, tip)
            button.clicked.connect(lambda _=False, name=name: self.step_chosen.emit(name))
        self._count = QElidingLabel()
        self._count.setToolTip("Selected particles of all, whether or not they are in view")
        steps.addSpacing(6)
        steps.addWidget(self._count, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(tools)
        column.addLayout(steps)
        self.setStyleSheet("QToolButton:checked { background-color: palette(highlight); }")
        self.set_mode(Mode.POINT)
        self.set_operation("replace")
        self._draw_icons()

    def button(self, name: str) -> QToolButton:
        """The button of a mode, an operation or a step."""
        return self._buttons[name]

    def set_mode(self, mode: str) -> None:
        """Show which mode the mouse is in."""
        self._buttons[Mode(mode).value].setChecked(True)

    def set_operation(self, operation: str) -> None:
        """Show what a lasso does: one of replace, add, subtract, intersect."""
        self._buttons[OPERATIONS[OPERATIONS.index(operation)]].setChecked(True)

    def set_count(self, count: int, total: int, drawing: bool = False) -> None:
        """Show how many are selected, or would be if the lasso being drawn ended here."""
        share = f" ({100 * count / total:.1f} %)" if total else ""
        words = "would be selected" if drawing else "selected"
        self._count.setText(f"{count:,} of {total:,}{share} {words}" if total else "")

    @property
    def count_text(self) -> str:
        """What is shown as count."""
        return self._count.text()

    def set_history(self, can_undo: bool, can_redo: bool) -> None:
        """Show whether there is anything to undo or redo."""
        self._buttons["undo"].setEnabled(can_undo)
        self._buttons["redo"].setEnabled(can_redo)

    def _add_group(self, row: QHBoxLayout, tips: dict[str, str], chosen: Signal) -> None:
        group = QButtonGroup(self)
        for name, tip in tips.items():
            button = self._add_button(row, name, tip)
            button.setCheckable(True)
            group.addButton(button)
            button.clicked.connect(lambda _=False, name=name: chosen.emit(name))

    def _add_button(self, row: QHBoxLayout, name: str, tip: str) -> QToolButton:
        button = QToolButton(self)
        button.setToolTip(tip)
        button.setAccessibleName(tip.split(":")[0].split("(")[0].strip())
        button.setIconSize(QSize(18, 18))
        button.setFixedSize(27, 27)
        self._buttons[name] = button
        row.addWidget(button)
        return button

    def changeEvent(self, event: QEvent) -> None:
        """Draw the icons anew when the theme changes."""
        kinds = (QEvent.Type.PaletteChange, QEvent.Type.StyleChange, QEvent.Type.EnabledChange)
        if event.type() in kinds:
            self._draw_icons()
        super().changeEvent(event)

    def _draw_icons(self) -> None:
        colour = self.palette().color(QPalette.ColorGroup.Active, QPalette.ColorRole.WindowText)
        for name, button in self._buttons.items():
            button.setIcon(icon(name, colour))


def _row() -> QHBoxLayout:
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(1)
    return row


def _divider() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.VLine)
    line.setFixedWidth(9)
    return line
