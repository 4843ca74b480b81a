"""How a run gets on: one line, a bar with an estimate, curves of loss and resolution, the log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QFontDatabase
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.gui.curves import CurvePlot, Series
from napari_cryodeco.gui.metrics import MetricHistory
from napari_cryodeco.gui.telling import readable
from napari_cryodeco.gui.watching import headline
from napari_cryodeco.runs.latent_size import LatentSize, in_short, size_sentence
from napari_cryodeco.runs.species import SpeciesRecord, share, summary

if TYPE_CHECKING:
    from napari_cryodeco.runs.progress import Update

LOG_TAIL_BYTES = 200_000
FACTS = (
    "The pretrained encoder that this run used, how long z is, and how far each species can be "
    "trusted."
)
COMPONENTS = (
    "Components of the linear start. Gain: log-likelihood per image by which one improves the "
    "prediction of half of the pixels of unseen images from the others; confirmed where it is more "
    "than twice its error."
)
TITLES = ("species", "particles", "agreement", "sides seen", "explained", "half-maps", "")
FITS = {"loss": "loss", "log_likelihood": "log likelihood per image"}  # what stages call their fit


class ProgressView(QWidget):
    """Shows the updates of one run."""

    def __init__(self) -> None:
        super().__init__()
        self._history = MetricHistory()
        self.line = QLabel("Choose particles and a run folder, then press Start.")
        self.line.setWordWrap(True)
        self.facts = QLabel()
        readable(self.facts)
        self.facts.setTextFormat(Qt.TextFormat.PlainText)
        self.facts.hide()
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(True)
        self.bar.setFormat("%p %")
        when = "training time (min)"
        self.loss = CurvePlot(when, "loss", "loss or likelihood: comes with the first steps")
        self.resolution = CurvePlot(
            when, "resolution (Å)", "resolution in Å: comes with the first maps"
        )
        plots = QHBoxLayout()
        plots.setSpacing(4)
        plots.addWidget(self.loss)
        plots.addWidget(self.resolution)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.line)
        column.addWidget(self.bar)
        column.addWidget(self.facts)
        column.addLayout(plots, 1)

    def clear(self) -> None:
        """Forget the last run."""
        self._history = MetricHistory()
        self.loss.show_series()
        self.resolution.show_series()
        self.bar.setValue(0)
        self.show_facts("")

    def show_facts(
        self,
        prior: str,
        species: Sequence[SpeciesRecord] = (),
        size: LatentSize | None = None,
    ) -> None:
        """Show what is known of the run beside its progress."""
        length = "" if size is None else in_short(size)
        lines = "\n".join(line for line in (prior, summary(species), length) if line)
        if lines == self.facts.text():
            return  # a tooltip that is being read stays
        self.facts.setText(lines)
        self.facts.setVisible(bool(lines))
        self.facts.setToolTip(f"<qt>{FACTS}{_table(species)}{_size_table(size)}</qt>")

    def show_update(self, update: Update) -> None:
        """Show where the run is now, and add what it told."""
        self.line.setText(headline(update.status))
        self.line.setToolTip(update.status.message)
        self.bar.setValue(round(1000 * update.status.share))
        if not update.metrics:
            return
        self._history.add(update.metrics)
        # Fits of different stages measure different things; resolutions can be compared.
        if (newest := self._history.newest(FITS)) is not None:
            self.loss.name_values(FITS[newest[0]])
            self.loss.show_series(self._series(*newest))
        stages = self._history.stages("resolution")
        self.resolution.show_series(*(self._series("resolution", stage) for stage in stages))

    def _series(self, name: str, stage: str) -> Series:
        return Series(stage, *self._history.curve(name, stage))


def _table(species: Sequence[SpeciesRecord]) -> str:
    """One row for each species, as rich text."""
    if not species:
        return ""
    head = "".join(f"<th align='left'>{title}</th>" for title in TITLES)
    rows = "".join(
        f"<tr><td>{number}</td><td align='right'>{one.images:,}</td><td>{one.agreement:.2f}</td>"
        f"<td>{one.sides:.0%}</td><td>{share(one.explained)}</td>"
        f"<td>{one.resolution:.1f} Å</td><td>{one.verdict}</td></tr>"
        for number, one in enumerate(species, 1)
    )
    return f"<table cellspacing='4'><tr>{head}</tr>{rows}</table>"


def _size_table(size: LatentSize | None) -> str:
    """How long z is, and one row for each component, as rich text."""
    if size is None:
        return ""
    titles = ("component", "gain", "reliability", "share", "")
    head = "".join(f"<th align='left'>{title}</th>" for title in titles)
    rows = "".join(
        f"<tr><td>{number}</td><td align='right'>{one.gain:.2f} ± {one.error:.2f}</td>"
        f"<td>{one.reliability:.2f}</td><td>{one.share:.1%}</td>"
        f"<td>{'confirmed' if one.confirmed else ''}</td></tr>"
        for number, one in enumerate(size.components, 1)
    )
    said = f"<p>{size_sentence(size)}</p><p>{COMPONENTS}</p>"
    return f"{said}<table cellspacing='4'><tr>{head}</tr>{rows}</table>"


class LogDialog(QDialog):
    """The end of a run's log, as text that can be copied."""

    def __init__(self, path: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(str(path))
        self.resize(820, 480)
        self.text = QPlainTextEdit(read_tail(path))
        self.text.setReadOnly(True)
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        QVBoxLayout(self).addWidget(self.text)
        self.text.moveCursor(self.text.textCursor().MoveOperation.End)


def read_tail(path: Path) -> str:
    """The last part of a text file, or why there is none."""
    if not path.is_file():
        return f"{path} does not exist yet: the run has not been started."
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
        return file.read().decode("utf-8", errors="replace")
