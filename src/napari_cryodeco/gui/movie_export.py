"""Write a decoded clip as MP4, GIF, pictures or maps, drawn as the window shows it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.atomic import refuse_existing
from napari_cryodeco.explore.inset import LatentMap, halts
from napari_cryodeco.explore.turning import Turn
from napari_cryodeco.gui.background import Report, Task
from napari_cryodeco.gui.camera import camera_rotation
from napari_cryodeco.gui.editors import PathEditor
from napari_cryodeco.gui.export_choice import suggest_target
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.session import session_of
from napari_cryodeco.gui.telling import readable
from napari_cryodeco.gui.turn_editor import TurnEditor

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.gui.clip import Clip


@dataclass(frozen=True)
class Kind:
    """A kind of movie: what it is called, and its suffix (a folder has none)."""

    name: str
    suffix: str
    is_maps: bool = False


KINDS = (
    Kind("MP4 movie", ".mp4"),
    Kind("GIF movie", ".gif"),
    Kind("PNG pictures and maps", ""),
    Kind("MRC maps", "", is_maps=True),
    Kind("4-D MRC file", ".mrc", is_maps=True),
)
PAPERS = {"white": (255, 255, 255), "black": (0, 0, 0)}


@dataclass(frozen=True, eq=False)
class Look:
    """How frames are drawn: camera `rotation` ``(3, 3)``, `level` in σ, `side` in pixels.

    Of the inset, all particles ``(n, 2)`` and the path ``(t, 2)`` in the plane that the Explorer
    shows, with the names of its axes; or None.
    """

    rotation: np.ndarray
    level: float
    side: int
    fps: int
    to_and_fro: bool
    background: tuple[int, int, int]
    turn: Turn
    inset: LatentMap | None


class MovieExport(QWidget):
    """Format, size and place of a movie; written in the background, cancelled at any frame.

    A movie whose frames are not decoded yet asks for them and is written once they are there.
    """

    frames_wanted = Signal()
    told = Signal()  # something below the button, which may be out of sight

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._session, self._map = session_of(viewer), map_view_of(viewer)
        self._viewer = viewer
        self._clip: Clip | None = None
        self._suggested: Path | None = None
        self._possible = self._waiting = False
        self._task = Task(self)
        self.kind = QComboBox()
        self.side = QSpinBox()
        self.fps = QSpinBox()
        self.to_and_fro = QCheckBox("to and fro")
        self.paper = QComboBox()
        self.turn = TurnEditor()
        self.inset = QCheckBox("map of the latents in the corner")
        self.target = PathEditor(False, "file or folder to write", save=True)
        self.write = QPushButton("Export movie")
        self.cancel = QPushButton("Cancel")
        self.bar = QProgressBar()
        self.result = QLabel()
        self._lay_out()
        self._connect()
        self._refresh()

    def show_clip(self, clip: Clip | None) -> None:
        """Take a clip whose frames are all decoded, or none."""
        self._clip = clip
        self._suggest()
        if clip is not None and self._waiting:
            self._export()

    def set_possible(self, possible: bool) -> None:
        """Say whether there is a path whose frames could be decoded."""
        self._possible = possible
        if not possible:
            self.give_up()
        self._refresh()

    def give_up(self) -> None:
        """The frames that were asked for do not come."""
        if self._waiting:
            self._waiting = False
            self._say("Nothing was written: the frames were not decoded.")

    def _lay_out(self) -> None:
        self.kind.addItems([kind.name for kind in KINDS])
        self.side.setRange(128, 2048)
        self.side.setSingleStep(80)
        self.side.setValue(640)
        self.side.setSuffix(" px")
        self.side.setToolTip("Height and width of the pictures")
        self.fps.setRange(1, 60)
        self.fps.setValue(10)
        self.fps.setSuffix(" fps")
        self.fps.setToolTip("Frames per second of the movie")
        self.to_and_fro.setToolTip("The movie runs back to its beginning")
        self.paper.addItems(list(PAPERS))
        self.paper.setToolTip("Background of the pictures")
        self.inset.setToolTip(
            "<qt>Each picture has the plot of the Explorer in its corner: all particles, the path, "
            "and a marker where the picture is; orange where no particles are.</qt>"
        )
        self.write.setToolTip(
            "Draw every frame from where the camera of the window stands; those that are not "
            "decoded yet are decoded first"
        )
        self.bar.hide()
        self.cancel.hide()
        readable(self.result)
        sizes = QHBoxLayout()
        for widget in (self.side, self.fps):
            sizes.addWidget(widget)
        looks = QHBoxLayout()
        for widget in (self.paper, self.to_and_fro):
            looks.addWidget(widget)
        rows = QFormLayout()
        rows.addRow("Format", self.kind)
        rows.addRow("Pictures", sizes)
        rows.addRow("Paper", looks)
        rows.addRow("Camera", self.turn)
        rows.addRow("Inset", self.inset)
        rows.addRow("File", self.target)
        buttons = QHBoxLayout()
        buttons.addWidget(self.write, 1)
        buttons.addWidget(self.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(rows)
        column.addLayout(buttons)
        column.addWidget(self.bar)
        column.addWidget(self.result)

    def _connect(self) -> None:
        self.kind.currentIndexChanged.connect(self._suggest)
        self.target.changed.connect(self._refresh)
        self.write.clicked.connect(self._export)
        self.cancel.clicked.connect(self._cancelled)
        self._task.returned.connect(self._say)
        self._task.failed.connect(self._failed)
        self._task.progressed.connect(self._progressed)
        self._task.ended.connect(self._ended)

    @property
    def _kind(self) -> Kind:
        return KINDS[self.kind.currentIndex()]

    def _suggest(self, *_: object) -> None:
        run = self._session.run
        if run is not None and self.target.value() in (None, self._suggested):
            name = "path" if self._clip is None else _file_name(self._clip.path.name)
            self._suggested = suggest_target(run.paths.movies, name, self._kind.suffix)
            self.target.show_value(self._suggested)
        self._refresh()

    def _refresh(self, *_: object) -> None:
        there = (self._clip is not None or self._possible) and self.target.value() is not None
        self.write.setEnabled(there and not self._task.busy)
        drawn = (self.side, self.fps, self.to_and_fro, self.paper, self.turn, self.inset)
        for widget in drawn:
            widget.setEnabled(not self._kind.is_maps)

    def _export(self) -> None:
        self.result.setText("")
        clip, target = self._clip, self.target.value()
        if target is None:
            return
        self._waiting = False
        if target.suffix.lower() != self._kind.suffix:
            ending = f"ends in {self._kind.suffix}" if self._kind.suffix else "is a folder"
            self._failed(f"{target.name}: {self._kind.name} {ending}.")
            return
        if clip is None:
            self._waiting = True
            self._say("The frames are decoded first; then the movie is written.")
            self.frames_wanted.emit()
            return
        look = self._look(clip)
        work = _write_maps if self._kind.is_maps else _write_pictures
        self._task.start(partial(work, clip, target, look))
        self.bar.setRange(0, 0)
        for widget in (self.bar, self.cancel):
            widget.show()
        self._refresh()

    def _look(self, clip: Clip) -> Look:
        return Look(
            camera_rotation(self._viewer),
            self._map.level,
            self.side.value(),
            self.fps.value(),
            self.to_and_fro.isChecked(),
            PAPERS[self.paper.currentText()],
            self.turn.turn(),
            self._latent_map(clip) if self.inset.isChecked() else None,
        )

    def _latent_map(self, clip: Clip) -> LatentMap:
        """The plane that the Explorer shows."""
        session = self._session
        labels = (*session.axis_labels(), "")[:2]
        places, points = np.column_stack(session.coordinates()), clip.path.points
        path = session.project(points)
        return LatentMap(places, path, (labels[0], labels[1]), not halts(points))

    def _progressed(self, done: int, of: int) -> None:
        self.bar.setRange(0, of)
        self.bar.setValue(done)

    def _say(self, sentence: str) -> None:
        self.result.setText(sentence)
        self.told.emit()

    def _failed(self, sentence: str) -> None:
        self._say(sentence)
        show_error(sentence)

    def _cancelled(self) -> None:
        self._task.cancel()
        self._say("Cancelled; nothing was written under the final name.")

    def _ended(self) -> None:
        self.bar.hide()
        self.cancel.hide()
        self._suggest()


def _file_name(text: str) -> str:
    """Letters and digits of a caption, joined by hyphens: ``PC1, 5 to 95 %`` → ``PC1-5-to-95``."""
    words = "".join(c if c.isalnum() else " " for c in text).split()
    return "-".join(words) or "path"


def _write_maps(clip: Clip, target: Path, look: Look, report: Report) -> str:
    from napari_cryodeco.explore.movie import write_frames, write_series

    work = write_frames if target.suffix else write_series
    work(target, clip.decoded, progress=report)
    return f"{target}: {len(clip.volumes)} maps written."


def _write_pictures(clip: Clip, target: Path, look: Look, report: Report) -> str:
    refuse_existing(target, overwrite=False)  # now, and not after all frames are drawn
    from napari_cryodeco.explore.movie import MovieOptions, film
    from napari_cryodeco.explore.render import Style, View

    options = MovieOptions(
        level=look.level,
        loop="ping-pong" if look.to_and_fro else "once",
        view=View(rotation=look.rotation, size=(look.side, look.side)),
        style=Style(background=look.background),
        turn=look.turn,
        inset=look.inset,
    )
    film(target, clip.decoded, clip.path, clip.supported, look.fps, options, report)
    return f"{target}: {len(clip.volumes)} frames written."
