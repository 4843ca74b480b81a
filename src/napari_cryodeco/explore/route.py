"""What a path through z is asked to be: a recipe that survives a file, without torch or Qt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Kind = Literal["pc", "line", "graph", "dense", "tour", "curve"]
JOINED: tuple[Kind, ...] = ("line", "graph", "dense", "tour")  # through anchors
Spacing = Literal["linear", "percentile"]


@dataclass(frozen=True)
class Anchor:
    """A point z ``(d,)`` that a path goes through, and what it is."""

    name: str
    z: tuple[float, ...]

    @classmethod
    def at(cls, name: str, z: Iterable[float]) -> Anchor:
        """An anchor of any row of numbers."""
        return cls(name, tuple(float(value) for value in z))


@dataclass(frozen=True)
class Route:
    """A path through z before it is computed.

    Parameters
    ----------
    kind
        "pc": along principal component `component` (from 1) from percentile `low` to `high`;
        "line": straight from anchor to anchor; "graph": the shortest way from particle to
        neighbouring particle; "dense": such a way that keeps to crowded places; "tour": halting at
        each anchor, with nothing between; "curve": along `curve`, which was drawn.
    frames
        Points along it, equally spaced.
    spacing
        Of "pc": "linear", or equally spaced in percentiles: many frames where particles are many.
    closed
        Back to the first anchor: the frame after the last is the first again.
    anchors
        In their order, of "line", "graph", "dense" and "tour".
    curve
        Points z ``(m, d)``.
    """

    kind: Kind = "pc"
    frames: int = 20
    closed: bool = False
    component: int = 1
    low: float = 5.0
    high: float = 95.0
    anchors: tuple[Anchor, ...] = ()
    curve: tuple[tuple[float, ...], ...] = ()
    spacing: Spacing = "linear"

    def with_anchor(self, anchor: Anchor) -> Route:
        """The same with one more anchor at its end; straight, unless it went through anchors."""
        kind = self.kind if self.kind in JOINED else "line"
        return replace(self, kind=kind, anchors=(*self.anchors, anchor))

    def dimensions(self) -> set[int]:
        """How many numbers its points have; empty where there are no points."""
        points = [anchor.z for anchor in self.anchors] + list(self.curve)
        return {len(point) for point in points}

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Route:
        """Read what `record` gave, JSON lists included.

        Raises
        ------
        ValueError
            When it is something else.
        """
        from pydantic import TypeAdapter

        return TypeAdapter(cls).validate_python(dict(record))
