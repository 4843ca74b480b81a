"""The model card of a prior: what it was made from, how, how well it does, and its limits.

A card is a JSON file beside the weights; :func:`markdown` turns it into the text that people read.
No torch: the command line and the window show cards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BUNDLED = Path(__file__).parents[1] / "priors" / "small.safetensors"
"""The prior that is installed with the package."""
_TITLE, _SUMMARY = "title", "summary"


def card_of(weights: Path) -> Path:
    """Where the card of a weights file lies, if it has one."""
    return weights.with_suffix(".json")


def read_card(path: Path) -> dict[str, Any]:
    """Read a card.

    Raises
    ------
    ValueError
        If it is not a JSON object.
    """
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON (line {error.lineno}): restore it.") from error
    if not isinstance(card, dict):
        raise ValueError(f"{path} is no model card: it holds no named values; restore it.")
    return card


def markdown(card: Mapping[str, Any]) -> str:
    """Write a card as Markdown.

    `title` and `summary` come first, then each entry in its order: a text as a paragraph, a list as
    bullets, named values as a table of two columns, a list of named values as a table.
    """
    lines = [f"# {card.get(_TITLE, 'A prior')}", ""]
    if _SUMMARY in card:
        lines += [str(card[_SUMMARY]), ""]
    plain = {name: value for name, value in card.items() if not isinstance(value, (list, dict))}
    facts = {name: value for name, value in plain.items() if name not in (_TITLE, _SUMMARY)}
    if facts:
        lines += [*_table([{"": name, " ": value} for name, value in facts.items()]), ""]
    for name, value in card.items():
        if isinstance(value, (list, dict)):
            lines += [f"## {_heading(name)}", "", *_section(value), ""]
    return "\n".join(lines)


def _heading(name: str) -> str:
    return name[:1].upper() + name[1:].replace("_", " ")


def _section(value: Sequence[Any] | Mapping[str, Any]) -> list[str]:
    if isinstance(value, Mapping):
        return _table([{"": name, " ": entry} for name, entry in value.items()])
    if value and all(isinstance(row, Mapping) for row in value):
        return _table(value)
    return [f"- {entry}" for entry in value]


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(row.get(name, "")) for name in columns] for row in rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        value = ", ".join(_cell(entry) for entry in value)
    elif isinstance(value, Mapping):
        value = ", ".join(f"{name} {_cell(entry)}" for name, entry in value.items())
    return " ".join(str(value).split()).replace("|", "\\|")
