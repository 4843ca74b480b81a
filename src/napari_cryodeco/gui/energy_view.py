"""The free-energy landscape over the plot: lines, marked minima, and what one does with them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QInputDialog, QToolButton

from napari_cryodeco.explore.free_energy import CAVEAT, DEPTH, OF_UMAP, FreeEnergy, free_energy
from napari_cryodeco.explore.route import Anchor, Kind, Route
from napari_cryodeco.gui.aggregate import Floats
from napari_cryodeco.gui.background import Report
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.latest import Latest
from napari_cryodeco.gui.scatter import ScatterWidget
from napari_cryodeco.gui.session import Session
from napari_cryodeco.gui.telling import attempt

if TYPE_CHECKING:
    from napari_cryodeco.gui.scatter_overlays import Contour

_NONE = "No landscape is shown: press kT beside the axes first."


@dataclass(frozen=True, eq=False)
class Drawn:
    """A landscape and its lines 1 kT apart, of the places ``(n,)`` that it was made of."""

    found: FreeEnergy
    lines: tuple[Contour, ...]
    of: tuple[Floats, Floats]


class EnergyView(QObject):
    """Binds the button kT and the marked minima to what a session looks at.

    Parameters
    ----------
    session, scatter, button
        Of the viewer; this object owns none of them.
    """

    told = Signal(str)  # one sentence

    def __init__(
        self,
        session: Session,
        scatter: ScatterWidget,
        button: QToolButton,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._scatter, self._button = session, scatter, button
        self._making = Latest(self)
        self.drawn: Drawn | None = None
        self._depth = DEPTH
        menu = button.menu()
        menu.setToolTipsVisible(True)
        deeper = menu.addAction("Minima deeper than…", self._ask_depth)
        deeper.setToolTip("kT that one has to climb out of a minimum for it to be marked")
        self.join = menu.addAction("Minima as points of a path", self._join)
        self.join.setToolTip("From left to right; the Movie panel orders, joins and decodes them")
        button.toggled.connect(self._toggle)
        scatter.minimum_clicked.connect(self._go_to)
        self._making.returned.connect(self._take)
        self._making.failed.connect(self._give_up)
        bind(
            self,
            (session.opened, self._again),
            (session.views_changed, self._again),
            (session.landscape_changed, self._again),
        )

    # ---- what is asked for

    def _toggle(self, on: bool) -> None:
        if on == (self._session.landscape is not None):
            return
        if on and self._session.snapshot is None:
            self._button.setChecked(False)
            return
        self._session.set_landscape(self._depth if on else None)
        if not on:
            self.told.emit("")

    def _ask_depth(self) -> None:
        words = "Mark minima that are deeper than (kT):"
        depth, accepted = QInputDialog.getDouble(
            self._scatter, "Free energy", words, self._depth, 0.05, 20, 2
        )
        if accepted:
            self._session.set_landscape(depth)

    def _again(self, *_: object) -> None:
        depth = self._session.landscape
        self._button.blockSignals(True)
        self._button.setChecked(depth is not None)
        self._button.blockSignals(False)
        self._show(None)
        if depth is None or self._session.snapshot is None:
            self._making.forget()
            return
        self._depth = depth
        self._making.ask(partial(_drawn, *self._session.coordinates(), depth))

    # ---- what is made

    def _take(self, made: Drawn) -> None:
        x, _ = self._session.coordinates()
        if self._session.landscape is None or len(x) != len(made.of[0]):
            return
        self._show(made)
        count, depth = len(made.found.minima), self._session.landscape
        some = "1 minimum is" if count == 1 else f"{count} minima are"
        umap = f" {OF_UMAP}" if self._session.projection.method == "umap" else ""
        self.told.emit(f"{some} deeper than {depth:g} kT; lines are 1 kT apart. {CAVEAT}{umap}")

    def _give_up(self, sentence: str) -> None:
        self._session.set_landscape(None)
        self.told.emit(sentence)

    def _show(self, made: Drawn | None) -> None:
        self.drawn = made
        self.join.setEnabled(made is not None)
        if made is None:
            self._scatter.set_landscape((), ())
            return
        marks = tuple(
            (one.x, one.y, f"{one.energy:.1f} kT, {100 * one.share:.0f} %")
            for one in made.found.minima
        )
        self._scatter.set_landscape(made.lines, marks)

    # ---- what is done with minima

    def _go_to(self, place: int) -> None:
        if self.drawn is not None:
            one = self.drawn.found.minima[place]
            self._session.move_cursor(one.x, one.y)

    def _join(self) -> None:
        attempt(self._set_route, self.told.emit)

    def _set_route(self) -> None:
        if self.drawn is None:
            raise ValueError(_NONE)
        minima = enumerate(self.drawn.found.minima, 1)
        found = sorted(minima, key=lambda pair: (pair[1].x, pair[1].y))
        if len(found) < 2:
            raise ValueError("A path needs two minima or more: ask for less deep ones.")
        before = self._session.route or Route()
        islands = sum(one.closed for _, one in found) > 1  # no chain of particles joins them
        kind: Kind = "line" if islands else "graph"
        anchors = tuple(
            Anchor.at(f"minimum {number}", self._session.lifted(one.x, one.y).z)
            for number, one in found
        )
        self._session.set_route(Route(kind, before.frames, before.closed, anchors=anchors))


def _drawn(x: Floats, y: Floats, depth: float, report: Report) -> Drawn:
    found = free_energy(x, y, depth)
    report(1, 2)
    lines = tuple((level, np.asarray(line)) for level, line in found.contours())
    return Drawn(found, lines, (x, y))
