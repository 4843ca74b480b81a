"""The Movie panel: decode a path through z, scrub and play it in the viewer, write it to files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.explore.projection import principal_axes
from napari_cryodeco.explore.route import Anchor
from napari_cryodeco.explore.tour import stops, tour_of
from napari_cryodeco.gui.background import Task
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.clip import Clip, Frame, decode_clip, make_clip
from napari_cryodeco.gui.decoding import open_field
from napari_cryodeco.gui.docking import Scrolled
from napari_cryodeco.gui.frames_button import FramesButton
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.movie_export import MovieExport
from napari_cryodeco.gui.path_chooser import PathChooser
from napari_cryodeco.gui.path_files import PathFiles
from napari_cryodeco.gui.player import Player
from napari_cryodeco.gui.routing import Traced, routing_of
from napari_cryodeco.gui.session import session_of
from napari_cryodeco.gui.turn_editor import SPIN

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.explore.trajectory import Trajectory

NO_RUN = "Open a run in the Explorer first."
FULL, FAST = "full detail", "quick look"


class MoviePanel(QWidget):
    """Path above, player in the middle, files below; nothing here blocks the window."""

    frame_ready = Signal(object)  # Frame, from the worker thread

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._session = session_of(viewer)
        self._map = map_view_of(viewer)
        self._clip: Clip | None = None
        self._run_path: Path | None = None
        self._decode_next = False
        self._task = Task(self)
        self._routing = routing_of(viewer)
        self.chooser = PathChooser()
        self.files = PathFiles()
        self.detail = QComboBox()
        self.decode = QPushButton("Decode frames")
        self.cancel = QPushButton("Cancel")
        self.bar = QProgressBar()
        self.message = QLabel(NO_RUN)
        self.player = Player()
        self.as_layer = FramesButton(viewer, self._map)
        self.export = MovieExport(viewer)
        self._lay_out()
        self._connect()
        self._run_opened()

    # ---- set-up

    def _lay_out(self) -> None:
        self.detail.addItems([FULL, FAST])
        self.detail.setToolTip(
            "<qt>Full detail: every frame to the resolution of the run.<br>"
            "Quick look: what this machine decodes in a third of a second a frame.</qt>"
        )
        self.decode.setToolTip(
            "Decode every frame of the path in the background, filtered as in the Explorer"
        )
        self.message.setWordWrap(True)
        self.bar.hide()
        self.cancel.hide()
        buttons = QHBoxLayout()
        buttons.addWidget(self.detail)
        buttons.addWidget(self.decode, 1)
        buttons.addWidget(self.cancel)
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(8, 8, 8, 8)
        column.addWidget(self.chooser)
        column.addWidget(self.files)
        column.addLayout(buttons)
        column.addWidget(self.bar)
        column.addWidget(self.message)
        column.addWidget(_line())
        column.addWidget(self.player)
        column.addWidget(self.as_layer)
        column.addWidget(_line())
        column.addWidget(self.export)
        column.addStretch()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        scrolled = Scrolled(page)
        self.export.told.connect(lambda: scrolled.bring(self.export.result))
        whole.addWidget(scrolled)

    def _connect(self) -> None:
        bind(
            self,
            (self._session.opened, self._run_opened),
            (self._session.route_changed, self._show_route),
        )
        self._routing.drawn.connect(self._path_drawn)
        self._routing.traced.connect(self._path_traced)
        self._routing.failed.connect(self._no_path)
        self._routing.told.connect(self._tell_routing)
        self.chooser.changed.connect(self._path_changed)
        self.files.chosen.connect(self._open_path)
        self.files.save_asked.connect(self._save_path)
        self.player.ribbon.frame_chosen.connect(self._go_to)
        self.chooser.anchor_page.cursor_asked.connect(self._add_cursor)
        self.chooser.anchor_page.clusters_asked.connect(self._add_clusters)
        self.chooser.anchor_page.tour_asked.connect(self._tour)
        self.as_layer.made.connect(self.message.setText)
        self.as_layer.failed.connect(self._say)
        self.as_layer.frames.frame_changed.connect(self.player.slider.setValue)
        self.decode.clicked.connect(self._decode)
        self.export.frames_wanted.connect(self._decode)
        self.cancel.clicked.connect(self._cancelled)
        self.player.frame_changed.connect(self._show)
        self.frame_ready.connect(self._frame_decoded)
        self._task.progressed.connect(self._progressed)
        self._task.returned.connect(self._decoded)
        self._task.failed.connect(self._say)
        self._task.failed.connect(lambda _: self.export.give_up())
        self._task.ended.connect(self._ended)

    # ---- the path

    def _run_opened(self, *_: object) -> None:
        """Begin anew with another run; a newer epoch of the same one leaves the clip as it is."""
        run = self._session.run
        if run is not None and run.path != self._run_path:
            self._run_path = run.path
            self._task.cancel()
            self.export.give_up()
            self._take(None)
            self.player.clear()
            self.chooser.forget()
            self.files.show_folder(run.paths.trajectories)
        if run is not None:
            self.chooser.set_scores(_scores(self._session.loaded().latents))
        self._show_route()

    def _show_route(self) -> None:
        if self._session.snapshot is None:
            self.decode.setEnabled(False)
            self.export.set_possible(False)
            self.files.save.setEnabled(False)
            self.message.setText(NO_RUN)
        elif self._session.route is None:
            self._path_changed()
        else:
            self.chooser.show_route(self._session.route)
            if self._routing.latest is not None:
                self._path_traced(self._routing.latest)

    def _path_changed(self) -> None:
        """Ask for another path; it is drawn over the scatter plot when it is there."""
        if self._session.snapshot is None:
            self.message.setText(NO_RUN)
            return
        route = self.chooser.route()
        if route == self._session.route:
            self._routing.ask()
        else:
            self._session.set_route(route)

    def _path_drawn(self, path: Trajectory) -> None:
        self.decode.setEnabled(not self._task.busy)
        self.export.set_possible(True)
        self.files.save.setEnabled(True)
        self.message.setText(f"{path.name}: {len(path)} frames.")

    def _path_traced(self, traced: Traced) -> None:
        self._path_drawn(traced.path)
        if self._clip is None or self._clip.path is not traced.path:
            self.player.ribbon.show_support(traced.support)
        alone = int((~traced.support.supported).sum())
        if alone:
            self.message.setText(
                f"{traced.path.name}: {len(traced.path)} frames, {alone} of them where no "
                "particles are (red)."
            )
        if self._decode_next and traced.route.kind == "tour":
            self._decode_next = False
            self._decode()

    def _no_path(self, sentence: str) -> None:
        self._decode_next = False
        self.decode.setEnabled(False)
        self.export.set_possible(False)
        self.files.save.setEnabled(False)
        self.message.setText(sentence)

    def _tell_routing(self, words: str) -> None:
        if words:
            self.decode.setEnabled(False)
            self.export.set_possible(False)
            self.message.setText(words)

    def _open_path(self, file: Path) -> None:
        from napari_cryodeco.explore.trajectory import load_route  # brings torch

        try:
            route = load_route(file)
            wrong = route.dimensions() - {self._session.loaded().latents.shape[1]}
            if wrong:
                raise ValueError(f"{file.name} has points of {min(wrong)} numbers: of another run.")
        except (OSError, ValueError) as error:
            self._say(str(error))
            return
        self._session.set_route(route)

    def _save_path(self) -> None:
        from napari_cryodeco.explore.trajectory import keep  # brings torch

        path, session = self._routing.path, self._session
        if path is None or session.route is None:
            return
        folder = session.loaded().run.paths.trajectories
        recipe = {"route": session.route.record(), "epoch": session.epoch}
        try:
            file = keep(path, folder, recipe)
        except OSError as error:
            self._say(str(error))
            return
        self.files.show_folder(folder, file)
        self.message.setText(f"{file} written.")

    def _go_to(self, frame: int) -> None:
        """Show where a frame lies, decoded or not."""
        self._session.set_path_position(float(frame))
        self.player.ribbon.set_frame(frame)

    def _add_cursor(self) -> None:
        wanted = self._session.wanted()
        if wanted is None:
            self._say("Click into the scatter plot of the Explorer first; that point is added.")
            return
        self.chooser.anchor_page.add(Anchor.at(wanted.caption, wanted.z))

    def _add_clusters(self) -> None:
        clustering = self._session.clustering
        if clustering is None:
            self._say("There are no clusters yet: make them in the Explorer first.")
            return
        for anchor in stops(clustering):
            self.chooser.anchor_page.add(anchor)

    def _tour(self) -> None:
        """Halt at every cluster: path, frames and look of the movie in one."""
        clustering = self._session.clustering
        if clustering is None:
            self._say("There are no clusters yet: make them in the Explorer first.")
            return
        self._decode_next = True  # when it is known what supports the frames
        self.export.turn.kind.setCurrentText(SPIN)
        self.export.inset.setChecked(True)
        route = tour_of(clustering)
        if route == self._session.route and self._routing.latest is not None:
            self._path_traced(self._routing.latest)
        self._session.set_route(route)

    # ---- decoding

    def _decode(self) -> None:
        path, traced = self._routing.path, self._routing.latest
        if path is None or self._task.busy:
            return
        snapshot = self._session.loaded()
        supported = None if traced is None else traced.support.supported
        clip = make_clip(path, snapshot.latents, supported)
        self._take(clip)
        self.player.load(path.captions, clip.supported)
        fast = self.detail.currentText() == FAST
        opener = partial(open_field, snapshot.run, snapshot.epoch)
        chosen = self._session.map_filter
        self._task.start(partial(decode_clip, clip, opener, fast, chosen, self.frame_ready.emit))
        self.bar.setRange(0, 0)
        for widget in (self.bar, self.cancel):
            widget.show()
        self.decode.setEnabled(False)

    def _frame_decoded(self, frame: Frame) -> None:
        if frame.clip is not self._clip:
            return  # of a path that is no longer shown
        frame.clip.volumes[frame.number] = frame.volume
        self.player.set_ready(frame.number)
        if frame.clip.complete:
            self.export.show_clip(frame.clip)
            self.as_layer.show_clip(frame.clip)
        if frame.number == self.player.frame and not self.player.playing:
            self._show(frame.number)

    def _show(self, number: int) -> None:
        self._session.set_path_position(float(number))
        if self.as_layer.go_to(number):
            return
        clip = self._clip
        volume = clip.volumes[number] if clip is not None else None
        if clip is not None and volume is not None:
            values = volume.in_sigma(clip.sigma)
            self._map.show_data(values, volume.voxel_size, full=not self.player.playing)

    def _take(self, clip: Clip | None) -> None:
        """Begin another clip, none of whose frames is there yet."""
        self._clip = clip
        self.export.show_clip(None)
        self.as_layer.show_clip(None)

    def _progressed(self, done: int, of: int) -> None:
        self.bar.setRange(0, of)
        self.bar.setValue(done)
        self.message.setText(f"Decoding: {done} of {of} frames.")

    def _ended(self) -> None:
        self.bar.hide()
        self.cancel.hide()
        self.decode.setEnabled(self._routing.path is not None)

    def _decoded(self, clip: Clip) -> None:
        alone = int((~clip.supported).sum())
        note = f" {alone} of them lie where no particles are (red)." if alone else ""
        self.message.setText(f"{len(clip.path)} frames decoded.{note}")

    def _cancelled(self) -> None:
        self._task.cancel()
        self.export.give_up()
        self.message.setText("Cancelled; the frames decoded so far can be scrubbed.")

    def _say(self, sentence: str) -> None:
        self.message.setText(sentence)
        show_error(sentence)


def _scores(latents: np.ndarray) -> np.ndarray:
    """Along the components that a path goes along; the view of an earlier epoch may be turned."""
    try:
        return principal_axes(latents).scores
    except ValueError:  # one rigid map: whoever asks for a path is told so
        return np.zeros((0, 1))


def _line() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setFrameShadow(QFrame.Shadow.Sunken)
    return line
