"""The explorer's path tool: clicks are points of a path, a drag draws one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_cryodeco.explore.route import JOINED, Anchor, Route
from napari_cryodeco.gui.background import Task
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.scatter import ScatterWidget
from napari_cryodeco.gui.session import Session

if TYPE_CHECKING:
    from napari_cryodeco.gui.routing import Routing

WHERE = "Plugins → CryoDECO → Movie joins, decodes and saves it."


class ExplorerPath(QObject):
    """Binds the path tool of the scatter plot to the route of a session.

    Parameters
    ----------
    session, scatter, routing
        Of the viewer; this object owns none of them.
    """

    told = Signal(str)  # one sentence

    def __init__(
        self,
        session: Session,
        scatter: ScatterWidget,
        routing: Routing,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._scatter = session, scatter
        self._lifting = Task(self)
        self._lifting.returned.connect(self._take_curve)
        self._lifting.failed.connect(self.told)
        scatter.stroke.clicked.connect(self._add)
        scatter.stroke.drawn.connect(self._lift)
        scatter.stroke.undone.connect(self._take_back)
        routing.failed.connect(self.told)
        routing.traced.connect(self._traced)
        bind(
            self,
            (session.route_changed, self._show_anchors),
            (session.views_changed, self._show_anchors),
            (session.opened, self._show_anchors),
        )

    def _add(self, x: float, y: float) -> None:
        session = self._session
        near = session.lifted(x, y)
        anchor = Anchor.at(f"near particle {near.row + 1:,}", near.z)
        session.set_route((session.route or Route()).with_anchor(anchor))

    def _take_back(self) -> None:
        route = self._session.route
        if route is not None and route.kind == "curve":
            self._session.set_route(None)
        elif route is not None and route.anchors:
            self._session.set_route(replace(route, anchors=route.anchors[:-1]))

    def _lift(self, places: np.ndarray) -> None:
        if self._lifting.busy:
            return
        table = np.column_stack(self._session.coordinates())
        latents = self._session.loaded().latents
        self._lifting.start(lambda _: (latents, _lifted(places, table, latents)))

    def _take_curve(self, made: tuple[np.ndarray, np.ndarray]) -> None:
        latents, curve = made
        if latents is self._session.loaded().latents:
            route = self._session.route or Route()
            points = tuple(map(tuple, curve.tolist()))
            self._session.set_route(replace(route, kind="curve", curve=points))

    def _traced(self, made: object) -> None:
        route = self._session.route
        if route is not None and route.kind != "pc":
            self.told.emit(f"Path of {route.frames} frames. {WHERE}")

    def _show_anchors(self, *_: object) -> None:
        route = self._session.route
        there = route is not None and route.kind in JOINED and route.anchors
        if route is None or not there or self._session.snapshot is None:
            self._scatter.set_anchors(None)
        else:
            z = np.array([anchor.z for anchor in route.anchors], np.float32)
            self._scatter.set_anchors(self._session.project(z))


def _lifted(places: np.ndarray, table: np.ndarray, latents: np.ndarray) -> np.ndarray:
    from napari_cryodeco.explore.paths import lift  # brings torch

    return lift(places, table, latents)
