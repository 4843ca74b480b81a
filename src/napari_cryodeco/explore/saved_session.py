"""How the explorer was left: one JSON beside the run, so that it opens again as it was.

The file is ours alone and may be deleted at any time. Nothing in it is needed to read the run.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_cryodeco.atomic import replacing
from napari_cryodeco.explore.recipe import Recipe, pack, unpack
from napari_cryodeco.explore.route import Route

VERSION = 1


class SavedCamera(BaseModel):
    """napari's camera: `center` in Å (z, y, x), `angles` in degrees, `zoom` in pixels an Å.

    `side` is the shorter side in pixels of the canvas that was looked at, if it is known.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    center: tuple[float, float, float]
    angles: tuple[float, float, float]
    zoom: float = Field(gt=0)
    perspective: float = 0.0
    side: float | None = Field(None, gt=0)


class SavedSession(BaseModel):
    """State of the explorer on one run.

    `epoch` None follows the newest. `extent` (left, right, bottom, top) in units of the axes; None:
    all particles. `selection` is packed as in recipes, "" where nothing is selected, and `recipe`
    says how it was made. `cursor` is the row of its particle. `level` in σ, `low_pass` in Å,
    `b_factor` in Å². `landscape`: kT that marked minima of the free
    energy are deep; None: it is not shown.
    """

    # a range of a recipe may be open at one side, which plain JSON has no number for
    model_config = ConfigDict(frozen=True, allow_inf_nan=False, ser_json_inf_nan="constants")

    program: Literal["napari-cryodeco session"] = "napari-cryodeco session"
    version: Literal[1] = 1
    particles: int = Field(gt=0)
    epoch: int | None = None
    view: str = "pca"
    axes: tuple[int, int] = (0, 1)
    extent: tuple[float, float, float, float] | None = None
    colour: str = "density"
    selection: str = ""
    recipe: dict[str, Any] | None = None
    overlays: tuple[str, ...] = ()
    target: str = "point"
    cluster: int = Field(0, ge=0)
    cursor: int | None = Field(None, ge=0)
    level: float | None = None
    low_pass: float | None = None
    b_factor: float = 0.0
    route: Route | None = None
    landscape: float | None = Field(None, gt=0)
    camera: SavedCamera | None = None

    def mask(self) -> np.ndarray:
        """Selected particles ``(n,)`` bool."""
        if not self.selection:
            return np.zeros(self.particles, bool)
        return unpack(self.selection, self.particles)

    def made_by(self) -> Recipe:
        """Steps of the selection."""
        return Recipe() if self.recipe is None else Recipe.from_dict(self.recipe)


def packed(mask: np.ndarray) -> str:
    """A selection ``(n,)`` bool as `SavedSession.selection` holds it."""
    return pack(mask) if mask.any() else ""


def write(saved: SavedSession, path: Path) -> None:
    """Write a session in one go; it does not wait for the disk, as the window does the writing."""
    with replacing(path, durable=False) as part:
        part.write_text(json.dumps(saved.model_dump(mode="json")) + "\n", encoding="utf-8")


def read(path: Path, particles: int | None = None) -> SavedSession | None:
    """Read a session; None where none was kept.

    Raises
    ------
    ValueError
        One sentence, when the file is damaged, of another program or version, or of another number
        of `particles`.
    """
    if not path.is_file():
        return None
    try:
        saved = SavedSession.model_validate(json.loads(path.read_text(encoding="utf-8")))
        saved.mask()
        saved.made_by()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ValueError(f"{path} is no session of this version ({place}).") from error
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error, OSError) as error:
        raise ValueError(f"{path} is damaged.") from error
    if particles is not None and saved.particles != particles:
        raise ValueError(
            f"{path} is of {saved.particles:,} particles, but this run has {particles:,}."
        )
    return saved


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be read to a name that is free, so that nothing is lost."""
    for number in range(1, 1000):
        free = path.with_name(f"{path.stem}.unread{number}{path.suffix}")
        if not free.exists():
            return path.rename(free)
    raise FileExistsError(f"{path.parent} is full of sessions that could not be read: delete them.")
