"""How the camera turns over a movie: not, round, or to either side; how far, and about what."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QWidget

from napari_cryodeco.explore.turning import Axis, Turn

STILL, SPIN, WIGGLE = "still", "spin", "wiggle"
USUAL = {SPIN: 360.0, WIGGLE: 40.0}  # degrees
ABOUT: dict[str, Axis] = {
    "upright axis": "vertical",
    "level axis": "horizontal",
    "line of sight": "sight",
}


class TurnEditor(QWidget):
    """Kind, degrees, axis."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = QComboBox()
        self.degrees = QDoubleSpinBox()
        self.axis = QComboBox()
        self.kind.addItems([STILL, SPIN, WIGGLE])
        self.kind.setToolTip(
            "<qt>Still: the camera stays. Spin: the molecule turns through these degrees while it "
            "moves. Wiggle: to either side and back.</qt>"
        )
        self.degrees.setRange(-3600, 3600)
        self.degrees.setDecimals(0)
        self.degrees.setSingleStep(10)
        self.degrees.setSuffix("°")
        self.degrees.setToolTip(
            "<qt>Degrees over the whole movie; of a wiggle, from one side to the other. Negative "
            "turns the other way.</qt>"
        )
        self.axis.addItems(list(ABOUT))
        self.axis.setToolTip("What it turns about, as the camera of the window stands now")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for widget in (self.kind, self.degrees, self.axis):
            row.addWidget(widget, 1)
        self.kind.currentTextChanged.connect(self._kind_chosen)
        self._kind_chosen(STILL)

    def turn(self) -> Turn:
        """What is chosen."""
        kind = self.kind.currentText()
        if kind == STILL:
            return Turn()
        return Turn(self.degrees.value(), ABOUT[self.axis.currentText()], kind == WIGGLE)

    def _kind_chosen(self, kind: str) -> None:
        for widget in (self.degrees, self.axis):
            widget.setEnabled(kind != STILL)
        self.degrees.setValue(USUAL.get(kind, 0.0))
