"""Computes the trajectory that a session asks for, and how particles support it, off the window."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_cryodeco.explore.route import Route
from napari_cryodeco.gui.background import Report, Task
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.session import Session, session_of
from napari_cryodeco.gui.viewers import lasting

if TYPE_CHECKING:
    from napari_cryodeco.explore.paths import Graph
    from napari_cryodeco.explore.trajectory import Crowd, Support, Trajectory

SLOW = ("graph", "dense")  # seconds where there are many particles


@dataclass(frozen=True, eq=False)
class Traced:
    """A route, its trajectory, and the particles' support of each frame."""

    route: Route
    path: Trajectory
    support: Support


class _Known:
    """What is made once of the latents ``(n, d)`` of an epoch."""

    def __init__(self, latents: np.ndarray) -> None:
        self.latents = latents
        self._graph: Graph | None = None
        self._crowd: Crowd | None = None

    def graph(self, report: Report) -> Graph:
        from napari_cryodeco.explore.paths import Graph

        if self._graph is None:
            self._graph = Graph.of(self.latents, report)
        return self._graph

    def crowd(self) -> Crowd:
        from napari_cryodeco.explore.trajectory import Crowd

        if self._crowd is None:
            self._crowd = Crowd.of(self.latents)
        return self._crowd


class Routing(QObject):
    """One a viewer. The last route asked for wins.

    Attributes
    ----------
    drawn
        The trajectory is there and drawn over the view.
    traced
        Its support is there too.
    failed
        One sentence, when there is no such path.
    told
        What is being computed; "" when it is done.
    """

    drawn = Signal(object)  # Trajectory
    traced = Signal(object)  # Traced
    failed = Signal(str)
    told = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._known: _Known | None = None
        self._task = Task(self)
        self._again = False
        self.path: Trajectory | None = None
        self.latest: Traced | None = None
        self._task.returned.connect(self._take)
        self._task.failed.connect(self._fail)
        self._task.progressed.connect(self._tell)
        self._task.ended.connect(self._go_on)
        bind(self, (session.route_changed, self.ask), (session.opened, self._opened))

    def _opened(self, *_: object) -> None:
        if self._session.route is not None:
            self.ask()

    def ask(self) -> None:
        """Compute the route of the session."""
        session, route = self._session, self._session.route
        self.path = self.latest = None
        if route is None or session.snapshot is None:
            session.set_path(None)
            return
        if self._known is None or self._known.latents is not session.snapshot.latents:
            self._known = _Known(session.snapshot.latents)
        if route.kind in SLOW:
            self.told.emit("Finding the way…")
        elif not self._draw(route):
            return
        self._again = True
        self._go_on()

    def _draw(self, route: Route) -> bool:
        from napari_cryodeco.explore.paths import trace

        try:
            path = trace(route, self._session.loaded().latents)
        except ValueError as error:
            self._fail(str(error))
            return False
        self._show(path)
        return True

    def _go_on(self) -> None:
        route, known, path = self._session.route, self._known, self.path
        if self._task.busy or not self._again or route is None or known is None:
            return
        self._again = False
        self._task.start(lambda report: _traced(route, known, path, report))

    def _take(self, made: Traced) -> None:
        if made.route != self._session.route or self._again:
            return  # another one is asked for by now
        self.told.emit("")
        if made.path is not self.path:
            self._show(made.path)
        self.latest = made
        self._session.set_path_support(made.support.supported)
        self.traced.emit(made)

    def _show(self, path: Trajectory) -> None:
        self.path = path
        self._session.set_path(path.points)
        self.drawn.emit(path)

    def _fail(self, sentence: str) -> None:
        self._session.set_path(None)
        self.told.emit("")
        self.failed.emit(sentence)

    def _tell(self, done: int, of: int) -> None:
        self.told.emit(f"Neighbours in z: {100 * done // max(of, 1)} %")


def _traced(route: Route, known: _Known, path: Trajectory | None, report: Report) -> Traced:
    from napari_cryodeco.explore.paths import trace

    if path is None:
        path = trace(route, known.latents, lambda: known.graph(report))
    return Traced(route, path, known.crowd().support(path.points))


_routings: dict[int, Routing] = {}


def routing_of(viewer: Any) -> Routing:
    """The one of a viewer, shared by its panels."""
    viewer = lasting(viewer)
    key = id(viewer)
    if key not in _routings:
        _routings[key] = Routing(session_of(viewer))
        weakref.finalize(viewer, _routings.pop, key, None)
    return _routings[key]
