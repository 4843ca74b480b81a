"""One Qt editor per kind of setting: each shows a Python value and gives it back unchanged."""

from __future__ import annotations

import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.gui.wheel import leave_wheel_to_page

LARGEST_INT = 2**31 - 1  # what QSpinBox can hold


class Editor(QWidget):
    """Base of all editors: a widget with a value.

    Attributes
    ----------
    changed
        Emitted after the user changed the value.
    """

    changed = Signal()

    def value(self) -> Any:
        """The value as the settings hold it; ValueError if what was typed is none."""
        raise NotImplementedError

    def show_value(self, value: Any) -> None:
        """Show a value of the settings."""
        raise NotImplementedError

    def _hold(self, *widgets: QWidget) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for widget in widgets:
            row.addWidget(widget)
        widgets[0].setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusProxy(widgets[0])


class SwitchEditor(Editor):
    """Yes or no."""

    def __init__(self) -> None:
        super().__init__()
        self._box = QCheckBox()
        self._box.toggled.connect(self.changed)
        self._hold(self._box)

    def value(self) -> bool:
        """Whether the box is ticked."""
        return self._box.isChecked()

    def show_value(self, value: bool) -> None:
        """Tick the box or not."""
        self._box.setChecked(value)


class ChoiceEditor(Editor):
    """One of some words."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self._box = QComboBox()
        self._box.addItems(list(words))
        self._box.currentTextChanged.connect(self.changed)
        leave_wheel_to_page(self._box)
        self._hold(self._box)

    def value(self) -> str:
        """The chosen word."""
        return str(self._box.currentText())

    def show_value(self, value: str) -> None:
        """Choose a word; one that is not offered here (another machine's device) is added."""
        if self._box.findText(value) < 0:
            self._box.addItem(value)
        self._box.setCurrentText(value)

    def offer(self, words: Sequence[str]) -> None:
        """Replace the words on offer and keep the chosen one."""
        kept = self.value()
        self._box.blockSignals(True)
        self._box.clear()
        self._box.addItems(list(words))
        self.show_value(kept)
        self._box.blockSignals(False)


_ONLY_NUMBERS = object()


class IntegerEditor(Editor):
    """A whole number, or the one word (or None) that stands for "choose for me".

    Parameters
    ----------
    low, high
        Bounds of the number.
    automatic
        ``None`` or a word such as ``"auto"``, shown below the lowest number; leave it out where
        only numbers are allowed.
    """

    def __init__(self, low: int, high: int, automatic: Any = _ONLY_NUMBERS) -> None:
        super().__init__()
        self._automatic = automatic
        self._box = QSpinBox()
        if self._has_automatic:
            self._box.setRange(low - 1, high)
            self._box.setSpecialValueText("auto")
        else:
            self._box.setRange(low, high)
        self._box.valueChanged.connect(self.changed)
        leave_wheel_to_page(self._box)
        self._hold(self._box)

    @property
    def _has_automatic(self) -> bool:
        return self._automatic is not _ONLY_NUMBERS

    def value(self) -> Any:
        """The number, or what stands for "auto"."""
        if self._has_automatic and self._box.value() == self._box.minimum():
            return self._automatic
        return int(self._box.value())

    def show_value(self, value: Any) -> None:
        """Show a number or "auto"."""
        automatic = self._has_automatic and value == self._automatic
        self._box.setValue(self._box.minimum() if automatic else int(value))


class DecimalEditor(Editor):
    """A real number as typed text: learning rates span decades, which a spin box cannot.

    Parameters
    ----------
    automatic
        What an empty line stands for (``None`` or a word); leave it out where a number is needed.
    """

    def __init__(self, automatic: Any = _ONLY_NUMBERS) -> None:
        super().__init__()
        self._automatic = automatic
        self._line = QLineEdit()
        if automatic is not _ONLY_NUMBERS:
            self._line.setPlaceholderText("auto")
        self._line.textEdited.connect(self.changed)
        self._hold(self._line)

    def value(self) -> Any:
        """The number, or what an empty line stands for; ValueError if the text is neither."""
        text = self._line.text().strip()
        if not text and self._automatic is not _ONLY_NUMBERS:
            return self._automatic
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"'{text}' is not a number") from None

    def show_value(self, value: Any) -> None:
        """Show the shortest text that reads back as this number, or nothing for "auto"."""
        automatic = self._automatic is not _ONLY_NUMBERS and value == self._automatic
        self._line.setText("" if automatic else repr(float(value)))
        self._line.setCursorPosition(0)


class TextEditor(Editor):
    """Free text; empty is None."""

    def __init__(self, hint: str = "") -> None:
        super().__init__()
        self._line = QLineEdit()
        self._line.setPlaceholderText(hint)
        self._line.textEdited.connect(self.changed)
        self._hold(self._line)

    def value(self) -> str | None:
        """The text, or None."""
        return self._line.text().strip() or None

    def show_value(self, value: str | None) -> None:
        """Show a text."""
        self._line.setText(value or "")


