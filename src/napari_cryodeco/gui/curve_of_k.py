"""BIC and silhouette over the number of clusters, as two small plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_cryodeco.gui.curves import CurvePlot, Series

if TYPE_CHECKING:
    from napari_cryodeco.explore.landscape import ClusterCurve


class CurveOfK(QWidget):
    """Hidden until there is a curve; takes the room of a few lines then, until it is closed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.close_button = QPushButton("Close")
        self.close_button.setToolTip("Take the two plots away; k keeps its value")
        self.bic = CurvePlot("clusters k", "ΔBIC (thousands)")
        self.bic.setToolTip(
            "<qt>Bayesian information criterion of a Gaussian mixture over its number of clusters, "
            "less its lowest value, in thousands: lower is better. It counts Gaussian lumps: for a "
            "curved motion it keeps falling, so look for the bend.</qt>"
        )
        self.silhouette = CurvePlot("clusters k", "silhouette")
        self.silhouette.setToolTip(
            "<qt>Mean silhouette (−1 to 1) over the number of clusters: how much nearer a particle "
            "is to its own cluster than to the next; higher is better. It has no value at k = 1, "
            "where it is drawn as 0.</qt>"
        )
        top = QHBoxLayout()
        top.addWidget(self.words, 1)
        top.addWidget(self.close_button)
        plots = QHBoxLayout()
        plots.addWidget(self.bic)
        plots.addWidget(self.silhouette)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(top)
        column.addLayout(plots)
        self.close_button.clicked.connect(self.hide)
        self.hide()

    def show_curve(self, curve: ClusterCurve) -> None:
        """Show the scores of every number of clusters that was tried."""
        best = int(curve.k[int(np.argmax(curve.silhouette))])
        self.words.setText(
            f"Lowest BIC: k = {curve.suggested}, taken over. Highest silhouette: k = {best}."
        )
        k = curve.k.astype(float)
        self.bic.show_series(Series("BIC", k, (curve.bic - curve.bic.min()) / 1000))
        self.silhouette.show_series(Series("silhouette", k, curve.silhouette))
        self.show()
