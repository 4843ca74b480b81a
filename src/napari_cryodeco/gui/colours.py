"""The colours that particles can have: those of the run itself, and every column there is."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_cryodeco.explore.free_energy import PREFIX
from napari_cryodeco.explore.read_columns import ReadColumns
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.colouring import (
    Colouring,
    Density,
    Directional,
    by_angle,
    by_column,
    by_value,
)
from napari_cryodeco.gui.latest import Latest
from napari_cryodeco.gui.session import Session
from napari_cryodeco.gui.snapshot import columns_of, own_colourings

if TYPE_CHECKING:
    from napari_cryodeco.explore.epoch_columns import EpochColumns
    from napari_cryodeco.gui.background import Report
    from napari_cryodeco.runs.run import Run

PLAIN = "density"
DIRECTION = "viewing direction"
_SAME = ("posterior", "species", "species posterior")  # of the run's own, under other names


class Colours(QObject):
    """Lists colours of a session, makes the chosen one off the GUI thread, adds columns.

    Parameters
    ----------
    session
        Of the viewer.
    """

    changed = Signal()  # which colours there are, or which is chosen
    told = Signal(str)  # one sentence, or "" when there is no more to say

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.chosen = PLAIN
        self._awaited = ""  # colour of an earlier session, until its column is listed
        self._own: Colouring | None = None  # what was made here last
        self._other = ""  # what another panel coloured by, where no column is of that name
        self._gaps = ""  # what to say once the colours of an added column are there
        self._reading, self._adding = Latest(self), Latest(self)
        self._reading.returned.connect(self._take)
        self._adding.returned.connect(self._added)
        for latest in (self._reading, self._adding):
            latest.failed.connect(self.told)
        bind(self, (session.columns_changed, self._anew), (session.colour_changed, self._seen))

    def listed(self) -> dict[str, str]:
        """What is shown of each colour, by the key to choose it with."""
        session = self._session
        if session.snapshot is None:
            return {PLAIN: PLAIN}
        found = {PLAIN: PLAIN}
        if {"azimuth", "tilt"} <= set(session.columns):
            found[DIRECTION] = f"{DIRECTION} (hue)"
        found |= {name: name for name in own_colourings(session.snapshot)}
        found |= {key: f"{key} (kT)" for key in self._energies()}
        found |= {key: _words(session.columns, name) for key, name in self._keys().items()}
        return found | ({self._other: self._other} if self._other else {})

    def _energies(self) -> list[str]:
        """Free energies there are to colour by: of the plane in view, and the one chosen."""
        session = self._session
        chosen = [self.chosen] if self.chosen.startswith(PREFIX) else []
        if session.snapshot is None or session.projection.part is not None:
            return chosen  # a column is of all particles
        here = f"{PREFIX}{', '.join(session.axis_labels())}"
        return list(dict.fromkeys([*chosen, here]))

    def _keys(self) -> dict[str, str]:
        """Names of the columns by their keys; what the run's own colours show is left out."""
        session = self._session
        of_epoch = columns_of(session.loaded())
        own = {*of_epoch.label_names(), *of_epoch.number_names(), *_SAME}
        listed = session.columns.listed
        names = [c.name for c in listed if c.origin == "user" or c.name not in own]
        return {name if name != PLAIN else "local density": name for name in names}

    @property
    def wanted(self) -> str:
        """Key of what is chosen, or will be once there is such a column."""
        return self._awaited or self.chosen

    def choose(self, key: str) -> None:
        """Colour by it: at once, or once its column is read."""
        self._awaited = ""
        self._colour_by(key)

    def resume(self, key: str) -> None:
        """Colour as in an earlier session: now, or once there is a column of this name."""
        if key in self.listed():
            self.choose(key)
        else:
            self._awaited = key

    def _colour_by(self, key: str) -> None:
        session = self._session
        own = own_colourings(session.loaded())
        names = self._keys()
        if key in own:
            self._reading.forget()
            self.chosen = key
            self._set(own[key]())
        elif key in self._energies():
            self.chosen, self._other = key, ""
            self._reading.ask(partial(_energy, columns_of(session.loaded()), key))
        elif key in names or (key == DIRECTION and DIRECTION in self.listed()):
            self.chosen, self._other = key, ""
            name = names.get(key, DIRECTION)
            self.told.emit(f"Reading {name}…")
            self._reading.ask(partial(colouring_of, session.columns, name))
        self.changed.emit()

    def _set(self, colouring: Colouring) -> None:
        self._own, self._other = colouring, ""
        self._session.set_colouring(colouring)

    def _seen(self) -> None:
        """Another panel has coloured the particles: say by what."""
        colouring = self._session.colouring
        if colouring is self._own or isinstance(colouring, Density):
            return
        self._reading.forget()
        named = {name: key for key, name in self._keys().items()}
        key = named.get(colouring.label, colouring.label)
        self._own, self.chosen, self._awaited, self._other = colouring, key, "", ""
        if key not in self.listed():
            self._other = key
        self.changed.emit()

    def clustered(self) -> None:
        """Take note that the session is coloured by clusters."""
        self._reading.forget()
        self.chosen, self._awaited = "cluster", ""

    def add(self, path: Path) -> None:
        """Keep the columns of a user's file with the run, and colour by the first of them."""
        snapshot = self._session.loaded()
        self.told.emit(f"Reading {path.name}…")
        self._adding.ask(partial(_brought, path, snapshot.run, snapshot.epoch))

    def _take(self, colouring: Colouring) -> None:
        values = getattr(colouring, "values", getattr(colouring, "codes", None))
        if values is None or len(values) == len(self._session.loaded().latents):
            self._set(colouring)
        self.told.emit(self._gaps)  # after the colours, whose success says nothing
        self._gaps = ""

    def _added(self, answer: tuple[Path, ReadColumns, list[str], str]) -> None:
        run, columns, names, gaps = answer
        if self._session.run is not None and self._session.run.path == run:
            self._session.set_columns(columns)
            first = next(name for name in names if name in columns)
            self.choose(first)
            self._gaps = gaps

    def renew(self) -> None:
        """Colour another run or epoch as the last one, where it has that colour."""
        self._other = ""
        self._colour_by(self.chosen if self.chosen in self.listed() else PLAIN)

    def _anew(self) -> None:
        """Other columns may have other values under the same name."""
        if self._awaited in self.listed():
            self.resume(self._awaited)
        elif self._session.snapshot is not None and self.chosen in {*self._keys(), DIRECTION}:
            self.renew()
        else:
            self.changed.emit()


