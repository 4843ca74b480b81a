"""Keeps how the explorer is left in a file of the run, and takes it up again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal

from napari_cryodeco.explore import saved_session
from napari_cryodeco.explore.saved_session import SavedCamera, SavedSession
from napari_cryodeco.gui.aggregate import Extent
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.camera import camera_of, shorter_side
from napari_cryodeco.gui.map_filter import MapFilter
from napari_cryodeco.gui.session import Session, Target
from napari_cryodeco.gui.telling import attempt
from napari_cryodeco.runs.paths import RunPaths

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.gui.explorer_view import ExplorerView
    from napari_cryodeco.gui.layers import MapView
    from napari_cryodeco.gui.run_loader import RunLoader
    from napari_cryodeco.gui.scatter import ScatterWidget

SAVE_EVERY_MS = 2000


class SessionKeeper(QObject):
    """Writes ``RUN/session.json`` at most every two seconds, and whenever the window is hidden.

    Parameters
    ----------
    session, viewer, layer, view, scatter, loader
        What it keeps the state of; it owns none of them.
    """

    told = Signal(str)  # one sentence

    def __init__(
        self,
        session: Session,
        viewer: Viewer,
        layer: MapView,
        view: ExplorerView,
        scatter: ScatterWidget,
        loader: RunLoader,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._viewer, self._layer = session, viewer, layer
        self._view, self._scatter, self._loader = view, scatter, loader
        self._path: Path | None = None  # where to save; None while there is nothing to keep
        self._begun: Path | None = None  # a run that is being opened
        self._waiting: SavedSession | None = None
        self._camera: SavedCamera | None = None  # until the first map has set the camera
        self._packed: str | None = ""
        self._sentence = ""  # why what was kept could not be read
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SAVE_EVERY_MS)
        self._timer.timeout.connect(self._save)
        scatter.moved.connect(self.touch)
        camera = camera_of(viewer)
        changes = (camera.events.angles, camera.events.center, camera.events.zoom)
        bind(self, (session.selection_changed, self._selection_changed))
        bind(self, (layer.framed, self._show_camera), *((event, self.touch) for event in changes))
        bind(self, *((signal, self.touch) for signal in self._signals()))
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.flush)

    def _signals(self) -> tuple[Any, ...]:
        session = self._session
        return (
            session.opened,
            session.views_changed,
            session.colour_changed,
            session.overlays_changed,
            session.target_changed,
            session.cursor_changed,
            session.route_changed,
            session.landscape_changed,
            self._layer.level_changed,
        )

    # ---- saving

    def touch(self, *_: object) -> None:
        """Something is other than it was: save soon."""
        if self._path is not None and not self._timer.isActive():
            self._timer.start()

    def _selection_changed(self) -> None:
        self._packed = None
        self.touch()

    def flush(self) -> None:
        """Save now, if anything is other than it was saved."""
        if self._timer.isActive():
            self._timer.stop()
            self._save()

    def _save(self) -> None:
        run = self._session.run
        if self._path is None or run is None or run.paths.session != self._path:
            return
        if not run.paths.config.is_file():
            return  # the run was deleted: do not bring its folder back
        try:
            saved_session.write(self.state(), self._path)
        except OSError as error:
            self._path = None  # say it once
            self.told.emit(f"How you leave the Explorer is not kept: {error}")

    def state(self) -> SavedSession:
        """How the explorer is now."""
        session, camera = self._session, camera_of(self._viewer)
        extent, history = self._scatter.extent, session.history
        if self._packed is None:
            self._packed = "" if history is None else saved_session.packed(history.mask)
        looks = SavedCamera(
            center=tuple(map(float, camera.center)),
            angles=tuple(map(float, camera.angles)),
            zoom=float(camera.zoom),
            perspective=float(camera.perspective),
            side=shorter_side(self._viewer),
        )
        return SavedSession(
            particles=len(session.loaded().latents),
            epoch=self._loader.chosen,
            view=session.view,
            axes=session.axes,
            extent=None
            if self._scatter.fitted
            else (extent.left, extent.right, extent.bottom, extent.top),
            colour=self._view.colour,
            selection=self._packed,
            recipe=None if history is None else history.recipe.to_dict(),
            overlays=tuple(sorted(session.overlays)),
            target=session.target.value,
            cluster=max(session.target_cluster, 0),
            cursor=None if session.cursor is None else session.cursor.row,
            level=self._layer.level if self._layer.shown is not None else None,
            low_pass=session.map_filter.low_pass,
            b_factor=session.map_filter.b_factor,
            route=session.route,
            landscape=session.landscape,
            camera=self._camera or looks,
        )

    # ---- taking up again

    def begin(self, path: Path) -> int | None:
        """Read what was kept of the run at `path`; the epoch to show, None: the newest."""
        self.flush()
        self._path, self._camera, self._sentence = None, None, ""
        self._begun = path
        file = RunPaths(path).session
        try:
            self._waiting = saved_session.read(file)
        except ValueError as error:
            self._waiting = None
            self._lay_aside(file, str(error))
        return None if self._waiting is None else self._waiting.epoch

    def _lay_aside(self, file: Path, sentence: str) -> None:
        where = ""
        with suppress(OSError):  # of a run that may only be read it stays where it is
            where = f" It is now {saved_session.set_aside(file).name}."
        self._sentence = f"{sentence} The run opens afresh.{where}"

    def resume(self, as_it_is: bool = False) -> None:
        """Take up what was kept of a run if it has just been opened, and keep it from now on.

        `as_it_is`: the run was open already, and what is seen is newer than what was kept.
        """
        paths = self._session.loaded().run.paths
        if paths.root != self._begun:
            return  # another epoch of it
        self._begun = None
        saved, self._waiting = self._waiting, None
        if saved is not None and saved.particles != len(self._session.loaded().latents):
            count = len(self._session.loaded().latents)
            sentence = f"{paths.session} is of {saved.particles:,} particles, not {count:,}."
            self._lay_aside(paths.session, sentence)
            saved = None
        if saved is not None and not as_it_is:
            self._restore(saved)
        self._path = paths.session
        self._timer.stop()
        if self._sentence:
            self.told.emit(self._sentence)

    def _restore(self, saved: SavedSession) -> None:
        session = self._session
        names = {selection.name for selection in session.named}
        session.resume_selection(saved.mask(), saved.made_by())
        session.set_overlays(names & set(saved.overlays))
        attempt(lambda: session.set_view(saved.view, saved.axes), self.told.emit)
        if saved.landscape is not None:
            session.set_landscape(saved.landscape)
        self._view.resume_colour(saved.colour)
        session.map_filter = MapFilter(saved.low_pass, saved.b_factor)
        if saved.cursor is not None and saved.cursor < saved.particles:
            session.move_cursor_to(saved.cursor)
        there = saved.target in {target.value for target in Target}
        session.set_target(Target(saved.target) if there else Target.POINT, saved.cluster)
        width = session.loaded().latents.shape[1]
        if saved.route is not None and saved.route.dimensions() <= {width}:
            session.set_route(saved.route)
        if saved.level is not None:
            self._layer.set_level(saved.level)
        if saved.extent is not None:
            self._scatter.set_extent(Extent(*saved.extent))
        self._camera = saved.camera
        if self._layer.layer is not None:
            self._show_camera()

    def _show_camera(self) -> None:
        saved, self._camera = self._camera, None
        if saved is not None:
            camera = camera_of(self._viewer)
            camera.center, camera.angles = saved.center, saved.angles
            side = shorter_side(self._viewer)
            wider = side / saved.side if side and saved.side else 1.0  # the same Å across it
            camera.zoom, camera.perspective = saved.zoom * wider, saved.perspective
