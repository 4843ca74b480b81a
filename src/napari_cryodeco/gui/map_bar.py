"""What is decoded into the map, at which level, and how that goes."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
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
    """Two rows of controls and a line of text."""

    target_chosen = Signal(str)
    cluster_chosen = Signal(int)  # from 0
    level_chosen = Signal(float)  # σ
    auto_asked = Signal()

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
        self.cluster.setToolTip("Which cluster's centre is decoded (as in the legend)")
        self.level = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.level.setRange(LOWEST, HIGHEST)
        self.level.setDecimals(2)
        self.level.setValue(3.0)
        self.level.setToolTip(
            "Height of the isosurface, σ of the map above its mean; stays as it is from map to map"
        )
        self.auto = QPushButton("Auto")
        self.auto.setToolTip("Set a level between solvent and molecule of this map")
        self.status = QElidingLabel("")
        self.status.setToolTip("Resolution of the map shown, the time it took, and where it ran")
        self._lay_out()
        self.target.activated.connect(lambda _: self.target_chosen.emit(self.target.currentData()))
        self.cluster.valueChanged.connect(lambda value: self.cluster_chosen.emit(value - 1))
        self.level.valueChanged.connect(self.level_chosen)
        self.auto.clicked.connect(lambda: self.auto_asked.emit())

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        for place, (text, widgets) in enumerate(
            (("Map of", (self.target, self.cluster)), ("Level (σ)", (self.level, self.auto)))
        ):
            label = QLabel(text)
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            line = QHBoxLayout()
            for widget in widgets:
                line.addWidget(widget)
            grid.addWidget(label, place, 0)
            grid.addLayout(line, place, 1)
        grid.addWidget(self.status, 2, 0, 1, 2)
        grid.setColumnStretch(1, 1)

    def show_target(self, target: Target, cluster: int, clusters: int) -> None:
        """Show what is decoded; clusters count from 0, there may be none."""
        self.target.setCurrentIndex(self.target.findData(target.value))
        self.cluster.blockSignals(True)
        self.cluster.setMaximum(max(clusters, 1))
        self.cluster.setValue(cluster + 1)
        self.cluster.blockSignals(False)
        self.cluster.setVisible(target is Target.CLUSTER)
        self.cluster.setEnabled(clusters > 0)

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
