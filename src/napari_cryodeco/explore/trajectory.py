"""Paths through latent space, and whether particles support them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cryodeco.explore.projection import checked, principal_axes
from napari_cryodeco.explore.route import Route, Spacing
from napari_cryodeco.runs.json_file import read_json, write_json

if TYPE_CHECKING:
    from sklearn.neighbors import NearestNeighbors

_SUPPORT_SAMPLE = 2000  # particles whose own neighbourhood says what "near" means


@dataclass(frozen=True)
class Trajectory:
    """Points to decode one after another.

    Parameters
    ----------
    name
        What it is, as shown: ``"PC1, 5 to 95 %"``.
    points
        ``(t, d)`` float32.
    captions
        One line a frame, or none at all.
    closed
        The point after the last is the first again.
    """

    name: str
    points: np.ndarray
    captions: tuple[str, ...] = ()
    closed: bool = False

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or not len(self.points) or not np.isfinite(self.points).all():
            raise ValueError(
                f"Trajectory {self.name!r} needs finite points, not {self.points.shape}."
            )
        if self.captions and len(self.captions) != len(self.points):
            raise ValueError(
                f"Trajectory {self.name!r}: {len(self.captions)} captions, {len(self)} frames."
            )

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class Support:
    """How near the particles are to each frame of a path.

    Parameters
    ----------
    distance
        ``(t,)`` distance in z to the nearest particle.
    particles
        ``(t,)`` particles within `reach`.
    reach
        The radius that holds the ten nearest neighbours for 95 % of the particles themselves.
    needed
        Particles within `reach` below which a frame is an extrapolation: ten, or fewer in a tiny
        set.
    """

    distance: np.ndarray
    particles: np.ndarray
    reach: float
    needed: int

    @property
    def supported(self) -> np.ndarray:
        """``(t,)`` bool: the frame lies among particles."""
        return self.particles >= self.needed

    @property
    def unsupported(self) -> tuple[int, ...]:
        """The other frames, from 0."""
        return tuple(np.flatnonzero(~self.supported).tolist())


def pc_traverse(
    latents: np.ndarray,
    component: int,
    low: float,
    high: float,
    frames: int,
    spacing: Spacing = "linear",
) -> Trajectory:
    """Walk along one principal component, the others at their mean.

    Parameters
    ----------
    latents
        ``(n, d)``.
    component
        From 1, as people count them.
    low, high
        Percentiles of the particles' scores where it begins and ends; low > high walks backwards.
    frames
        How many.
    spacing
        "linear": equally spaced in the score; "percentile": with equally many particles between.

    Raises
    ------
    ValueError
        For a component that does not exist, percentiles outside 0–100, or fewer than one frame.
    """
    z = checked(latents)
    if not 1 <= component <= z.shape[1]:
        raise ValueError(
            f"Principal component {component}: these latents have components 1 to {z.shape[1]}."
        )
    if not (0 <= low <= 100 and 0 <= high <= 100):
        raise ValueError(f"Percentiles {low:g} and {high:g}: choose both between 0 and 100.")
    if frames < 1:
        raise ValueError(f"{frames} frames: choose at least 1.")
    axes = principal_axes(z)
    own = axes.scores[:, component - 1]
    if spacing == "percentile":
        middle = [(low + high) / 2]
        scores = np.percentile(own, np.linspace(low, high, frames) if frames > 1 else middle)
    else:
        first, last = np.percentile(own, [low, high])
        scores = np.linspace(first, last, frames) if frames > 1 else np.array([(first + last) / 2])
    points = axes.mean + scores[:, None] * axes.directions[component - 1]
    captions = tuple(f"PC{component} {score:+.2f}".replace("-", "−") for score in scores)
    return Trajectory(f"PC{component}, {low:g} to {high:g} %", points.astype(np.float32), captions)


def through(
    anchors: np.ndarray, frames: int, name: str = "path", closed: bool = False
) -> Trajectory:
    """Straight lines from anchor to anchor ``(m, d)``, equally spaced along the whole length.

    Ends exactly in the first and the last anchor; those between are passed within half a step. A
    `closed` one goes back to the first anchor and ends one step before it, so that it runs round
    and round without a halt.

    Raises
    ------
    ValueError
        For fewer than two anchors that differ, or fewer than two frames.
    """
    corners = np.asarray(anchors, dtype=np.float64)
    if corners.ndim != 2 or len(corners) < 2:
        raise ValueError("A path needs at least two anchors; add another point.")
    if frames < 2:
        raise ValueError(f"{frames} frames: a path needs at least 2.")
    if closed:
        corners = np.concatenate([corners, corners[:1]])
    legs = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(legs)])
    if length[-1] == 0:
        raise ValueError("All anchors are the same point; add another one.")
    at = np.linspace(0, length[-1], frames, endpoint=not closed)
    points = np.stack([np.interp(at, length, column) for column in corners.T], axis=1)
    if not closed:
        points[-1] = corners[-1]
    captions = tuple(f"{name} {share:.0%}" for share in at / length[-1])
    return Trajectory(name, points.astype(np.float32), captions, closed)


def halting(
    anchors: np.ndarray, names: Sequence[str], frames: int, name: str = "tour", closed: bool = False
) -> Trajectory:
    """Stay at each anchor ``(m, d)`` for as many frames, then go on to the next at once.

    Raises
    ------
    ValueError
        For fewer frames than anchors.
    """
    if frames < len(anchors):
        raise ValueError(f"{frames} frames for {len(anchors)} points: choose at least one each.")
    at = [frame * len(anchors) // frames for frame in range(frames)]
    points = np.asarray(anchors, np.float32)[at]
    return Trajectory(name, points, tuple(names[place] for place in at), closed)


@dataclass(frozen=True, eq=False)
class Crowd:
    """Particles ``(n, d)`` ready to say how near they are to any point.

    Parameters
    ----------
    search
        scikit-learn's neighbour search over them.
    reach, needed
        As of a `Support`.
    """

    search: NearestNeighbors
    reach: float
    needed: int

    @classmethod
    def of(cls, latents: np.ndarray, seed: int = 0) -> Crowd:
        """Learn from a sample of the particles what near means among them."""
        from sklearn.neighbors import NearestNeighbors  # seconds to import

        z = checked(latents)
        needed = min(10, len(z) - 1)
        search = NearestNeighbors(n_neighbors=needed).fit(z)
        sample = np.random.default_rng(seed).permutation(len(z))[:_SUPPORT_SAMPLE]
        own, _ = search.kneighbors(z[sample], needed + 1)  # the first is the particle itself
        return cls(search, float(np.quantile(own[:, -1], 0.95)), needed)

    def support(self, points: np.ndarray) -> Support:
        """Compare the neighbours of points ``(t, d)`` with those of the particles."""
        distance, _ = self.search.kneighbors(points, 1)
        # A hair above: with equal distances all round, a particle's own place must count.
        reach = self.reach * (1 + 1e-6)
        found = self.search.radius_neighbors(points, reach, return_distance=False)
        counts = np.array([len(rows) for rows in found])
        return Support(distance[:, 0], counts, self.reach, self.needed)


def support(points: np.ndarray, latents: np.ndarray, seed: int = 0) -> Support:
    """Compare the neighbours of points ``(t, d)`` with those of particles ``(n, d)``."""
    return Crowd.of(latents, seed).support(points)


def save(trajectory: Trajectory, path: Path, recipe: Mapping[str, Any] | None = None) -> None:
    """Write a trajectory as JSON, with the `recipe` it was made by: a route, its epoch."""
    record = {
        "name": trajectory.name,
        "points": trajectory.points.tolist(),
        "captions": list(trajectory.captions),
        "closed": trajectory.closed,
    }
    write_json(path, record if recipe is None else record | {"recipe": dict(recipe)})


def keep(trajectory: Trajectory, folder: Path, recipe: Mapping[str, Any]) -> Path:
    """Save a trajectory in `folder` under a file name that is free, made of its own."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in trajectory.name).split()
    stem = "-".join(words).lower() or "path"
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    path = next(p for name in names if not (p := folder / f"{name}.json").exists())
    save(trajectory, path, recipe)
    return path


