"""Maps of all clusters side by side, each with its share of the particles."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QGroupBox,
    QLabel,
    QListView,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.gui.background import Task
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.camera import camera_rotation
from napari_cryodeco.gui.comparing import NO_RUN, draw_mosaic, save_mosaic
from napari_cryodeco.gui.editors import PathEditor, in_line
from napari_cryodeco.gui.export_choice import NO_CLUSTERS, clusters_as_groups, suggest_target
from napari_cryodeco.gui.layers import map_view_of
from napari_cryodeco.gui.session import Target, session_of
from napari_cryodeco.gui.task_row import TaskRow
from napari_cryodeco.gui.telling import explain

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.explore.mosaic import Tile

SIDE = 240  # pixels of a picture as it is drawn and saved
_SHOWN = 100  # as it is shown: two side by side in a narrow dock


class Pictures(QListWidget):
    """Pictures that wrap as the panel is wide.

    Attributes
    ----------
    chosen
        Name of the group whose picture was clicked, or Enter pressed on.
    """

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setIconSize(QSize(_SHOWN, _SHOWN))
        self.setGridSize(QSize(_SHOWN + 12, _SHOWN + 26))
        self.setMinimumHeight(2 * (_SHOWN + 26) + 8)
        self.itemClicked.connect(self._choose)
        self.itemActivated.connect(self._choose)

    def show_tiles(self, tiles: Sequence[Tile]) -> None:
        """Show these and no others."""
        self.clear()
        for tile in tiles:
            height, width = tile.picture.shape[:2]
            pixels = tile.picture.tobytes()
            image = QImage(pixels, width, height, 3 * width, QImage.Format.Format_RGB888).copy()
            item = QListWidgetItem(QIcon(QPixmap.fromImage(image)), tile.caption)
            item.setData(Qt.ItemDataRole.UserRole, tile.group.name)
            count = f"{len(tile.group.rows):,} particles"
            item.setToolTip(f"{tile.caption}, {count}; {tile.pixel_size * width:.0f} Å across")
            self.addItem(item)

    def _choose(self, item: QListWidgetItem) -> None:
        self.chosen.emit(str(item.data(Qt.ItemDataRole.UserRole)))


class MosaicView(QGroupBox):
    """The maps of the clusters of the viewer's session, drawn on a thread."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__("All clusters")
        self._viewer, self._session, self._map = viewer, session_of(viewer), map_view_of(viewer)
        self._task = Task(self)
        self._tiles: tuple[Tile, ...] = ()
        self.draw = QPushButton("Mosaic of the clusters")
        self.work = TaskRow(self._task, "steps")
        self.sentence = QLabel()
        self.sentence.setWordWrap(True)
        self.pictures = Pictures()
        self.file = PathEditor(False, "new .png file", "Pictures (*.png)", save=True)
        self.save = QPushButton("Save")
        column = QVBoxLayout(self)
        for widget in (self.draw, self.work, self.sentence):
            column.addWidget(widget)
        column.addWidget(self.pictures, 1)
        column.addLayout(in_line(self.file, self.save))
        self._explain()
        self._connect()
        self.refresh()

    def _explain(self) -> None:
        hints: dict[QWidget, str] = {
            self.draw: "Decode each cluster at its mean z and draw the maps from where the camera "
            "stands, at the level (σ) of the decoded map, each with its share of the particles (%)",
            self.pictures: "One camera, one level (σ) and one scale for all maps. Click one, or "
            "press Enter on it, to show it in the viewer.",
            self.file: "A new .png file with all maps, captions and scale bars in Å; nothing is "
            "overwritten",
            self.save: "Write the mosaic",
        }
        explain(hints)

    def _connect(self) -> None:
        bind(self, (self._session.clustering_changed, self._clusters_changed))
        self.file.changed.connect(self.refresh)
        self.draw.clicked.connect(self._draw)
        self.save.clicked.connect(self._save)
        self.pictures.chosen.connect(self._aim)
        self._task.returned.connect(self._drawn)
        self._task.ended.connect(self.refresh)

    def forget(self) -> None:
        """Another run is open: what was made of the last one goes."""
        self._clear()
        folder = self._session.loaded().run.path / "export"
        self.file.show_value(suggest_target(folder, "mosaic", ".png"))

    def _clusters_changed(self) -> None:
        """Keep the pictures while the clusters are those that they show."""
        there = {(tile.group.name, len(tile.group.rows)) for tile in self._tiles}
        if self._tiles and self._session.clustering is not None:
            now = {(g.name, len(g.rows)) for g in clusters_as_groups(self._session)}
            there = there - now
        if there:
            self._clear()
        self.refresh()

    def _clear(self) -> None:
        self._task.cancel()
        self._tiles = ()
        self.pictures.show_tiles(())
        self.work.say("")

    def refresh(self, *_: object) -> None:
        """Say what is missing."""
        clustered, free = self._session.clustering is not None, not self._task.busy
        why = "" if clustered else NO_RUN if self._session.run is None else NO_CLUSTERS
        self.sentence.setText(why)
        self.sentence.setVisible(bool(why))
        self.draw.setEnabled(clustered and free)
        self.save.setEnabled(bool(self._tiles) and self.file.value() is not None and free)

    def _draw(self) -> None:
        from napari_cryodeco.explore.render import View  # torch, which an open run has loaded

        session = self._session
        level = self._map.level if self._map.layer is not None else None
        view = View(camera_rotation(self._viewer), size=(SIDE, SIDE))
        groups = clusters_as_groups(session)
        self.work.say("Decoding the maps…")
        self.work.start(
            partial(draw_mosaic, session.loaded(), groups, session.map_filter, level, view)
        )
        self.refresh()

    def _drawn(self, answer: tuple[Tile, ...] | str) -> None:
        if isinstance(answer, str):
            self.work.say(answer)
            return
        self.work.say("")
        self._tiles = answer
        self.pictures.show_tiles(answer)

    def _aim(self, name: str) -> None:
        """Show the map of the cluster that was clicked in the viewer."""
        clustering = self._session.clustering
        if clustering is not None and name in clustering.titles:
            place = clustering.titles.index(name)
            self._session.set_target(Target.CLUSTER, cluster=place)

    def _save(self) -> None:
        path = self.file.value()
        if self._tiles and path is not None:
            self.work.start(partial(save_mosaic, self._tiles, path))
            self.refresh()
