"""Clusters changed by hand in the window: the menu, its keys, and which clusters are meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
from qtpy.QtCore import QObject, QPoint, Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QInputDialog, QMenu

from napari_cryodeco.gui.analysis import Analysis
from napari_cryodeco.gui.colouring import Categorical
from napari_cryodeco.gui.export_choice import NO_CLUSTERS
from napari_cryodeco.gui.scatter import ScatterWidget
from napari_cryodeco.gui.session import Session
from napari_cryodeco.gui.telling import attempt

if TYPE_CHECKING:
    from napari_cryodeco.explore.cluster_edit import Edit
    from napari_cryodeco.explore.landscape import Clustering

_ONE = "Select one cluster first: click it in the legend, or with the Pick tool (C)."
_SEVERAL = "Select two clusters or more first: click one in the legend, Shift and click another."
_ACTS = {
    "merge": ("Merge the selected clusters", "Whole clusters that are selected become one (M)"),
    "split": ("Split the cluster…", "The selected cluster falls into parts, by its mixture (S)"),
    "rename": ("Name the cluster…", "The selected cluster gets a name, in all that is written (N)"),
    "take": (
        "The selection becomes a cluster",
        "The selected particles leave their clusters and make one of their own (O)",
    ),
    "undo": ("Undo the last of these", "Clusters are as they were before it, to the bit (U)"),
    "redo": ("Redo", "What was undone last is done again (Shift+U)"),
}


def whole_clusters(mask: np.ndarray, clusters: Clustering) -> tuple[int, ...]:
    """Numbers from 1 of the clusters that `mask` ``(n,)`` is exactly; empty if it is none such."""
    chosen = np.bincount(clusters.labels[mask] + 1, minlength=len(clusters.centres) + 1)[1:]
    whole = (chosen > 0) & (chosen == clusters.counts)
    exact = int(chosen[whole].sum()) == int(np.count_nonzero(mask))
    return tuple((np.flatnonzero(whole) + 1).tolist()) if exact else ()


class ClustersByHand(QObject):
    """Binds the menu and the legend to the clusters of a session.

    Parameters
    ----------
    session, scatter, analysis
        Of the viewer; this object owns none of them.
    menu
        To be filled.
    """

    told = Signal(str)  # one sentence

    def __init__(
        self,
        session: Session,
        scatter: ScatterWidget,
        menu: QMenu,
        analysis: Analysis,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._menu, self._analysis = session, menu, analysis
        self._window = scatter
        menu.setToolTipsVisible(True)
        self.actions: dict[str, QAction] = {}
        self._undone: dict[str, Edit] = {}  # by the fingerprint of the clusters it was undone to
        for name, (words, tip) in _ACTS.items():
            if name == "undo":
                menu.addSeparator()
            self.actions[name] = menu.addAction(words, lambda name=name: self.act(name))
            self.actions[name].setToolTip(tip)
        menu.aboutToShow.connect(self._enable)
        scatter.category_menu.connect(self._pop_up)

    def act(self, name: str) -> None:
        """Do what an entry of the menu says: merge, split, rename, take, undo, redo."""
        acts: dict[str, Callable[[], None]] = {
            "merge": self._merge,
            "split": self._split,
            "rename": self._rename,
            "take": self._take,
            "undo": self._undo,
            "redo": self._redo,
        }
        attempt(acts[name], self.told.emit)

    # ---- what is meant

    def _clusters(self) -> Clustering:
        self._session.loaded()
        if self._session.clustering is None:
            raise ValueError(NO_CLUSTERS)
        return self._session.clustering

    def _chosen(self) -> tuple[int, ...]:
        history = self._session.history
        return () if history is None else whole_clusters(history.mask, self._clusters())

    def _one(self) -> int:
        chosen = self._chosen()
        if len(chosen) != 1:
            raise ValueError(_ONE)
        return chosen[0]

    def _enable(self) -> None:
        clusters, selected = self._session.clustering, len(self._session.selected)
        chosen = () if clusters is None else self._chosen()
        there = clusters is not None and not self._analysis.busy
        self.actions["merge"].setEnabled(there and len(chosen) > 1)
        for name in ("split", "rename"):
            self.actions[name].setEnabled(there and len(chosen) == 1)
        self.actions["take"].setEnabled(there and selected > 0 and len(chosen) != 1)
        done = clusters.edits if clusters is not None else ()
        self.actions["undo"].setEnabled(there and bool(done))
        self.actions["undo"].setText(f"Undo: {done[-1].words()}" if done else _ACTS["undo"][0])
        undone = None if clusters is None else self._undone.get(clusters.fingerprint)
        self.actions["redo"].setEnabled(there and undone is not None)
        self.actions["redo"].setText(f"Redo: {undone.words()}" if undone else _ACTS["redo"][0])

    def _pop_up(self, code: int, where: QPoint) -> None:
        """On an entry of the legend: its cluster is meant, unless it is selected already."""
        colouring, history = self._session.colouring, self._session.history
        by_cluster = isinstance(colouring, Categorical) and colouring.label == "cluster"
        if not by_cluster or history is None or code < 0:
            return
        if code + 1 not in self._chosen():
            self._window.category_clicked.emit(code, "replace")
        self._menu.popup(where)

    # ---- acts

    def _merge(self) -> None:
        from napari_cryodeco.explore.cluster_edit import Edit

        chosen = self._chosen()
        if len(chosen) < 2:
            raise ValueError(_SEVERAL)
        self._analysis.start_edit(self._session.loaded(), Edit("merge", chosen))

    def _split(self) -> None:
        from napari_cryodeco.explore.cluster_edit import Edit

        number = self._one()
        title = self._clusters().titles[number - 1]
        words = f"Parts of {title}:"
        parts, accepted = QInputDialog.getInt(self._window, "Split the cluster", words, 2, 2, 20)
        if accepted:
            edit = Edit("split", (number,), parts=parts, method=self._method())
            self._analysis.start_edit(self._session.loaded(), edit)

    def _method(self) -> Literal["gmm", "kmeans"]:
        """That of the clusters; of HDBSCAN, whose regions have no parts by density, a mixture."""
        return "kmeans" if self._clusters().method == "kmeans" else "gmm"

    def _rename(self) -> None:
        from napari_cryodeco.explore.cluster_edit import Edit

        number, clusters = self._one(), self._clusters()
        before = clusters.names[number - 1] if clusters.names else ""
        name, accepted = QInputDialog.getText(
            self._window, "Name the cluster", f"Name of {clusters.titles[number - 1]}:", text=before
        )
        if accepted and name.strip() != before:
            edit = Edit("rename", (number,), name=name.strip())
            self._analysis.start_edit(self._session.loaded(), edit)

    def _take(self) -> None:
        from napari_cryodeco.explore.regroup import take

        self._clusters()
        history = self._session.history
        assert history is not None  # a run is open
        edit = take(history.mask, "", history.recipe.steps)
        self._analysis.start_edit(self._session.loaded(), edit)

    def _undo(self) -> None:
        clusters = self._clusters()
        if clusters.edits:
            self._undone[clusters.before] = clusters.edits[-1]
        self._analysis.start_undo(self._session.loaded())

    def _redo(self) -> None:
        edit = self._undone.get(self._clusters().fingerprint)
        if edit is None:
            raise ValueError("There is nothing to redo: no act on these clusters was undone.")
        self._analysis.start_edit(self._session.loaded(), edit)
