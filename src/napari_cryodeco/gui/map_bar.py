"""What is decoded into the map, at which level, and how that goes."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QWidget,
)
from superqt import QElidingLabel, QLabeledDoubleSlider

from napari_cryodeco.gui.decoding import Decoded
from napari_cryodeco.gui.map_filter import MapFilter
from napari_cryodeco.gui.session import Target

LOWEST, HIGHEST = 0.5, 12.0

TARGETS = {
    Target.POINT: ("Cursor: mean of neighbours", "Mean z of the particles nearest to the cursor"),
    Target.PARTICLE: ("Cursor: nearest particle", "z of the one particle nearest to the cursor"),
    Target.MEAN: ("Selection: mean z", "Mean z of the selected particles"),
    Target.MEDOID: ("Selection: medoid", "z of the selected particle nearest to their mean"),
    Target.CLUSTER: ("Cluster centre", "Mean z of a cluster's particles"),
}


class MapBar(QWidget):
    """Three rows of controls and a line of text."""

    target_chosen = Signal(str)
    cluster_chosen = Signal(int)  # from 0
    level_chosen = Signal(float)  # σ
    auto_asked = Signal()
    filter_chosen = Signal(object)  # MapFilter

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.target = QComboBox()
        self.target.setToolTip("Which latent point is decoded into the map in the viewer")
        self.target.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        for place, (target, (text, tip)) in enumerate(TARGETS.items()):
            self.target.addItem(text, target.value)
            self.target.setItemData(place, tip, Qt.ItemDataRole.ToolTipRole)
        self.cluster = QSpinBox()
        self.cluster.setPrefix("cluster ")
        self.cluster.setMinimum(1)
        self.level = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.level.setRange(LOWEST, HIGHEST)
        self.level.setDecimals(2)
        self.level.setValue(3.0)
        self.level.setToolTip(
            "Height of the isosurface, σ of the map above its mean; stays as it is from map to map"
        )
        self.auto = QPushButton("Auto")
        self.auto.setToolTip("Set a level between solvent and molecule of this map")
        self.low_pass = _number(0, 200, 1, " Å", "no low-pass")
        self.low_pass.setToolTip(
            "<qt>Low-pass: nothing finer than this resolution in Å is shown (soft edge of two "
            "shells); 0: everything. Of the decoded map and of movies, not of exported runs.</qt>"
        )
        self.b_factor = _number(-2000, 2000, 20, " Å²")
        self.b_factor.setPrefix("B ")
        self.b_factor.setToolTip(
            "<qt>B-factor in Å²: amplitudes at frequency s are multiplied by exp(−B s²/4). "
            "Negative sharpens, as in RELION; positive blurs; 0: as decoded. Sharpening also lifts "
            "noise: use it with a low-pass.</qt>"
        )
        self.status = QElidingLabel("")
        self.status.setToolTip("Resolution of the map shown, the time it took, and where it ran")
        self._lay_out()
        self.target.activated.connect(lambda _: self.target_chosen.emit(self.target.currentData()))
        self.cluster.valueChanged.connect(lambda value: self.cluster_chosen.emit(value - 1))
        self.level.valueChanged.connect(self.level_chosen)
        self.auto.clicked.connect(lambda: self.auto_asked.emit())
        for box in (self.low_pass, self.b_factor):
            box.valueChanged.connect(self._tell_filter)

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        rows: tuple[tuple[str, tuple[QWidget, ...]], ...] = (
            ("Map of", (self.target, self.cluster)),
            ("Filter", (self.low_pass, self.b_factor)),
            ("Level (σ)", (self.level, self.auto)),
        )
        for place, (text, widgets) in enumerate(rows):
            label = QLabel(text)
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            line = QHBoxLayout()
            for widget in widgets:
                line.addWidget(widget)
            grid.addWidget(label, place, 0)
            grid.addLayout(line, place, 1)
        grid.addWidget(self.status, 3, 0, 1, 2)
        grid.setColumnStretch(1, 1)

    def _tell_filter(self, _: float) -> None:
        self.filter_chosen.emit(MapFilter(self.low_pass.value() or None, self.b_factor.value()))

    def show_filter(self, chosen: MapFilter) -> None:
        """Show the filter without telling anyone."""
        for box, value in ((self.low_pass, chosen.low_pass or 0), (self.b_factor, chosen.b_factor)):
            box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(False)

    def show_target(self, target: Target, cluster: int, clusters: Sequence[str]) -> None:
        """Show what is decoded; clusters count from 0, there may be none. Their names are told."""
        self.target.setCurrentIndex(self.target.findData(target.value))
        self.cluster.blockSignals(True)
        self.cluster.setMaximum(max(len(clusters), 1))
        self.cluster.setValue(cluster + 1)
        self.cluster.blockSignals(False)
        self.cluster.setVisible(target is Target.CLUSTER)
        self.cluster.setEnabled(len(clusters) > 0)
        named = f": {clusters[cluster]}" if cluster < len(clusters) else ""
        self.cluster.setToolTip(f"Which cluster's centre is decoded (as in the legend){named}")

    def show_level(self, level: float) -> None:
        """Show the level without telling anyone."""
        self.level.blockSignals(True)
        self.level.setValue(level)
        self.level.blockSignals(False)

    def show_decoded(self, decoded: Decoded, resolution: float, whole: int) -> None:
        """Say what is on the screen.

        Parameters
        ----------
        decoded
            The map.
        resolution
            Of its Fourier radius, Å.
        whole
            Fourier radius of the full map.
        """
        radius = f"radius {decoded.radius}"
        if not decoded.full:
            radius += f" preview → full {whole}"
        where = f"{decoded.seconds:.2g} s on {decoded.device}"
        self.status.setText(f"{decoded.caption}: {radius}, {resolution:.1f} Å, {where}")


def _number(low: float, high: float, step: float, unit: str, none: str = "") -> QDoubleSpinBox:
    """A number that tells its value when it is whole, not after every digit."""
    box = QDoubleSpinBox()
    box.setRange(low, high)
    box.setSingleStep(step)
    box.setDecimals(1)
    box.setSuffix(unit)
    box.setKeyboardTracking(False)
    if none:
        box.setSpecialValueText(none)  # in place of the lowest value
    box.setValue(0)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box
