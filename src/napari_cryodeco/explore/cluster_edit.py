"""What was done to clusters by hand: one act, in words and as plain values for a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from napari_cryodeco.explore.recipe import Recipe, Step

Kind = Literal["merge", "split", "take", "rename"]


@dataclass(frozen=True)
class Edit:
    """One act on clusters, which can be done again on others.

    Parameters
    ----------
    kind
        "merge": `clusters` become one; "split": the one of `clusters` falls into `parts` by
        `method` with `seed`; "take": the rows in `packed`, which `steps` selected, become a cluster
        of their own; "rename": the one of `clusters` gets `name`.
    clusters
        Numbers from 1, as they were before this act.
    name
        Of the cluster that comes of it; empty: its number.
    parts, method, seed
        Of a split: how many parts, "gmm" or "kmeans", and the seed of its starts.
    packed, steps
        Of "take": the rows as `recipe.pack` makes them, and the recipe of the selection; without
        steps the rows themselves are taken again.
    """

    kind: Kind
    clusters: tuple[int, ...] = ()
    name: str = ""
    parts: int = 2
    method: Literal["gmm", "kmeans"] = "gmm"
    seed: int = 0
    packed: str = ""
    steps: tuple[Step, ...] = ()

    @property
    def regroups(self) -> bool:
        """Whether particles change their cluster by it."""
        return self.kind != "rename"

    def words(self) -> str:
        """The act in a few words."""
        numbers = ", ".join(map(str, self.clusters))
        named = f" as '{self.name}'" if self.name else ""
        if self.kind == "merge":
            return f"clusters {numbers} merged{named}"
        if self.kind == "split":
            by = {"gmm": "a Gaussian mixture", "kmeans": "k-means"}[self.method]
            return f"cluster {numbers} split into {self.parts} by {by} (seed {self.seed})"
        if self.kind == "take":
            return f"a selection made a cluster of its own{named}"
        return f"cluster {numbers} named '{self.name}'"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"steps": Recipe(self.steps).to_dict()["steps"]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Edit:
        """Read what `to_dict` gave, JSON lists included."""
        steps = Recipe.from_dict({"steps": record["steps"], "epoch": None}).steps
        clusters = tuple(int(number) for number in record["clusters"])
        return cls(**{**record, "clusters": clusters, "steps": steps})
