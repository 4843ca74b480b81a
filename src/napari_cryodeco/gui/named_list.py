"""The list of named selections: eye, colour, name, count, lock, note, and what one does to them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from qtpy.QtCore import QPoint, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPalette, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QInputDialog,
    QMenu,
    QMessageBox,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.explore.palette import CATEGORIES
from napari_cryodeco.gui.icons import icon

EYE, NAME, NOTE, COUNT, LOCK = range(5)
_COLOURS = (
    "sky", "orange", "green", "pink", "vermilion", "yellow",
    "blue", "wine", "teal", "olive", "violet", "sand",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """What the list shows of a named selection."""

    name: str
    count: int
    colour: str
    note: str = ""
    locked: bool = False


class NamedList(QWidget):
    """It says what the user wants and knows no particles; places count from 0."""

    kept = Signal(str)  # keep the present selection under this name
    shown = Signal(int)  # select its particles again
    eyed = Signal(int, bool)  # draw it in its colour, or not
    coloured = Signal(int, str)  # #RRGGBB
    renamed = Signal(int, str)
    noted = Signal(int, str)
    locked = Signal(int, bool)
    updated = Signal(int)  # give it the present selection
    replayed = Signal(int)  # do its recipe again here
    combined = Signal(int, int, str)  # the first "add", "subtract" or "intersect" the second
    deleted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._entries: list[Entry] = []
        self._overlays: frozenset[str] = frozenset()
        self._picked: list[int] = []  # places, in the order they were clicked
        self._can_keep = False
        self._tree = self._make_tree()
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        self.keep_button = _button(row, "Save…", "Keep the present selection under a name")
        self.show_button = _button(row, "Select", "Select its particles again (or double click)")
        signs = {"add": "∪", "intersect": "∩", "subtract": "−"}
        tips = {
            "add": "Union: select the particles of either of the two that are marked",
            "intersect": "Intersection: select the particles of both that are marked",
            "subtract": "Difference: select the particles of the one marked first that are not in "
            "the other. Mark two with Ctrl or Shift",
        }
        self.set_buttons = {name: _button(row, sign, tips[name]) for name, sign in signs.items()}
        self.more_button = _button(row, "More", "Rename, colour, lock, replay, update, delete")
        self.more_button.setMenu(self._make_menu())
        self.keep_button.clicked.connect(self._ask_name)
        self.show_button.clicked.connect(lambda: self.shown.emit(self._picked[-1]))
        for name, button in self.set_buttons.items():
            button.setMaximumWidth(34)
            button.clicked.connect(
                lambda _=False, name=name: self.combined.emit(*self._picked[:2], name)
            )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(self._tree)
        column.addLayout(row)
        self._enable()

    def _make_tree(self) -> QTreeWidget:
        tree = QTreeWidget()
        tree.setColumnCount(5)
        tree.setHeaderHidden(True)
        tree.setRootIsDecorated(False)
        tree.setUniformRowHeights(True)
        tree.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        tree.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        tree.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        tree.setMinimumHeight(48)
        tree.setMaximumHeight(90)  # room for the plot
        header = tree.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(20)
        for column in (EYE, COUNT, LOCK):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        for column in (NAME, NOTE):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        tree.itemClicked.connect(self._clicked)
        tree.itemDoubleClicked.connect(self._double_clicked)
        tree.itemChanged.connect(self._edited)
        tree.itemSelectionChanged.connect(self._pick)
        tree.customContextMenuRequested.connect(self._pop_up)
        return tree

    def _make_menu(self) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        menu.addAction("Rename (F2)", lambda: self._edit(NAME))
        menu.addAction("Note…", lambda: self._edit(NOTE))
        colours = menu.addMenu("Colour")
        for name, colour in zip(_COLOURS, CATEGORIES, strict=True):
            colours.addAction(
                _swatch(colour), name, lambda c=colour: self.coloured.emit(self._picked[-1], c)
            )
        menu.addAction("Lock or unlock", self._turn_lock)
        replay = menu.addAction("Replay its recipe", lambda: self.replayed.emit(self._picked[-1]))
        replay.setToolTip(
            "Do the steps that made it again on what is shown now: another epoch, other clusters"
        )
        update = menu.addAction("Update", lambda: self.updated.emit(self._picked[-1]))
        update.setToolTip("Give it the particles that are selected now")
        menu.addSeparator()
        menu.addAction("Delete…", self._ask_delete)
        return menu

    # ---- what is shown

    def set_selections(self, entries: Sequence[Entry], overlays: Collection[str]) -> None:
        """Show these; `overlays` are the names of those that are drawn."""
        marked = {self._entries[place].name for place in self._picked}
        self._tree.blockSignals(True)
        self._tree.clear()
        self._entries, self._overlays = list(entries), frozenset(overlays)
        ink = self.palette().color(QPalette.ColorGroup.Active, QPalette.ColorRole.WindowText)
        for entry in entries:
            item = QTreeWidgetItem(["", entry.name, entry.note, f"{entry.count:,}", ""])
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            item.setIcon(EYE, icon("eye" if entry.name in overlays else "no eye", ink))
            item.setIcon(NAME, _swatch(entry.colour))
            item.setIcon(LOCK, icon("lock" if entry.locked else "no lock", ink))
            item.setTextAlignment(COUNT, Qt.AlignmentFlag.AlignRight)
            item.setForeground(NOTE, _faint(ink))
            item.setToolTip(NAME, f"{entry.name}: {entry.count:,} particles. F2: rename")
            item.setToolTip(NOTE, entry.note or "A note of your own: double click to write one")
            item.setToolTip(EYE, "Draw its particles in its colour, or not")
            item.setToolTip(LOCK, "Lock it against renaming, updating and deleting, or unlock it")
            self._tree.addTopLevelItem(item)
            item.setSelected(entry.name in marked)
        self._tree.blockSignals(False)
        self._pick()

    @property
    def names(self) -> list[str]:
        """Names in the order shown."""
        return [entry.name for entry in self._entries]

    def choose(self, *places: int) -> None:
        """Mark some of the list, in this order."""
        self._tree.clearSelection()
        for place in places:
            self._tree.topLevelItem(place).setSelected(True)

    def click_place(self, place: int, column: int) -> QPoint:
        """Where a cell of the list lies in its viewport."""
        middle = self._tree.visualItemRect(self._tree.topLevelItem(place)).center().y()
        return QPoint(self._tree.columnViewportPosition(column) + 10, middle)

    @property
    def viewport(self) -> QWidget:
        """What the mouse clicks on."""
        return self._tree.viewport()

    def set_can_keep(self, can_keep: bool) -> None:
        """Say whether there is a selection to keep."""
        self._can_keep = can_keep
        self._enable()

    # ---- what the user does

    def _edit(self, column: int) -> None:
        if self._picked:
            self._tree.editItem(self._tree.topLevelItem(self._picked[-1]), column)

    def _pick(self) -> None:
        now = {self._tree.indexOfTopLevelItem(item) for item in self._tree.selectedItems()}
        kept = [place for place in self._picked if place in now]
        self._picked = [*kept, *sorted(now - set(kept))]
        self._enable()

    def _enable(self) -> None:
        self.keep_button.setEnabled(self._can_keep)
        for widget in (self.show_button, self.more_button):
            widget.setEnabled(bool(self._picked))
        for button in self.set_buttons.values():
            button.setEnabled(len(self._picked) == 2)

    def _clicked(self, item: QTreeWidgetItem, column: int) -> None:
        place = self._tree.indexOfTopLevelItem(item)
        if column == LOCK:
            self.locked.emit(place, not self._entries[place].locked)
        elif column == EYE:
            self.eyed.emit(place, self._entries[place].name not in self._overlays)

    def _double_clicked(self, item: QTreeWidgetItem, column: int) -> None:
        if column == NOTE:
            self._tree.editItem(item, NOTE)
        elif column in (NAME, COUNT):
            self.shown.emit(self._tree.indexOfTopLevelItem(item))

    def _turn_lock(self) -> None:
        place = self._picked[-1]
        self.locked.emit(place, not self._entries[place].locked)

    def _pop_up(self, at: QPoint) -> None:
        if self._picked:
            self.more_button.menu().popup(self._tree.viewport().mapToGlobal(at))

    def _ask_name(self) -> None:
        proposal = f"selection {len(self._entries) + 1}"
        name, accepted = QInputDialog.getText(self, "Save selection", "Name:", text=proposal)
        if accepted and name.strip():
            self.kept.emit(name.strip())

    def _edited(self, item: QTreeWidgetItem, column: int) -> None:
        place = self._tree.indexOfTopLevelItem(item)
        entry, text = self._entries[place], item.text(column).strip()
        if column == NAME and text != entry.name:
            self.renamed.emit(place, text)
        elif column == NOTE and text != entry.note:
            self.noted.emit(place, text)

    def _ask_delete(self) -> None:
        place = self._picked[-1]
        question = f"Delete the list '{self._entries[place].name}'? The particles themselves stay."
        if (
            QMessageBox.question(self, "Delete selection", question)
            == QMessageBox.StandardButton.Yes
        ):
            self.deleted.emit(place)


def _button(row: QHBoxLayout, text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    row.addWidget(button)
    return button


def _faint(ink: QColor) -> QColor:
    return QColor(ink.red(), ink.green(), ink.blue(), 150)


def _swatch(colour: str) -> QIcon:
    pixmap = QPixmap(14, 14)
    pixmap.fill(QColor(colour))
    return QIcon(pixmap)
