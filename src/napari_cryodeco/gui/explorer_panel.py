"""The explorer: all particles in a plane, selections, and the map of where one points."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QKeySequence, QShortcut
from qtpy.QtWidgets import QFileDialog, QLabel, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.gui.analysis import Analysis
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.colouring import Categorical, by_column
from napari_cryodeco.gui.decoding import Decoded, DecodeThread, open_decoder
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.map_bar import MapBar
from napari_cryodeco.gui.named_selections import NamedSelections
from napari_cryodeco.gui.run_bar import RunBar
from napari_cryodeco.gui.run_loader import RunLoader
from napari_cryodeco.gui.scatter import Mode, ScatterWidget
from napari_cryodeco.gui.selection_bar import SelectionBar
from napari_cryodeco.gui.session import Cursor, Target, session_of
from napari_cryodeco.gui.snapshot import Snapshot, own_colourings
from napari_cryodeco.gui.view_bar import ViewBar
from napari_cryodeco.runs.paths import RunPaths

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.explore.landscape import ClusterCurve, Clustering, Projection

WELCOME = (
    "Open a run folder (button above), or drop one here, to see its particles.\n\n"
    "No run yet? Plugins → CryoDECO → Reconstruct trains one; File → Open Sample has data to try."
)


class ExplorerPanel(QWidget):
    """Binds the views (scatter, bars) to the session of a viewer and to its map layer.

    Parameters
    ----------
    viewer
        napari's viewer, in which the decoded map is shown.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.session = session_of(viewer)
        self._map = map_view_of(viewer)
        self.scatter = ScatterWidget()
        self.run_bar, self.view_bar = RunBar(), ViewBar()
        self.selection_bar, self.named = SelectionBar(), NamedSelections(self.session)
        self.map_bar, self.analysis = MapBar(), Analysis()
        self.message = QLabel()
        self.loader = RunLoader(self)
        self.decoding = DecodeThread(self)
        self._colour = "density"
        self._lay_out()
        self._connect_views()
        self._connect_session()
        self._add_shortcuts()
        self.setAcceptDrops(True)
        self._show_run()

    def _lay_out(self) -> None:
        self.scatter.empty_text = WELCOME
        self.message.setWordWrap(True)
        self.message.setVisible(False)
        lists = QCollapsible("Named selections", expandedIcon="▾", collapsedIcon="▸")
        lists.layout().setContentsMargins(0, 0, 0, 0)
        lists.setDuration(0)
        lists.setContent(self.named)
        lists.collapse(animate=False)  # room for the plot first
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        column.setSpacing(5)
        for widget in (self.run_bar, self.view_bar, self.selection_bar):
            column.addWidget(widget)
        column.addWidget(self.scatter, 1)
        for widget in (lists, self.map_bar, self.analysis, self.message):
            column.addWidget(widget)

    # ---- wiring

    def _connect_views(self) -> None:
        self.run_bar.open_asked.connect(self._ask_run)
        self.run_bar.epoch_chosen.connect(self.loader.choose_epoch)
        self.loader.loaded.connect(self._loaded)
        self.loader.columns_read.connect(self._show_colours)  # a thread asks: no lambda
        self.loader.told.connect(self.run_bar.show_status)
        self.loader.waiting.connect(self._show_waiting)
        self.loader.rested.connect(self.decoding.reopen)  # the GPU is free again
        self.loader.failed.connect(self._explain_empty)
        self.view_bar.view_chosen.connect(self._choose_view)
        self.view_bar.axes_chosen.connect(
            lambda x, y: self._try(lambda: self.session.set_view(self.session.view, (x, y)))
        )
        self.view_bar.colour_chosen.connect(self._choose_colour)
        self.view_bar.cluster_asked.connect(self._cluster)
        self.view_bar.suggestion_asked.connect(
            lambda: self._try(lambda: self.analysis.start_suggestion(self.session.loaded()))
        )
        self.analysis.suggested.connect(self._suggested)
        self.analysis.projected.connect(self._projected)
        self.analysis.clustered.connect(self._clustered)
        self.selection_bar.mode_chosen.connect(self.set_mode)
        self.selection_bar.operation_chosen.connect(self._set_operation)
        self.selection_bar.step_chosen.connect(self._step)
        self.selection_bar.fit_asked.connect(self.scatter.fit)
        self.scatter.pointed.connect(self.session.move_cursor)
        self.scatter.lassoed.connect(self._lassoed)
        self.scatter.counting.connect(self._show_count)
        self.scatter.category_clicked.connect(self._category_clicked)
        self.scatter.set_hover(self.session.describe)
        self.map_bar.target_chosen.connect(lambda t: self.session.set_target(Target(t)))
        self.map_bar.cluster_chosen.connect(
            lambda i: self.session.set_target(Target.CLUSTER, cluster=i)
        )
        self.map_bar.level_chosen.connect(self._map.set_level)
        self.map_bar.filter_chosen.connect(self.session.set_map_filter)
        self.map_bar.auto_asked.connect(lambda: self.map_bar.show_level(self._map.auto_level()))
        self.decoding.decoded.connect(self._show_decoded)
        for part in (self.loader, self.analysis, self.decoding, self.named):
            part.failed.connect(self.tell)

    def _connect_session(self) -> None:
        session = self.session
        bind(
            self,
            (session.opened, self._show_run),
            (session.views_changed, self._show_points),
            (session.colour_changed, self._show_colouring),
            (session.clustering_changed, self._show_colours),
            (session.cursor_changed, self._cursor_moved),
            (session.selection_changed, self._show_selection),
            (session.target_changed, self._target_changed),
            (session.path_changed, self._show_path),
            (session.path_position_changed, self.scatter.set_path_position),
        )

    def _add_shortcuts(self) -> None:
        keys = {
            "P": lambda: self.set_mode(Mode.POINT),
            "L": lambda: self.set_mode(Mode.LASSO),
            "H": lambda: self.set_mode(Mode.PAN),
            "F": self.scatter.fit,
            "Ctrl+Z": lambda: self._step("undo"),
            "Ctrl+Shift+Z": lambda: self._step("redo"),
            "Ctrl+I": lambda: self._step("invert"),
            "Ctrl+A": lambda: self._step("all"),
            "Ctrl+D": lambda: self._step("clear"),
        }
        for key, act in keys.items():
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)

    # ---- opening

    def open_run(self, path: Path) -> None:
        """Show the newest epoch of a run; if it has none yet, as soon as it has."""
        self.tell("")
        self.loader.open(Path(path))

    def _ask_run(self) -> None:
        start = str(self.session.run.path.parent) if self.session.run else ""
        chosen = QFileDialog.getExistingDirectory(self, "Open a run folder", start)
        if chosen:
            self.open_run(Path(chosen))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take a run folder."""
        if _dropped_run(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open the run folder dropped."""
        if (path := _dropped_run(event)) is not None:
            event.acceptProposedAction()
            self.open_run(path)

    def _loaded(self, snapshot: Snapshot) -> None:
        self.decoding.use(lambda: open_decoder(snapshot.run, snapshot.epoch))
        self.session.adopt(snapshot)
        if self.session.wanted() is None:
            self._point_at_middle()
        else:
            self._decode(full=True)

    def _point_at_middle(self) -> None:
        """Begin with the map in the middle of the particles: an empty canvas says nothing."""
        x, y = self.session.coordinates()
        self.session.move_cursor(float(np.nanmedian(x)), float(np.nanmedian(y)))

    def _show_waiting(self, path: Path) -> None:
        if self.session.run is None or self.session.run.path != path:
            self._explain_empty(
                f"{path.name} has no finished epoch yet. Its particles appear here by themselves "
                "with the first one; Plugins → CryoDECO → Reconstruct shows how far it is."
            )

    def _explain_empty(self, sentence: str) -> None:
        self.scatter.empty_text = sentence
        self.scatter.update()

    def _show_run(self, snapshot: Snapshot | None = None) -> None:
        there = snapshot is not None
        for widget in (self.view_bar, self.selection_bar, self.named, self.map_bar):
            widget.setEnabled(there)
        if snapshot is None:
            return
        self.run_bar.show_run(
            snapshot.run.path, snapshot.run.epochs(), snapshot.epoch, len(snapshot.latents)
        )
        self._show_points()
        self._show_colours()
        self._choose_colour(self._colour if self._colour in self._colours() else "density")

    # ---- view and colour

    def _choose_view(self, method: str) -> None:
        snapshot = self.session.snapshot
        if snapshot is None:
            return
        if method in snapshot.projections:
            self.session.set_view(method)
            return
        self._show_view()  # back to what is shown until the new one is there
        self.analysis.start_umap(snapshot)

    def _projected(self, projection: Projection) -> None:
        if projection.epoch == self.session.epoch:
            self.session.add_projection(projection)

    def _cluster(self, k: int, method: str) -> None:
        self._try(lambda: self.analysis.start_clusters(self.session.loaded(), k, method))

    def _clustered(self, clustering: Clustering) -> None:
        if clustering.epoch == self.session.epoch:
            self._colour = "cluster"
            self.session.set_clustering(clustering)

    def _suggested(self, curve: ClusterCurve) -> None:
        self.view_bar.k.setValue(curve.suggested)

    def _colours(self) -> list[str]:
        if self.session.snapshot is None:
            return ["density"]
        return [*own_colourings(self.session.loaded()), *self.loader.columns]

    def _choose_colour(self, name: str) -> None:
        own = own_colourings(self.session.loaded())
        if name in own:
            self._colour = name
            self.session.set_colouring(own[name]())
        elif name in self.loader.columns:
            self._colour = name
            self.session.set_colouring(by_column(name, self.loader.columns[name]))

    def _show_view(self) -> None:
        session = self.session
        self.view_bar.show_view(session.view, session.axis_names(), session.axes)

    def _show_points(self) -> None:
        if self.session.snapshot is None:
            return
        self._show_view()
        names = self.session.axis_names()
        shown = tuple(names[a] if a < len(names) else "" for a in self.session.axes)
        self.scatter.set_points(*self.session.coordinates(), (shown[0], shown[1]))
        self._show_cursor()
        self._show_path()

    def _show_colours(self) -> None:
        clusters = self.session.clustering
        self.view_bar.show_colours(self._colours(), self._colour)
        self.map_bar.show_filter(self.session.map_filter)
        self.map_bar.show_target(
            self.session.target,
            self.session.target_cluster,
            len(clusters.centres) if clusters else 0,
        )

    def _show_colouring(self) -> None:
        self._try(lambda: self.scatter.set_colouring(self.session.colouring))
        self.view_bar.show_colours(self._colours(), self._colour)

    def _show_path(self) -> None:
        path = self.session.path
        self.scatter.set_path(None if path is None else self.session.project(path))
        self.scatter.set_path_position(self.session.path_position)

    # ---- selection

    def set_mode(self, mode: str) -> None:
        """Choose what the left mouse button does: point, lasso or pan."""
        self.scatter.mode = Mode(mode)
        self.selection_bar.set_mode(mode)

    def _set_operation(self, operation: str) -> None:
        self.scatter.operation = operation
        self.set_mode(Mode.LASSO)

    def _step(self, name: str) -> None:
        steps = {
            "undo": self.session.undo,
            "redo": self.session.redo,
            "invert": self.session.invert_selection,
            "all": self.session.select_all,
            "clear": self.session.clear_selection,
        }
        self._try(steps[name])

    def _lassoed(self, mask: np.ndarray, operation: str, polygon: np.ndarray) -> None:
        corners = tuple((float(x), float(y)) for x, y in polygon)
        step = Step("lasso", axes=self.session.axis_labels(), polygon=corners)
        self.session.select(mask, operation, step)

    def _category_clicked(self, code: int, operation: str) -> None:
        colouring = self.session.colouring
        if isinstance(colouring, Categorical):
            step = Step("labels", labels=(code + 1,)) if colouring.label == "cluster" else None
            self.session.select(colouring.codes == code, operation, step)

    def _show_selection(self) -> None:
        history = self.session.history
        if history is None:
            return
        self.scatter.set_selected(history.mask)
        self.selection_bar.set_history(history.can_undo, history.can_redo)
        self._show_count(None)

    def _show_count(self, counting: int | None) -> None:
        history = self.session.history
        if history is not None:
            count = history.count if counting is None else counting
            self.selection_bar.set_count(count, len(history), counting is not None)

    # ---- map

    def _cursor_moved(self, cursor: Cursor | None, final: bool) -> None:
        self._show_cursor()
        if cursor is not None:
            self._decode(final)

    def _show_cursor(self) -> None:
        cursor = self.session.cursor
        idle = self.session.target not in (Target.POINT, Target.PARTICLE)
        self.scatter.set_cursor(None if cursor is None else (cursor.x, cursor.y), idle)

    def _target_changed(self) -> None:
        self._show_colours()
        self._show_cursor()
        self._decode(full=True)

    def _decode(self, full: bool) -> None:
        wanted = self.session.wanted()
        if wanted is not None:
            self.decoding.request(wanted.z, wanted.caption, full, self.session.map_filter)

    def _show_decoded(self, decoded: Decoded) -> None:
        self._map.show(decoded.volume, decoded.full)
        self.map_bar.show_level(self._map.level)
        geometry = self.session.loaded().run.geometry
        finest = geometry.resolution(decoded.radius)
        resolution = max(finest, self.session.map_filter.low_pass or 0.0)
        self.map_bar.show_decoded(decoded, resolution, geometry.radius)

    # ---- messages

    def tell(self, sentence: str) -> None:
        """Show one sentence under everything; empty hides it."""
        self.message.setText(sentence)
        self.message.setVisible(bool(sentence))

    def _try(self, act: Callable[[], object]) -> bool:
        """Do something that the user's data may forbid; say so in one sentence."""
        try:
            act()
        except (ValueError, OSError) as error:
            self.tell(str(error))
            return False
        self.tell("")
        return True


def _dropped_run(event: QDropEvent) -> Path | None:
    for url in event.mimeData().urls():
        path = Path(url.toLocalFile())
        if RunPaths(path).config.is_file():
            return path
    return None