def load_route(path: Path) -> Route:
    """The route that a saved trajectory was made by; of one written by hand, through its points.

    Raises
    ------
    ValueError
        When the file holds no trajectory.
    """
    found = load(path)
    recipe = read_json(path).get("recipe")
    if recipe is not None:
        try:
            return Route.from_record(recipe["route"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: its recipe is damaged; remove it from the file.") from error
    return Route("curve", len(found), curve=tuple(map(tuple, found.points.tolist())))


def load(path: Path) -> Trajectory:
    """Read a trajectory written by :func:`save`, or by hand: ``{"name": …, "points": [[…], …]}``.

    Raises
    ------
    ValueError
        When the file holds no such thing.
    """
    record = read_json(path)
    try:
        points = np.array(record["points"], dtype=np.float32)
        captions: Sequence[str] = record.get("captions", [])
        closed = bool(record.get("closed", False))
        return Trajectory(str(record["name"]), points, tuple(captions), closed)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} holds no trajectory ({error}); it needs a name and a table of points."
        ) from error


def load_for(run: Path, path: Path, width: int) -> Trajectory:
    """Read a trajectory through the latents of a run, which have `width` numbers.

    Raises
    ------
    ValueError
        As `load`, and when it is of another run.
    """
    found = load(path)
    if found.points.shape[1] != width:
        raise ValueError(
            f"{path} has points of {found.points.shape[1]} numbers, but z of {run} has {width}: it "
            "is of another run."
        )
    return found