class PathEditor(Editor):
    """A file or folder: typed, browsed for or dropped here.

    Parameters
    ----------
    folder
        Whether a folder is asked for.
    hint
        Grey text while empty.
    patterns
        File name patterns of the dialogue, e.g. ``"Particles (*.star *.cs *.mrcs)"``.
    save
        Whether a new name is asked for.
    """

    def __init__(
        self, folder: bool, hint: str = "", patterns: str = "", save: bool = False
    ) -> None:
        super().__init__()
        self._folder, self._patterns, self._save = folder, patterns, save
        self._line = QLineEdit()
        self._line.setPlaceholderText(hint)
        self._line.textChanged.connect(self.changed)
        self._line.setAcceptDrops(False)  # the whole editor takes drops, as paths, not as URLs
        self._browse = QToolButton()
        self._browse.setText("…")
        self._browse.setToolTip("Choose a folder" if folder else "Choose a file")
        self._browse.clicked.connect(self._ask)
        self.setAcceptDrops(True)
        self._hold(self._line, self._browse)

    def value(self) -> Path | None:
        """The path, or None while empty."""
        text = self._line.text().strip()
        return Path(text).expanduser() if text else None

    def show_value(self, value: Path | None) -> None:
        """Show a path."""
        self._line.setText("" if value is None else str(value))

    def dragEnterEvent(self, event: Any) -> None:
        """Take one local file or folder."""
        if event.mimeData().hasUrls() and event.mimeData().urls()[0].isLocalFile():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Use the first thing dropped."""
        self.show_value(Path(event.mimeData().urls()[0].toLocalFile()))
        event.acceptProposedAction()

    def _ask(self) -> None:
        start = str(self.value() or Path.cwd())
        if self._save:
            # Qt's folder dialogue cannot name a folder that is not there yet; this one can.
            title = "Choose a new name"
            chosen, _ = QFileDialog.getSaveFileName(self, title, start, self._patterns)
        elif self._folder:
            chosen = QFileDialog.getExistingDirectory(self, "Choose a folder", start)
        else:
            chosen, _ = QFileDialog.getOpenFileName(self, "Choose a file", start, self._patterns)
        if chosen:
            self.show_value(Path(chosen))


class Fold(QWidget):
    """A titled part that opens and closes."""

    def __init__(self, title: str, content: QWidget) -> None:
        super().__init__()
        self._title, self._content = title, content
        self._button = QToolButton()
        self._button.setCheckable(True)
        self._button.setAutoRaise(True)
        self._button.toggled.connect(self.open)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self._button)
        column.addWidget(content)
        self.open(False)

    @property
    def button(self) -> QToolButton:
        """What the user clicks."""
        return self._button

    def set_title(self, title: str) -> None:
        """Give another title."""
        self._title = title
        self.open(self._button.isChecked())

    def open(self, is_open: bool) -> None:
        """Show or hide the content."""
        self._button.setChecked(is_open)
        self._button.setText(f"{'▾' if is_open else '▸'} {self._title}")
        self._content.setVisible(is_open)


def offer(box: QComboBox, words: Sequence[str], suggested: str) -> None:
    """List words in a box; what the user chose stays while it is there, else the suggested one."""
    before, was_suggested = box.currentText(), box.property("suggested")
    box.clear()
    box.addItems(list(words))
    chosen = before in words and before != was_suggested
    box.setCurrentText(before if chosen else suggested)
    box.setProperty("suggested", suggested)


def narrow(box: QComboBox, letters: int = 0) -> None:
    """Let a long entry not widen the whole dock: at least so many letters are seen."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(letters)


def in_line(*widgets: QWidget) -> QHBoxLayout:
    """Widgets beside each other; the first takes the room."""
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    row.setStretch(0, 1)
    return row


def make_editor(field: FieldInfo) -> Editor:
    """The editor for one field of a pydantic model.

    Raises
    ------
    TypeError
        If the kind of value has no editor.
    """
    kind, automatic = _split_optional(field.annotation)
    if get_origin(kind) is Literal:
        return ChoiceEditor([str(word) for word in get_args(kind)])
    if kind is bool:
        return SwitchEditor()
    if kind is int:
        low, high = bounds(field)
        low = 1 if low is None and automatic else low
        return IntegerEditor(
            -LARGEST_INT if low is None else int(low),
            LARGEST_INT if high is None else min(int(high), LARGEST_INT),
            *automatic,
        )
    if kind is float:
        return DecimalEditor(*automatic)
    if kind is Path:
        return PathEditor(folder="folder" in (field.title or "").lower())
    if kind is str:
        return TextEditor()
    raise TypeError(f"No editor for a setting of type {field.annotation}.")


def bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """Lowest and highest allowed number of a field, None where there is no bound."""
    low = high = None
    for rule in field.metadata:
        low = getattr(rule, "ge", getattr(rule, "gt", low))
        high = getattr(rule, "le", getattr(rule, "lt", high))
    return low, high


def _split_optional(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """Part a type from what means "choose for me": ``int | None`` gives ``(int, (None,))``."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, ()
    members = get_args(annotation)
    plain = [m for m in members if m is not type(None) and get_origin(m) is not Literal]
    words = [word for m in members if get_origin(m) is Literal for word in get_args(m)]
    automatic = [*words, *([None] if type(None) in members else [])]
    if len(plain) != 1 or len(automatic) != 1:
        raise TypeError(f"No editor for a setting of type {annotation}.")
    return plain[0], (automatic[0],)
