"""The explorer: all particles in a plane, selections, and the map of where one points."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import (
    QDragEnterEvent,
    QDropEvent,
    QHideEvent,
    QKeySequence,
    QShortcut,
    QShowEvent,
)
from qtpy.QtWidgets import QFileDialog, QLabel, QTabWidget, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_cryodeco.explore import points
from napari_cryodeco.gui.analysis import Analysis
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.by_hand import ClustersByHand
from napari_cryodeco.gui.column_histogram import ColumnHistogram
from napari_cryodeco.gui.energy_view import EnergyView
from napari_cryodeco.gui.explorer_map import ExplorerMap
from napari_cryodeco.gui.explorer_path import ExplorerPath
from napari_cryodeco.gui.explorer_selection import ExplorerSelection
from napari_cryodeco.gui.explorer_view import ExplorerView
from napari_cryodeco.gui.history_list import HistoryList
from napari_cryodeco.gui.importing import import_ahead
from napari_cryodeco.gui.keeping import SessionKeeper
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.map_bar import MapBar
from napari_cryodeco.gui.named_selections import NamedSelections
from napari_cryodeco.gui.remote_run import RemoteRun
from napari_cryodeco.gui.routing import routing_of
from napari_cryodeco.gui.run_bar import RunBar
from napari_cryodeco.gui.run_loader import RunLoader
from napari_cryodeco.gui.scatter import Mode, ScatterWidget
from napari_cryodeco.gui.selection_bar import SelectionBar
from napari_cryodeco.gui.session import session_of
from napari_cryodeco.gui.snapshot import Snapshot
from napari_cryodeco.gui.telling import attempt
from napari_cryodeco.gui.view_bar import ViewBar
from napari_cryodeco.runs.paths import RunPaths

if TYPE_CHECKING:
    from napari import Viewer

AFTER_SHOWN_MS = 300
WELCOME = (
    "Open a run folder (button above), or drop one here, to see its particles.\n\n"
    "On another machine? Run `cryodeco serve RUN` there, and give its address by the arrow beside "
    "the button.\n\n"
    "No run yet? Plugins → CryoDECO → Reconstruct trains one; File → Open Sample has data to try."
)


class ExplorerPanel(QWidget):
    """Opens runs and lays out the widgets.

    `ExplorerView`, `ExplorerSelection` and `ExplorerMap` bind them to the session of the viewer.

    Parameters
    ----------
    viewer
        napari's viewer, in which the decoded map is shown.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.session = session_of(viewer)
        self.scatter, self.histogram = ScatterWidget(), ColumnHistogram()
        self.steps = HistoryList()
        self.run_bar, self.view_bar = RunBar(), ViewBar()
        self.selection_bar, self.named = SelectionBar(), NamedSelections(self.session)
        self.map_bar, self.analysis = MapBar(), Analysis()
        self.message = QLabel()
        self.loader, self.remote = RunLoader(self), RemoteRun(self)
        session, scatter = self.session, self.scatter
        self.view = ExplorerView(session, scatter, self.view_bar, self.analysis, self)
        self.selection = ExplorerSelection(
            session,
            scatter,
            self.histogram,
            self.selection_bar,
            self.steps,
            self.named,
            self.analysis,
            self,
        )
        menu = self.view_bar.by_hand.menu()
        self.by_hand = ClustersByHand(session, scatter, menu, self.analysis, self)
        self.energy = EnergyView(session, scatter, self.view_bar.energy, self)
        self.path = ExplorerPath(session, scatter, routing_of(viewer), self)
        self.map = ExplorerMap(session, map_view_of(viewer), self.map_bar, self)
        self.decoding = self.map.decoding
        self.keeper = SessionKeeper(
            session, viewer, self.map.layer, self.view, scatter, self.loader, self
        )
        self._lay_out()
        self._connect()
        self._add_shortcuts()
        self.setAcceptDrops(True)
        # A click on a button takes no focus itself; without this it went to napari's window, where
        # none of our keys is heard.
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setFocusProxy(self.scatter)
        self._show_run()

    def _lay_out(self) -> None:
        self.scatter.empty_text = WELCOME
        self.message.setWordWrap(True)
        self.message.setVisible(False)
        self.histogram.hide()  # until the colours are those of a column
        tabs = QTabWidget()
        tabs.addTab(self.named, "Named")
        tabs.addTab(self.steps, "History")
        lists = QCollapsible("Selections and history", expandedIcon="▾", collapsedIcon="▸")
        lists.layout().setContentsMargins(0, 0, 0, 0)
        lists.layout().setSpacing(0)
        lists.setDuration(0)
        lists.setContent(tabs)
        lists.collapse(animate=False)  # room for the plot first
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        column.setSpacing(5)
        for widget in (self.run_bar, self.view_bar, self.selection_bar):
            column.addWidget(widget)
        column.addWidget(self.scatter, 1)
        column.addWidget(self.histogram)
        for widget in (lists, self.map_bar, self.analysis, self.message):
            column.addWidget(widget)

    # ---- wiring

    def _connect(self) -> None:
        self.run_bar.open_asked.connect(self._ask_run)
        self.run_bar.address_given.connect(self.open_address)
        self.run_bar.epoch_chosen.connect(self.loader.choose_epoch)
        self.loader.loaded.connect(self._loaded)
        self.loader.columns_listed.connect(self.session.set_columns)  # a thread asks: no lambda
        self.loader.counted.connect(self._show_epochs)
        self.loader.told.connect(self.run_bar.show_status)
        self.loader.waiting.connect(self._show_waiting)
        self.loader.rested.connect(self.decoding.reopen)  # the GPU is free again
        self.remote.told.connect(self.run_bar.show_connection)
        self.remote.ready.connect(self._copied)
        self.remote.lost.connect(self._decode_anew)  # a codebook may stand in
        self.remote.returned.connect(self._decode_anew)
        self.loader.failed.connect(self._explain_empty)
        for failed in (self.loader.failed, self.map.failed, self.remote.failed):
            failed.connect(self.tell)
        binders = (
            *(self.view, self.selection, self.named, self.path, self.keeper),
            *(self.by_hand, self.energy),
        )
        for told in (binder.told for binder in binders):
            told.connect(self.tell)
        bind(self, (self.session.opened, self._show_run))

    def _add_shortcuts(self) -> None:
        keys = {
            "P": lambda: self.selection.set_mode(Mode.POINT),
            "L": lambda: self.selection.set_mode(Mode.LASSO),
            "B": lambda: self.selection.set_mode(Mode.BOX),
            "G": lambda: self.selection.set_mode(Mode.POLYGON),
            "C": lambda: self.selection.set_mode(Mode.PICK),
            "T": lambda: self.selection.set_mode(Mode.PATH),
            "H": lambda: self.selection.set_mode(Mode.PAN),
            "F": self.scatter.fit,
            "M": lambda: self.by_hand.act("merge"),
            "S": lambda: self.by_hand.act("split"),
            "N": lambda: self.by_hand.act("rename"),
            "O": lambda: self.by_hand.act("take"),
            "U": lambda: self.by_hand.act("undo"),
            "Shift+U": lambda: self.by_hand.act("redo"),
            "Ctrl+Z": lambda: self.selection.step("undo"),
            "Ctrl+Shift+Z": lambda: self.selection.step("redo"),
            "]": lambda: self.selection.step("grow"),
            "[": lambda: self.selection.step("shrink"),
            "Ctrl+I": lambda: self.selection.step("invert"),
            "Ctrl+A": lambda: self.selection.step("all"),
            "Ctrl+D": lambda: self.selection.step("clear"),
        }
        for key, act in keys.items():
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)

    # ---- opening

    def open_run(self, path: Path) -> None:
        """Show the newest epoch of a run; if it has none yet, as soon as it has."""
        self.tell("")
        path = Path(path)
        if self.loader.opens(path) and attempt(lambda: self.remote.follow(path), self.tell):
            self.loader.open(path, self.keeper.begin(path))

    def open_address(self, address: str, home: Path | None = None) -> None:
        """Show the run of a decode server, of which a copy is made in `home`."""
        self.tell("")
        self.remote.open(address, home)

    def _copied(self, path: Path) -> None:
        self.run_bar.address.clear()
        self.run_bar.address.setVisible(False)
        if self.session.run is None or self.session.run.path != path:
            self.open_run(path)
            return
        self.remote.follow(path)  # as it was left: only the server is another
        self._decode_anew()

    def _decode_anew(self) -> None:
        self.tell("")
        self.decoding.reopen()
        self.map.decode()

    def showEvent(self, event: QShowEvent) -> None:
        """Get ready for a run, once the window stands."""
        super().showEvent(event)
        QTimer.singleShot(AFTER_SHOWN_MS, import_ahead)

    def hideEvent(self, event: QHideEvent) -> None:
        """Keep how it is left: the window may be closing."""
        self.keeper.flush()
        super().hideEvent(event)

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
        before = self.session.run
        same = before is not None and before.path == snapshot.run.path
        self.map.use(snapshot)
        self.session.adopt(snapshot)
        self.keeper.resume(as_it_is=same)
        if self.session.wanted() is None:
            self._point_where_most_are()
        else:
            self.map.decode()

    def _point_where_most_are(self) -> None:
        """Begin with a map that particles speak for: between clusters there may be none."""
        self.session.move_cursor_to(points.densest(*self.session.coordinates()))

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
        run = snapshot.run
        self.run_bar.show_run(run.path, len(snapshot.latents), run.mirrored)
        self._show_epochs(snapshot.run.epochs())

    def _show_epochs(self, numbers: list[int]) -> None:
        shown = self.session.epoch
        if shown in numbers:
            self.run_bar.show_epochs(numbers, shown, self.loader.chosen is None)

    # ---- messages

    def tell(self, sentence: str) -> None:
        """Show one sentence under everything; empty hides it."""
        self.message.setText(sentence)
        self.message.setVisible(bool(sentence))


def _dropped_run(event: QDropEvent) -> Path | None:
    for url in event.mimeData().urls():
        path = Path(url.toLocalFile())
        if RunPaths(path).config.is_file():
            return path
    return None