def _words(columns: ReadColumns, name: str) -> str:
    column = columns.column(name)
    named = column.origin == "file" and column.title != name  # as in the user's file
    return f"{column.label} · {name}" if named else column.label


def colouring_of(columns: ReadColumns, name: str, report: Report) -> Colouring:
    """The colours of a column; text of many particles takes a while."""
    if name == DIRECTION:
        azimuth, tilt = (columns[axis].astype("float32") for axis in ("azimuth", "tilt"))
        return Directional(azimuth, tilt)
    column, values = columns.column(name), columns[name]
    report(1, 2)
    if column.period is not None and values.dtype.kind == "f":
        return by_angle(name, values, column.period, column.label)
    return by_column(name, values, column.label)


def _energy(columns: EpochColumns, name: str, report: Report) -> Colouring:
    values = columns.column(name)
    report(1, 2)
    return by_value(name, values, f"{name} (kT)")


def _brought(
    path: Path, run: Run, epoch: int, report: Report
) -> tuple[Path, ReadColumns, list[str], str]:
    from napari_cryodeco.explore.user_columns import bring  # torch: on this thread only

    found = bring(path, run)
    columns = ReadColumns.of_run(run, epoch)
    names = [f"{name} (added)" if f"{name} (added)" in columns else name for name in found.values]
    return run.path, columns, names, found.gaps
