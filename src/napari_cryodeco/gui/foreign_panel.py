"""The panel Other programs: latents that another program computed become a run to explore."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QPushButton, QSpinBox, QVBoxLayout, QWidget

from napari_cryodeco.gui.background import Report, Task
from napari_cryodeco.gui.docking import Scrolled
from napari_cryodeco.gui.editors import Fold, PathEditor
from napari_cryodeco.gui.task_row import TaskRow
from napari_cryodeco.gui.telling import explain

if TYPE_CHECKING:
    from napari_cryodeco.runs.adopt import Adopted

INTRODUCTION = (
    "Latents of cryoDRGN, cryoDRGN-AI, RECOVAR, cryoSPARC (3D Variability, 3D Flex, 3D "
    "Classification) or an .npy file. There is no decoder: maps are made of the particles you "
    "select. Nothing is written into the other program's folder."
)
LONGEST = 512  # numbers in z


@dataclass(frozen=True)
class Asked:
    """What is to be opened; None where the program's own folder says it."""

    source: Path
    run: Path
    particles: Path | None
    poses: Path | None
    ctf: Path | None
    subset: Path | None
    datadir: Path | None
    z_dim: int | None


def adopt_latents(asked: Asked, report: Report) -> Adopted:
    """Read the latents and make the run; may be cancelled between the two."""
    # both import torch
    from napari_cryodeco.data.foreign.opening import open_latents, with_given
    from napari_cryodeco.runs.adopt import adopt

    found = open_latents(asked.source, None, asked.z_dim)
    found = with_given(found, asked.poses, asked.ctf, asked.subset)
    report(1, 2)
    return adopt(found, asked.run, asked.particles, asked.datadir)


def suggest_run(source: Path) -> Path:
    """A new name beside the other program's folder."""
    home = source if source.is_dir() else source.parent
    home = home.parent if home.name == "out" else home
    number, name = 1, home.with_name(f"{home.name}-explored")
    while name.exists():
        number += 1
        name = home.with_name(f"{home.name}-explored-{number}")
    return name


class ForeignPanel(QWidget):
    """Asks for the latents, and for what their folder does not say."""

    adopted = Signal(object)  # Path of the run

    def __init__(self) -> None:
        super().__init__()
        self._task = Task(self)
        self._suggested: Path | None = None
        self.source = PathEditor(True, "result folder; or drop a file of latents here")
        particles = "Particles (*.star *.cs *.mrcs *.txt)"
        self.particles = PathEditor(False, "as recorded", particles)
        self.run = PathEditor(True, "new folder", save=True)
        self.z_dim = QSpinBox()
        self.poses = PathEditor(False, "as recorded", "Pickles (*.pkl)")
        self.ctf = PathEditor(False, "as recorded", "Pickles (*.pkl)")
        self.subset = PathEditor(False, "as recorded", "Rows (*.pkl *.npy)")
        self.datadir = PathEditor(True, "as recorded")
        self.open = QPushButton("Open")
        self.work = TaskRow(self._task, "steps done")
        self._lay_out()
        self.source.changed.connect(self._suggest)
        for editor in (self.source, self.run):
            editor.changed.connect(self._refresh)
        self.open.clicked.connect(self._start)
        self._task.returned.connect(self._done)
        self._task.ended.connect(self._refresh)
        self._refresh()

    def _lay_out(self) -> None:
        self.z_dim.setRange(0, LONGEST)
        self.z_dim.setSpecialValueText("only one")
        hints: tuple[tuple[QWidget, str], ...] = (
            (self.source, "Result folder of the program, z.N.pkl, conf.N.pkl, .cs or .npy"),
            (
                self.particles,
                "The file that the program was given, where its own folder does not say it: row i "
                "belongs to latent i",
            ),
            (self.run, "Folder to make, outside of the program's own"),
            (self.z_dim, "RECOVAR computes several z: the length of the one to open (numbers)"),
            (self.poses, "Orientations as `cryodrgn parse_pose_star` writes them"),
            (self.ctf, "CTF table as `cryodrgn parse_ctf_star` writes it"),
            (self.subset, "Row numbers from 0 that the latents belong to (cryoDRGN's --ind)"),
            (self.datadir, "Folder of the particle stacks, where they are not near their file"),
            (self.open, "Read the latents, make the run, and show it in the Explorer"),
        )
        explain(dict(hints))
        told = QLabel(INTRODUCTION)
        told.setWordWrap(True)
        page, more = QWidget(), QWidget()
        rows, column = QFormLayout(), QVBoxLayout(page)
        rows.addRow("Latents", self.source)
        rows.addRow("Particles", self.particles)
        rows.addRow("Run", self.run)
        others = QFormLayout(more)
        others.addRow("Length of z", self.z_dim)
        others.addRow("Orientations", self.poses)
        others.addRow("CTF", self.ctf)
        others.addRow("Subset", self.subset)
        others.addRow("Stacks", self.datadir)
        column.addWidget(told)
        column.addLayout(rows)
        column.addWidget(Fold("More", more))
        column.addWidget(self.open)
        column.addWidget(self.work)
        column.addStretch()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(Scrolled(page))

    def show_source(self, source: Path) -> None:
        """Fill in the latents to open."""
        self.source.show_value(source)

    def _suggest(self) -> None:
        """Name the run after the source, unless the user named it."""
        source = self.source.value()
        if source is None or not source.exists() or self.run.value() not in (None, self._suggested):
            return
        self._suggested = suggest_run(source.absolute())
        self.run.show_value(self._suggested)

    def _refresh(self) -> None:
        named = self.source.value() is not None and self.run.value() is not None
        self.open.setEnabled(named and not self._task.busy)

    def _start(self) -> None:
        source, run = self.source.value(), self.run.value()
        if source is None or run is None or self._task.busy:
            return
        asked = Asked(
            source,
            run,
            self.particles.value(),
            self.poses.value(),
            self.ctf.value(),
            self.subset.value(),
            self.datadir.value(),
            self.z_dim.value() or None,
        )
        self.work.say("")
        self.work.start(partial(adopt_latents, asked))
        self._refresh()

    def _done(self, made: Adopted) -> None:
        self.work.say(" ".join(made.notes))
        self.adopted.emit(made.run.path)
