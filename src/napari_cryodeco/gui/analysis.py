"""UMAP, clusters and neighbours of the latents in the background, with what is left to wait."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_cryodeco.explore.neighbours import COUNT
from napari_cryodeco.explore.replay import part_method, replay
from napari_cryodeco.gui.background import Report, Task
from napari_cryodeco.gui.curve_of_k import CurveOfK
from napari_cryodeco.gui.export_choice import NO_CLUSTERS
from napari_cryodeco.gui.snapshot import columns_of
from napari_cryodeco.gui.watching import remaining
from napari_cryodeco.jobs import step_back

if TYPE_CHECKING:
    from napari_cryodeco.explore.cluster_edit import Edit
    from napari_cryodeco.explore.epoch_columns import EpochColumns
    from napari_cryodeco.explore.landscape import ClusterCurve, Clustering, Projection
    from napari_cryodeco.explore.parts import PartMethod
    from napari_cryodeco.explore.recipe import Step
    from napari_cryodeco.explore.selection import Selection
    from napari_cryodeco.gui.snapshot import Floats, Snapshot


def make_umap(snapshot: Snapshot, report: Report) -> Projection:
    """Compute the UMAP of an epoch and keep it with the run."""
    _project(snapshot, report)
    made = _kept(snapshot, "umap")
    if made is None:
        raise ValueError(f"{snapshot.run.path}: the UMAP that was written is no projection.")
    return made


def _project(snapshot: Snapshot, report: Report, *options: str) -> None:
    """Run ``cryodeco project`` in a process of its own, to be cancelled at any time.

    UMAP's compiled code holds Python's lock for seconds at a time, in which the window would stand
    still.
    """
    run, epoch = snapshot.run.path, snapshot.epoch
    command = [sys.executable, "-m", "napari_cryodeco", "project", str(run), "--epoch", str(epoch)]
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said.txt"
        with said.open("wb") as file:
            child = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=file)
        step_back(child.pid)
        try:
            while child.poll() is None:
                report(_percent(_last_line(said)), 100)
                time.sleep(0.2)
        finally:
            child.kill()  # after a cancel; it has ended otherwise
            child.wait()
        if child.returncode:
            raise ValueError(_last_line(said) or f"{' '.join(command)} ended without a word.")


def make_part(
    snapshot: Snapshot, chosen: Selection, method: PartMethod, seed: int, report: Report
) -> Projection:
    """Compute the projection of some particles alone, and keep it with the run."""
    from napari_cryodeco.explore import parts

    epoch, views = snapshot.epoch, snapshot.run.paths.views
    key = parts.key_of(snapshot.latents, chosen.rows, method, seed)
    if method == "umap" and not parts.place(views, epoch, method, key).is_file():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "selection.safetensors"
            chosen.save(file)
            _project(snapshot, report, "--of", str(file), "--seed", str(seed))
    steps = chosen.recipe.steps
    return parts.kept_part(
        views, snapshot.latents, epoch, chosen.rows, method, seed, steps, chosen.name
    )


def _make_parts(
    steps: Sequence[Step], columns: EpochColumns, snapshot: Snapshot, report: Report
) -> None:
    """Compute in a process what a recipe will ask of projections of selections."""
    from napari_cryodeco.explore.selection import Recipe, Selection

    for step in steps:
        _make_parts(step.steps, columns, snapshot, report)
        if step.kind == "lasso" and step.steps:
            rows = np.flatnonzero(replay(step.steps, columns))
            chosen = Selection(step.steps[-1].words(), rows, Recipe(step.steps))
            make_part(snapshot, chosen, part_method(step), step.labels[0], report)


def _kept(snapshot: Snapshot, method: str) -> Projection | None:
    """A projection of the epoch that is kept with the run, if it is there."""
    from napari_cryodeco.explore import landscape  # torch: on this thread only

    path = snapshot.run.paths.views / f"{snapshot.epoch:04d}-{method}.safetensors"
    made = landscape.load(path) if path.is_file() else None
    return made if isinstance(made, landscape.Projection) else None


def _last_line(said: Path) -> str:
    return (said.read_text(encoding="utf-8").strip().splitlines() or [""])[-1]


def _percent(line: str) -> int:
    """What the command line's progress line says, e.g. ``UMAP, 34%, 12 s left``."""
    found = re.search(r"(\d+)%", line)
    return int(found[1]) if found else 0


