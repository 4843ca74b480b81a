"""The explorer's view: which plane, which colours, which clusters, and where the cursor stands."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog

from napari_cryodeco.gui.analysis import Analysis
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.colours import Colours
from napari_cryodeco.gui.scatter import ScatterWidget
from napari_cryodeco.gui.session import Session, Target
from napari_cryodeco.gui.telling import attempt
from napari_cryodeco.gui.view_bar import OF_SELECTION, REMOVE, ViewBar

if TYPE_CHECKING:
    from napari_cryodeco.explore.landscape import ClusterCurve, Clustering, Projection

ASK_COLUMN = "Add columns: .npy, one row a particle; or .csv, joined by rlnImageName or uid"


class ExplorerView(QObject):
    """Binds the view bar, the analysis and the scatter plot to what a session looks at.

    Parameters
    ----------
    session
        Of the viewer.
    scatter, bar, analysis
        The widgets; this object owns none of them.
    """

    told = Signal(str)  # one sentence, or "" where all went well

    def __init__(
        self,
        session: Session,
        scatter: ScatterWidget,
        bar: ViewBar,
        analysis: Analysis,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._scatter, self._bar, self._analysis = session, scatter, bar, analysis
        self.colours = Colours(session, self)
        self._drawn: object = None  # run and plane that are in view
        self._run_path: Path | None = None
        bar.view_chosen.connect(self._choose_view)
        bar.axes_chosen.connect(
            lambda x, y: self._try(lambda: session.set_view(session.view, (x, y)))
        )
        bar.colour_chosen.connect(lambda key: self._try(lambda: self.colours.choose(key)))
        bar.column_asked.connect(self._ask_column)
        self.colours.changed.connect(self._show_colours)
        self.colours.told.connect(self.told)
        bar.cluster_asked.connect(
            lambda k, method: self._try(
                lambda: analysis.start_clusters(session.loaded(), k, method)
            )
        )
        bar.suggestion_asked.connect(
            lambda: self._try(lambda: analysis.start_suggestion(session.loaded()))
        )
        analysis.suggested.connect(self._suggested)
        analysis.projected.connect(self._projected)
        analysis.clustered.connect(self._clustered)
        analysis.failed.connect(self.told)
        scatter.pointed.connect(session.move_cursor)
        scatter.set_hover(session.describe)
        bind(
            self,
            (session.opened, self._show_run),
            (session.views_changed, self._show_points),
            (session.views_changed, self._show_colours),  # one is of the plane in view
            (session.colour_changed, self._show_colouring),
            (session.clustering_changed, self._show_colours),
            (session.cursor_changed, self._show_cursor),
            (session.target_changed, self._show_cursor),
            (session.path_changed, self._show_path),
            (session.path_position_changed, scatter.set_path_position),
        )

    # ---- what is chosen

    def _choose_view(self, method: str) -> None:
        snapshot = self._session.snapshot
        if snapshot is None:
            return
        if method in OF_SELECTION or method == REMOVE:
            self._show_view()
            self._try(self._remove_view if method == REMOVE else partial(self._project, method))
            return
        if method in snapshot.projections:
            self._session.set_view(method)
            return
        self._show_view()  # back to what is shown until the new one is there
        self._analysis.start_umap(snapshot)

    def _project(self, choice: str) -> None:
        """Compute the projection of the selected particles alone."""
        from napari_cryodeco.explore.selection import Selection  # torch, which an open run has

        history = self._session.history
        if history is None or not history.count:
            raise ValueError("Nothing is selected: its own projection is that of a selection.")
        steps = history.recipe.steps
        plain = len(steps) == 1 and steps[0].kind != "rows"
        words = steps[0].words() if plain else "selection"
        name = f"{words[:28]} ({history.count:,})"
        chosen = Selection(name, history.rows, history.recipe)
        self._analysis.start_part(self._session.loaded(), chosen, OF_SELECTION[choice])

    def _remove_view(self) -> None:
        from napari_cryodeco.explore import parts

        session = self._session
        parts.forget(session.loaded().run.paths.views, session.projection)
        session.drop_projection(session.view)

    def _projected(self, projection: Projection) -> None:
        if projection.epoch == self._session.epoch:
            self._session.add_projection(projection)

    def _clustered(self, clustering: Clustering) -> None:
        if clustering.epoch == self._session.epoch:
            self.colours.clustered()
            self._session.set_clustering(clustering)

    def _suggested(self, curve: ClusterCurve) -> None:
        self._bar.k.setValue(curve.suggested)

    def _ask_column(self) -> None:
        self._show_colours()  # back to what is shown until there is another
        start = str(self._session.loaded().run.path.parent)
        kinds = "Columns (*.npy *.csv *.tsv *.txt)"
        chosen, _ = QFileDialog.getOpenFileName(self._bar, ASK_COLUMN, start, kinds)
        if chosen:
            self._try(lambda: self.colours.add(Path(chosen)))

    @property
    def colour(self) -> str:
        """Key of what the particles are coloured by, or will be once it is read."""
        return self.colours.wanted

    def resume_colour(self, key: str) -> None:
        """Colour as in an earlier session, now or as soon as there is a column of this name."""
        self.colours.resume(key)

    # ---- what is shown

    def _show_run(self) -> None:
        run, clusters = self._session.loaded().run, self._session.clustering
        if run.path != self._run_path and clusters is not None:
            self._bar.show_clusters(clusters.method, len(clusters.centres))
        self._run_path = run.path
        self._show_points()  # as many points as there will be colours
        self.colours.renew()

    def _show_view(self) -> None:
        session = self._session
        kept = session.loaded().projections.values()
        titles = {made.key: made.title for made in kept if made.part is not None}
        self._bar.show_view(session.view, session.axis_names(), session.axes, titles)

    def _show_points(self) -> None:
        session = self._session
        if session.snapshot is None:
            return
        self._show_view()
        names = session.axis_names()
        shown = tuple(names[a] if a < len(names) else "" for a in session.axes)
        here = (session.loaded().run.path, session.view, session.axes)
        zoomed = here == self._drawn and not self._scatter.fitted
        self._drawn = here
        names_shown = (shown[0], shown[1])
        self._scatter.set_points(*session.coordinates(), names_shown, fit=not zoomed)
        self._show_cursor()
        self._show_path()

    def _show_colours(self) -> None:
        self._bar.show_colours(self.colours.listed(), self.colours.chosen)

    def _show_colouring(self) -> None:
        self._try(lambda: self._scatter.set_colouring(self._session.colouring))
        self._show_colours()

    def _show_cursor(self) -> None:
        cursor = self._session.cursor
        idle = self._session.target not in (Target.POINT, Target.PARTICLE)
        there = cursor is not None and np.isfinite((cursor.x, cursor.y)).all()
        self._scatter.set_cursor((cursor.x, cursor.y) if cursor and there else None, idle)

    def _show_path(self) -> None:
        path = self._session.path
        places = None if path is None else self._session.project(path)
        self._scatter.set_path(places, self._session.path_support)
        self._scatter.set_path_position(self._session.path_position)

    def _try(self, act: Callable[[], object]) -> None:
        attempt(act, self.told.emit)
