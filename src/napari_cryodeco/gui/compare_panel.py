"""The Compare panel: two maps together, their difference, what moves, and all clusters at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.difference_view import DifferenceView
from napari_cryodeco.gui.docking import Scrolled
from napari_cryodeco.gui.mosaic_view import MosaicView
from napari_cryodeco.gui.motion_view import MotionView
from napari_cryodeco.gui.overlay_view import OverlayView
from napari_cryodeco.gui.session import session_of

if TYPE_CHECKING:
    from napari import Viewer


class ComparePanel(QWidget):
    """Puts the parts into a page; what they made of another run goes with it."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._session = session_of(viewer)
        self._run_path: Path | None = None
        self.overlay, self.motion = OverlayView(viewer), MotionView(viewer)
        self.difference, self.mosaic = DifferenceView(viewer), MosaicView(viewer)
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(8, 8, 8, 8)
        for part in (self.overlay, self.difference, self.motion):
            column.addWidget(part)
        column.addWidget(self.mosaic, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(Scrolled(page))
        bind(self, (self._session.opened, self._run_opened))
        self._run_opened()

    def _run_opened(self, *_: object) -> None:
        run = self._session.run
        if run is not None and run.path != self._run_path:
            self._run_path = run.path
            for part in (self.overlay, self.difference, self.motion, self.mosaic):
                part.forget()
        self.overlay.list_sources()
        self.difference.list_groups()
        self.motion.list_ways()
        self.mosaic.refresh()