def cluster_space(snapshot: Snapshot, report: Report) -> Floats:
    """Where clusters are sought: z, or the 16-dimensional UMAP of a z with more dimensions."""
    from napari_cryodeco.explore import landscape

    views, latents = snapshot.run.paths.views, snapshot.latents
    if latents.shape[1] > landscape.MOST_DIMENSIONS and _kept(snapshot, landscape.SPACE) is None:
        _project(snapshot, report, "--space")
    return landscape.kept_space(views, latents, snapshot.epoch)


def make_clusters(snapshot: Snapshot, number: int, method: Any, report: Report) -> Clustering:
    """Sort the latents of an epoch into clusters and keep them with the run.

    `number` is k, or of HDBSCAN the fewest particles of a cluster (0: its default).
    """
    from napari_cryodeco.explore import landscape

    space = cluster_space(snapshot, report)
    latents, epoch = snapshot.latents, snapshot.epoch
    if method == "hdbscan":
        made = landscape.cluster_by_density(latents, number or None, epoch=epoch, space=space)
    else:
        made = landscape.cluster(latents, number, method, epoch=epoch, space=space)
    report(1, 1)  # who cancelled meanwhile does not want it
    landscape.save(made, snapshot.run.paths.views)
    return made


def edit_clusters(snapshot: Snapshot, edit: Edit, report: Report) -> Clustering:
    """Do one act by hand on the clusters of an epoch, and keep what comes of it with the run."""
    from napari_cryodeco.explore import landscape, regroup

    if snapshot.clustering is None:
        raise ValueError(NO_CLUSTERS)
    space = cluster_space(snapshot, report) if edit.kind == "split" else None
    made = regroup.edited(snapshot.clustering, edit, snapshot.latents, space)
    report(1, 1)  # who cancelled meanwhile does not want it
    landscape.save(made, snapshot.run.paths.views)
    return made


def undo_cluster_edit(snapshot: Snapshot, report: Report) -> Clustering:
    """Take the last act by hand back, in the window and in the files of the run."""
    from napari_cryodeco.explore import landscape

    report(0, 1)
    return landscape.undo_edit(snapshot.run.paths.views, snapshot.epoch, snapshot.clustering)


def suggest_k(snapshot: Snapshot, report: Report) -> ClusterCurve:
    """Score numbers of clusters and keep the curve with the run."""
    from napari_cryodeco.explore import landscape

    space = cluster_space(snapshot, report)
    curve = landscape.suggest(snapshot.latents, progress=report, space=space)
    landscape.save_curve(curve, snapshot.run.paths.views, snapshot.epoch)
    return curve


def find_neighbours(snapshot: Snapshot, report: Report) -> tuple[int, NDArray[np.int32]]:
    """Find the nearest particles of each in z, and keep them with the run; with the epoch."""
    columns = replace(columns_of(snapshot), progress=report)
    return snapshot.epoch, columns.neighbours(COUNT)


def replay_recipe(
    selection: Selection, snapshot: Snapshot, table: Mapping[str, Any], report: Report
) -> tuple[Selection, NDArray[np.bool_]]:
    """What the steps of a named selection select in an epoch, ``(n,)`` bool."""
    columns = replace(columns_of(snapshot, table), progress=report)
    _make_parts(selection.recipe.steps, columns, snapshot, report)
    return selection, replay((selection.as_step(),), columns)


