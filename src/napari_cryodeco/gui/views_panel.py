"""The Views panel: the particles seen other ways, linked to the Explorer's selection and mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from napari_cryodeco.gui.direction_view import DirectionView
from napari_cryodeco.gui.docking import Scrolled
from napari_cryodeco.gui.micrograph_view import MicrographView
from napari_cryodeco.gui.montage_view import MontageView
from napari_cryodeco.gui.session import session_of

if TYPE_CHECKING:
    from napari import Viewer


class ViewsPanel(QWidget):
    """A tab a view; only the one in front reads anything."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        session = session_of(viewer)
        self.directions = DirectionView(session)
        self.micrographs = MicrographView(session)
        self.montage = MontageView(session)
        self.tabs = QTabWidget()
        hints = (
            (self.directions, "Directions", "Where the particles are seen from"),
            (self.micrographs, "Micrographs", "Which micrographs they come from"),
            (self.montage, "Images", "What they look like, one by one and averaged"),
        )
        for place, (view, name, hint) in enumerate(hints):
            self.tabs.addTab(view, name)
            self.tabs.setTabToolTip(place, hint)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(Scrolled(self.tabs))
