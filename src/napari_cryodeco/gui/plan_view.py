"""The dry run of an export: what would be written, file by file, and what to know before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHeaderView, QLabel, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from napari_cryodeco.gui.telling import readable

if TYPE_CHECKING:
    from napari_cryodeco.gui.export_plan import Plan

_SHOWN = 7  # files in sight; the rest is scrolled to


class PlanView(QWidget):
    """A sentence, a list of files, warnings in orange, and what stands in the way."""

    def __init__(self) -> None:
        super().__init__()
        self.sentence, self.warnings, self.obstacle = QLabel(), QLabel(), QLabel()
        self.files = QTreeWidget()
        self.files.setHeaderLabels(["Would be written", "Holds"])
        self.files.setRootIsDecorated(False)
        self.files.setUniformRowHeights(True)
        self.files.header().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.files.setToolTip("Nothing is written before you press Write")
        self.warnings.setStyleSheet("color: #E69F00;")
        for label in (self.sentence, self.warnings, self.obstacle):
            readable(label)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for widget in (self.sentence, self.files, self.warnings, self.obstacle):
            column.addWidget(widget)

    def show_plan(self, plan: Plan) -> None:
        """Show what would be written."""
        self.sentence.setText(plan.sentence)
        self.files.clear()
        for entry in plan.entries:
            item = QTreeWidgetItem([entry.name, entry.holds])
            item.setToolTip(0, entry.name)
            item.setToolTip(1, entry.holds)
            self.files.addTopLevelItem(item)
        line = max(18, self.files.sizeHintForRow(0))
        rows = min(_SHOWN, max(1, len(plan.entries)))
        bar = self.files.horizontalScrollBar().sizeHint().height()
        head = self.files.header().sizeHint().height()
        self.files.setFixedHeight(rows * line + head + bar + 4)
        self.files.show()
        self.warnings.setText("\n".join(plan.warnings))
        self.warnings.setVisible(bool(plan.warnings))
        self.obstacle.setText(plan.obstacle)
        self.obstacle.setVisible(bool(plan.obstacle))

    def show_obstacle(self, sentence: str) -> None:
        """Show why there is nothing to write."""
        self.sentence.setText(sentence)
        for widget in (self.files, self.warnings, self.obstacle):
            widget.hide()
