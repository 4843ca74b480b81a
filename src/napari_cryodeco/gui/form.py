"""A Qt form made from a pydantic model: the settings are written once, in ``config.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_cryodeco.gui.editors import Editor, Fold, bounds, make_editor

Model = TypeVar("Model", bound=BaseModel)


class ModelForm(QWidget, Generic[Model]):
    """Editors for every field of a model, nested models as folded groups.

    Parameters
    ----------
    model
        The pydantic class.
    basic
        Dotted names of the fields shown at once, in this order; the others go under "Advanced".
    editors
        Editors to use in place of those made from the type, by dotted name.

    Attributes
    ----------
    changed
        Emitted after the user changed any field.
    """

    changed = Signal()

    def __init__(
        self,
        model: type[Model],
        basic: Sequence[str] = (),
        editors: Mapping[str, Editor] | None = None,
    ) -> None:
        super().__init__()
        self._model = model
        self._fields = dict(_leaves(model))
        unknown = [name for name in (*basic, *(editors or {})) if name not in self._fields]
        if unknown:
            raise ValueError(f"{model.__name__} has no field {', '.join(unknown)}.")
        self._editors = {
            name: (editors or {}).get(name) or make_editor(field)
            for name, field in self._fields.items()
        }
        self._labels = {name: QLabel(field.title or name) for name, field in self._fields.items()}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        first = self._rows(basic)
        self._basic: QFormLayout = first.layout()
        column.addWidget(first)
        self.advanced = Fold("Advanced settings", self._groups(basic))
        column.addWidget(self.advanced)
        self.reset()
        for editor in self._editors.values():
            editor.changed.connect(self._changed)

    def editor(self, name: str) -> Editor:
        """The editor of a field, by dotted name (``"refine.epochs"``)."""
        return self._editors[name]

    def add_row(self, title: str, widget: QWidget, hint: str) -> None:
        """Add a row of the panel's own below the basic fields."""
        label = QLabel(title)
        for one in (label, widget):
            one.setToolTip(f"<qt>{escape(hint)}</qt>")
        widget.setAccessibleName(title)
        label.setBuddy(widget)
        self._basic.addRow(label, widget)

    def reset(self) -> None:
        """Show the default of every field that has one."""
        for name, field in self._fields.items():
            default = field.get_default(call_default_factory=True, validated_data={})
            if default is not PydanticUndefined:
                self._editors[name].show_value(default)

    def write(self, value: Model) -> None:
        """Show a model."""
        self._mark("")
        for name in self._fields:
            part: Any = value
            for step in name.split("."):
                part = getattr(part, step)
            self._editors[name].show_value(part)

    def read(self) -> Model:
        """What the form shows, validated.

        Raises
        ------
        ValueError
            One sentence that begins with the title of the wrong field, which is also marked.
        """
        values: dict[str, Any] = {}
        for name, field in self._fields.items():
            part = values
            *parents, last = name.split(".")
            for step in parents:
                part = part.setdefault(step, {})
            part[last] = self._value(name, field)
        try:
            model = self._model.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(step) for step in first["loc"])
            self._fail(name, str(first["msg"]).removeprefix("Value error, "))
        self._mark("")
        return model

    def _value(self, name: str, field: FieldInfo) -> Any:
        try:
            value = self._editors[name].value()
        except ValueError as error:
            self._fail(name, str(error))
        if value is None and field.is_required():
            self._fail(name, f"nothing is chosen yet; give a {field.description or 'value'}")
        return value

    def _fail(self, name: str, what: str) -> None:
        """Mark the field that a pydantic location names, and say what is wrong."""
        found = next((leaf for leaf in self._fields if f"{name}.".startswith(f"{leaf}.")), "")
        title = self._fields[found].title or found if found else name or "Settings"
        self._mark(found)
        raise ValueError(f"{title}: {what.rstrip('.')}.")

    def _mark(self, wrong: str) -> None:
        for name, label in self._labels.items():
            label.setStyleSheet("color: #ff7b54; font-weight: bold" if name == wrong else "")

    def _changed(self) -> None:
        self._mark("")
        self.changed.emit()

    def _rows(self, names: Sequence[str]) -> QWidget:
        page = QWidget()
        rows = QFormLayout(page)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        for name in names:
            label, editor = self._labels[name], self._editors[name]
            hint = _tooltip(self._fields[name])
            label.setToolTip(hint)
            editor.setToolTip(hint)
            editor.setAccessibleName(label.text())
            label.setBuddy(editor)
            rows.addRow(label, editor)
        return page

    def _groups(self, basic: Sequence[str]) -> QWidget:
        """The remaining fields: top-level ones first, then one fold per nested model."""
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(12, 0, 0, 0)
        rest = [name for name in self._fields if name not in basic]
        column.addWidget(self._rows([name for name in rest if "." not in name]))
        for group, field in self._model.model_fields.items():
            inside = [name for name in rest if name.startswith(f"{group}.")]
            if inside:
                fold = Fold(field.title or group, self._rows(inside))
                fold.button.setToolTip(escape(field.description or ""))
                column.addWidget(fold)
        return page


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Dotted name and field of everything that is not itself a model."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _leaves(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _tooltip(field: FieldInfo) -> str:
    """Description (with its unit) and bounds; as rich text, so that Qt wraps long lines."""
    low, high = bounds(field)
    limits = ""
    if low is not None and high is not None:
        limits = f"<br><i>{low:g} to {high:g}</i>"
    elif low is not None:
        limits = f"<br><i>at least {low:g}</i>"
    return f"<qt>{escape(field.description or field.title or '')}{limits}</qt>"
