"""Tools of the scatter plot and the selection: mouse mode, lasso operation, history, count."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QSize, Signal
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.gui.icons import icon
from napari_cryodeco.gui.operations import OPERATIONS
from napari_cryodeco.gui.scatter import Mode

_MODES = {
    Mode.POINT: "Point (P): click or drag to decode the map of that place",
    Mode.LASSO: "Lasso (L): draw around particles to select them; a click decodes the place",
    Mode.PAN: "Pan (H): drag to move the view. Middle or right button, or Space, pans at any time; "
    "the wheel zooms",
}
_OPERATIONS = {
    "replace": "Select what is inside the lasso, instead of what was selected",
    "add": "Add what is inside the lasso (or hold Shift)",
    "subtract": "Take what is inside the lasso away (or hold Alt or Ctrl)",
    "intersect": "Keep only what is inside the lasso too (or hold Shift and Alt)",
}
_STEPS = {
    "undo": "Undo the last selection step (Ctrl+Z)",
    "redo": "Redo (Ctrl+Shift+Z)",
    "invert": "Invert: select exactly what is not selected (Ctrl+I)",
    "all": "Select all particles (Ctrl+A)",
    "clear": "Select nothing (Ctrl+D)",
}


class SelectionBar(QWidget):
    """Buttons in one row, and under them how many particles are selected."""

    mode_chosen = Signal(str)
    operation_chosen = Signal(str)
    step_chosen = Signal(str)  # undo, redo, invert, all, clear
    fit_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._buttons: dict[str, QToolButton] = {}
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(1)
        self._add_group(row, {m.value: tip for m, tip in _MODES.items()}, self.mode_chosen)
        self._add_button(row, "fit", "Fit (F): show all particles").clicked.connect(
            lambda: self.fit_asked.emit()
        )
        row.addWidget(_divider())
        self._add_group(row, _OPERATIONS, self.operation_chosen)
        row.addWidget(_divider())
        for name, tip in _STEPS.items():
            button = self._add_button(row, name, tip)
            button.clicked.connect(lambda _=False, name=name: self.step_chosen.emit(name))
        row.addStretch(1)
        self._count = QLabel()
        self._count.setToolTip("Selected particles of all, whether or not they are in view")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self._count)
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


def _divider() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.VLine)
    line.setFixedWidth(9)
    return line
