"""A health card: the verdict in a word and a colour, the facts, the reasons, the findings."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHeaderView, QLabel, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from napari_cryodeco.gui.telling import readable

if TYPE_CHECKING:
    from napari_cryodeco.explore.health import HealthCard, Level

# Okabe & Ito: bluish green, orange, vermillion, each with the ink that is read on it and a sign,
# for whoever does not tell the colours apart.
_SIGNS: dict[Level, tuple[str, str, str]] = {
    "go": ("#009E73", "#FFFFFF", "✓"),
    "careful": ("#E69F00", "#000000", "!"),
    "no-go": ("#D55E00", "#FFFFFF", "✕"),
}
_FACTS = (
    "Particles, share of the directions of Fourier space measured (%), defocus in µm, micrographs, "
    "ceilings of resolution in Å."
)
_SHOWN = 6  # findings in sight


class HealthView(QWidget):
    """Empty until there is a card.

    Attributes
    ----------
    finding_chosen
        Place of the finding that was clicked, in the alarm's order.
    """

    finding_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.verdict, self.facts, self.reasons, self.alarm = (QLabel() for _ in range(4))
        self.verdict.setToolTip(
            "<qt>The verdict is that of the worst reason. Go: nothing was found against it; that is"
            " no proof. More: docs/judging.md.</qt>"
        )
        for label in (self.verdict, self.facts, self.reasons, self.alarm):
            readable(label)
        self.findings = QTreeWidget()
        self.findings.setHeaderLabels(["Condition", "Beyond chance"])
        self.findings.setRootIsDecorated(False)
        self.findings.setUniformRowHeights(True)
        self.findings.header().setStretchLastSection(False)
        self.findings.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.findings.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.findings.setToolTip(
            "<qt>How much the selection differs from the rest in each condition of imaging: 0 not "
            "at all, 1 entirely, beyond what random selections of its size have. Click one (or "
            "Enter) to colour the plot by it.</qt>"
        )
        self.findings.itemClicked.connect(self._choose)
        self.findings.itemActivated.connect(self._choose)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for widget in (self.verdict, self.reasons, self.alarm, self.findings, self.facts):
            column.addWidget(widget)
        self.hide()

    def show_card(self, card: HealthCard) -> None:
        """Show what was found."""
        level = card.verdict
        paper, ink, sign = _SIGNS[level]
        self.verdict.setText(
            f'<span style="background-color:{paper}; color:{ink};"><b>&nbsp;{sign} '
            f"{level.upper()}&nbsp;</b></span> &nbsp;{escape(card.source)}, epoch {card.epoch}"
        )
        from napari_cryodeco.explore.health import ASSUMED  # torch, which the work has loaded

        facts = card.sentences[1 : -max(len(card.reasons), 1)]
        self.facts.setText("\n".join(facts).replace(f" {ASSUMED}", ""))
        self.facts.setToolTip(f"<qt>{_FACTS} By the count: {escape(ASSUMED)}.</qt>")
        said = [
            f'<span style="color:{_SIGNS[r.level][0]};"><b>{_SIGNS[r.level][2]} {r.level}:</b>'
            f"</span> {escape(r.sentence)}"
            for r in card.reasons
        ]
        self.reasons.setText("<br>".join(said) or "Nothing speaks against it.")
        self._show_alarm(card)
        self.show()

    def _show_alarm(self, card: HealthCard) -> None:
        self.findings.clear()
        found = card.alarm.findings if card.alarm is not None else ()
        self.alarm.setText(
            "Compared with nothing: ten particles in the selection and in the rest are needed."
            if card.alarm is None
            else card.alarm.summary
        )
        for finding in found:
            grade = finding.difference.grade
            said = "as the rest" if grade == "none" else grade
            item = QTreeWidgetItem(
                [finding.column.title, f"{finding.difference.excess:.2f}  {said}"]
            )
            item.setToolTip(0, f"<qt>{escape(finding.sentence)}</qt>")
            item.setToolTip(1, f"<qt>{escape(finding.sentence)}</qt>")
            self.findings.addTopLevelItem(item)
        self.findings.setVisible(bool(found))
        line = max(18, self.findings.sizeHintForRow(0))
        rows = min(_SHOWN, max(1, len(found)))
        self.findings.setFixedHeight(rows * line + self.findings.header().sizeHint().height() + 6)

    def _choose(self, item: QTreeWidgetItem) -> None:
        self.finding_chosen.emit(self.findings.indexOfTopLevelItem(item))
