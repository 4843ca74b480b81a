"""What the particles say of the decoded map: two sentences, a warning, and curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_cryodeco.gui.curves import CurvePlot, Series
from napari_cryodeco.gui.telling import readable

if TYPE_CHECKING:
    from napari_cryodeco.explore.evidence import Verdict


class EvidenceView(QWidget):
    """Empty until there is something to say."""

    def __init__(self) -> None:
        super().__init__()
        self.result = QLabel()
        self.warning = QLabel()
        self.warning.setStyleSheet("color: #E69F00;")
        self.warning.setToolTip(
            "<qt>Comes when the half-maps agree to a resolution 1.5 times finer than the decoded "
            "map does, or when the views leave a fifth of Fourier space empty.</qt>"
        )
        for label in (self.result, self.warning):
            readable(label)
        self.plot = CurvePlot(
            "spatial frequency (1/Å)",
            "FSC",
            "Fourier shell correlation of the half-maps, and of the decoded map with the "
            "particles: comes with the reconstruction",
        )
        self.plot.setMinimumHeight(150)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.result)
        column.addWidget(self.warning)
        column.addWidget(self.plot, 1)
        self.clear()

    def clear(self) -> None:
        """Forget what was found."""
        self.result.hide()
        self.warning.hide()
        self.plot.show_series()

    def show_verdict(self, verdict: Verdict) -> None:
        """Show what was found."""
        # imports torch, which the work has loaded by now
        from napari_cryodeco.explore.backprojection import HALVES_AGREE, MAPS_AGREE

        self.result.setText(" ".join(verdict.sentences))
        self.result.show()
        self.result.setToolTip(
            f"<qt>{verdict.chosen.source}, epoch {verdict.epoch}. {verdict.note}</qt>"
        )
        self.warning.setText(verdict.warning)
        self.warning.setVisible(bool(verdict.warning))
        self.plot.mark(HALVES_AGREE, MAPS_AGREE)
        half_maps = Series("half-maps", verdict.frequencies, verdict.particles.fsc)
        if verdict.decoded_fsc is None:
            self.plot.show_series(half_maps)
        else:  # blue and orange, as the layers are
            decoded = Series("decoded map", verdict.frequencies, verdict.decoded_fsc)
            self.plot.show_series(decoded, half_maps)
        self.plot.setToolTip(
            f"<qt>Fourier shell correlation over spatial frequency in 1/Å. Dashed: {HALVES_AGREE} "
            f"(half-maps) and {MAPS_AGREE} (the decoded map with the particles). "
            f"{verdict.note}</qt>"
        )