class Analysis(QWidget):
    """Does one of them at a time: a bar with Cancel while it lasts, then the curve over k."""

    projected = Signal(object)
    clustered = Signal(object)
    suggested = Signal(object)
    neighboured = Signal(object)  # (epoch, rows (n, k) of the nearest in z)
    replayed = Signal(object)  # (Selection, mask (n,) bool)
    failed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._task = Task(self)
        self._what = ""
        self._begun = 0.0
        self._answer: Any = self.projected
        self._words = QLabel()  # a bar without an end shows no text of its own
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._cancel = QPushButton("Cancel")
        self._cancel.setToolTip("Stop; what was made before stays as it is")
        self.curve = CurveOfK()
        self._row = QWidget()
        row = QHBoxLayout(self._row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._words)
        row.addWidget(self._bar, 1)
        row.addWidget(self._cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._row)
        column.addWidget(self.curve)
        self._row.hide()
        self._cancel.clicked.connect(self._give_up)
        self._task.progressed.connect(self._show_progress)
        # Bound methods: Qt drops what is still queued for them when this widget goes, but calls a
        # lambda on the dead widget, and the process dies with it.
        self._task.returned.connect(self._hand_over)
        self._task.failed.connect(self.failed)
        self._task.ended.connect(self._row.hide)
        self.suggested.connect(self.curve.show_curve)

    def _hand_over(self, answer: Any) -> None:
        self._answer.emit(answer)

    @property
    def busy(self) -> bool:
        """Whether something is being computed."""
        return self._task.busy

    def start_umap(self, snapshot: Snapshot) -> None:
        """Compute a UMAP."""
        self._start("UMAP", lambda report: make_umap(snapshot, report), self.projected)

    def start_part(self, snapshot: Snapshot, chosen: Selection, method: PartMethod) -> None:
        """Compute the projection of some particles alone."""
        work = partial(make_part, snapshot, chosen, method, 0)
        self._start(f"{method.upper()} of {len(chosen):,} particles", work, self.projected)

    def start_clusters(self, snapshot: Snapshot, number: int, method: str) -> None:
        """Compute clusters; `number` as in :func:`make_clusters`."""
        what = "Dense regions" if method == "hdbscan" else f"{number} clusters"
        work = partial(make_clusters, snapshot, number, method)
        self._start(what, work, self.clustered)

    def start_edit(self, snapshot: Snapshot, edit: Edit) -> None:
        """Change the clusters by hand."""
        self._start("Clusters by hand", partial(edit_clusters, snapshot, edit), self.clustered)

    def start_undo(self, snapshot: Snapshot) -> None:
        """Take the last change of the clusters by hand back."""
        self._start("Clusters by hand", partial(undo_cluster_edit, snapshot), self.clustered)

    def start_suggestion(self, snapshot: Snapshot) -> None:
        """Find a number of clusters."""
        self._start("Trying 1 to 10 clusters", lambda r: suggest_k(snapshot, r), self.suggested)

    def start_neighbours(self, snapshot: Snapshot) -> None:
        """Find the nearest neighbours in z."""
        work = partial(find_neighbours, snapshot)
        self._start("Neighbours in z", work, self.neighboured)

    def start_replay(
        self, selection: Selection, snapshot: Snapshot, table: Mapping[str, Any]
    ) -> None:
        """Do the steps of a named selection again; `table` are columns of the user's file."""
        work = partial(replay_recipe, selection, snapshot, table)
        self._start(f"Recipe of '{selection.name}'", work, self.replayed)

    def _start(self, what: str, work: Any, answer: Any) -> None:
        if self._task.busy:
            self.failed.emit(f"{self._what} is still being computed: wait or cancel it.")
            return
        self._what, self._begun, self._answer = what, time.monotonic(), answer
        self._bar.setRange(0, 0)
        self._words.setText(f"{what}…")
        self._cancel.setEnabled(True)
        self._row.show()
        self._task.start(work)

    def _show_progress(self, done: int, of: int) -> None:
        self._bar.setRange(0, of if done else 0)
        self._bar.setValue(done)
        passed = time.monotonic() - self._begun
        left = remaining(passed / done * (of - done)) if done else ""
        self._words.setText(f"{self._what}: {left} left" if done else f"{self._what}…")

    def _give_up(self) -> None:
        self._task.cancel()
        self._cancel.setEnabled(False)
        self._words.setText(f"{self._what}: ending…")
