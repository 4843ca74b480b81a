"""What napari calls: one function per widget of the manifest, each importing its panel when asked.

They take no viewer (napari gives one to classes only) and ask for the one whose window is in front.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import napari

from napari_cryodeco.gui.docking import Berth
from napari_cryodeco.gui.wheel import CalmWheel

if TYPE_CHECKING:
    from napari import Viewer
    from qtpy.QtWidgets import QWidget

PLUGIN = "napari-cryodeco"


def reconstruct_widget() -> QWidget:
    """Make the Reconstruct panel: choose, train, watch."""
    from napari_cryodeco.gui.reconstruct_panel import ReconstructPanel

    panel = ReconstructPanel()
    panel.explore_requested.connect(open_explorer)
    return _docked(panel, "right")


def explorer_widget() -> QWidget:
    """Make the Explorer panel: scatter, lasso, live map."""
    from napari_cryodeco.gui.explorer_panel import ExplorerPanel

    return _docked(ExplorerPanel(_viewer()), "right")


def movie_widget() -> QWidget:
    """Make the Movie panel: a path through z as moving map and as files."""
    from napari_cryodeco.gui.movie_panel import MoviePanel

    return _docked(MoviePanel(_viewer()), "left")


def export_widget() -> QWidget:
    """Make the Export panel: particles, maps, whole runs."""
    from napari_cryodeco.gui.export_panel import ExportPanel

    return _docked(ExportPanel(_viewer()), "left")


def evidence_widget() -> QWidget:
    """Make the Evidence panel: the map of some particles themselves, beside the decoded one."""
    from napari_cryodeco.gui.evidence_panel import EvidencePanel

    return _docked(EvidencePanel(_viewer()), "left")


def views_widget() -> QWidget:
    """Make the Views panel: viewing directions, micrographs and images, linked to the Explorer."""
    from napari_cryodeco.gui.views_panel import ViewsPanel

    return _docked(ViewsPanel(_viewer()), "left")


def compare_widget() -> QWidget:
    """Make the Compare panel: the difference of two groups' maps, the maps of all clusters."""
    from napari_cryodeco.gui.compare_panel import ComparePanel

    return _docked(ComparePanel(_viewer()), "left")


def align_widget() -> QWidget:
    """Make the Align panel: one map laid over another, either hand."""
    from napari_cryodeco.gui.align_panel import AlignPanel

    return _docked(AlignPanel(_viewer()), "left")


def foreign_widget() -> QWidget:
    """Make the panel Other programs: latents computed elsewhere become a run."""
    from napari_cryodeco.gui.foreign_panel import ForeignPanel

    panel = ForeignPanel()
    panel.adopted.connect(open_explorer)
    return _docked(panel, "left")


def open_foreign(source: Path) -> None:
    """Show the panel Other programs of the front viewer with latents to open."""
    _, panel = _viewer().window.add_plugin_dock_widget(PLUGIN, "Other programs")
    panel.show_source(source)


def open_explorer(run: Path) -> None:
    """Show the Explorer of the front viewer on a run."""
    _, panel = _viewer().window.add_plugin_dock_widget(PLUGIN, "Explorer")
    panel.open_run(run)


def _docked(panel: QWidget, area: str) -> QWidget:
    Berth(panel, area, _viewer().window._qt_window)  # no public way to the QMainWindow
    CalmWheel(panel)
    return panel


def _viewer() -> Viewer:
    viewer = napari.current_viewer()
    if viewer is None:
        raise RuntimeError("There is no napari window: start napari first.")
    return viewer
