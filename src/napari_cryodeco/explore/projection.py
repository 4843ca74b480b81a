"""Flat views of the latents: PCA and UMAP. Row i is particle i.

A principal component points to where its largest loading is positive, so that a second run draws
the same picture.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_cryodeco.explore.recipe import Step

FIT_LIMIT = (
    100_000  # rows that UMAP and mixtures are fitted on; the others are transformed or predicted
)

NO_LATENTS = (
    "This run has no latent space: it shows one rigid map (latent_dim 0). `cryodeco decode RUN -o "
    "map.mrc` writes the map; backproject and export work too."
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Part:
    """The particles that a projection is of, where it is not of all.

    Parameters
    ----------
    title
        What they are called.
    rows
        ``(m,)`` int64, sorted.
    steps
        How they were selected; none: as `rows`.
    key
        A hash of rows, their z, method and seed.
    """

    title: str
    rows: np.ndarray
    steps: tuple[Step, ...]
    key: str

    def recipe(self, n: int) -> tuple[Step, ...]:
        """Steps that select these particles of n."""
        mask = np.zeros(n, bool)
        mask[self.rows] = True
        return self.steps or (Step.of_rows(mask),)


@dataclass(frozen=True)
class Projection:
    """Coordinates of all particles in a few dimensions.

    Parameters
    ----------
    method
        ``"pca"``, ``"umap"`` (two dimensions, to look at) or ``"umap16"`` (to find clusters in).
    coordinates
        ``(n, c)`` float32; NaN for particles that are not of the `part`.
    explained
        ``(c,)`` share of the variance, or None.
    components
        ``(c, d)`` unit rows, or None: ``latents ≈ mean + coordinates @ components``.
    mean
        ``(d,)`` or None.
    seed, epoch
        How it was made.
    part
        The particles that it is of; None: all.
    """

    method: str
    coordinates: np.ndarray
    explained: np.ndarray | None = None
    components: np.ndarray | None = None
    mean: np.ndarray | None = None
    seed: int | None = None
    epoch: int | None = None
    part: Part | None = None

    @property
    def key(self) -> str:
        """The name by which it is chosen, of its own among those of an epoch."""
        return self.method if self.part is None else f"{self.method}:{self.part.key}"

    @property
    def title(self) -> str:
        """The same in words."""
        return self.method.upper() + ("" if self.part is None else f" of {self.part.title}")


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """Float64: `mean` ``(d,)``, unit rows ``(d, d)``, scores ``(n, d)``, variances ``(d,)``."""

    mean: np.ndarray
    directions: np.ndarray
    scores: np.ndarray
    variances: np.ndarray


def checked(latents: np.ndarray) -> np.ndarray:
    """Latents as a finite float64 table ``(n, d)``.

    Raises
    ------
    ValueError
        When there is no z, the table has no two rows, or a number is missing (the first such row is
        named).
    """
    z = np.asarray(latents, dtype=np.float64)
    if z.ndim == 2 and z.shape[1] == 0:
        raise ValueError(NO_LATENTS)
    if z.ndim != 2 or len(z) < 2:
        raise ValueError(
            f"Latents of shape {z.shape}: a table of at least two particles is needed."
        )
    bad = ~np.isfinite(z).all(1)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"Latents row {row} is not finite; train again from the last whole epoch.")
    return z


def principal_axes(latents: np.ndarray) -> PrincipalAxes:
    """All principal axes of latents ``(n, d)``, exactly."""
    z = checked(latents)
    mean = z.mean(0)
    centred = z - mean
    variances, vectors = np.linalg.eigh(centred.T @ centred / len(z))
    directions = vectors[:, ::-1].T
    largest = np.abs(directions).argmax(1)
    directions = directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
    variances = np.clip(variances[::-1], 0, None)
    return PrincipalAxes(mean, directions, centred @ directions.T, variances)


def pca(latents: np.ndarray, epoch: int | None = None) -> Projection:
    """All principal components of latents ``(n, d)``, exactly."""
    axes = principal_axes(latents)
    total = axes.variances.sum()
    return Projection(
        method="pca",
        coordinates=axes.scores.astype(np.float32),
        explained=(axes.variances / (total if total > 0 else 1.0)).astype(np.float32),
        components=axes.directions.astype(np.float32),
        mean=axes.mean.astype(np.float32),
        epoch=epoch,
    )


class _Ticker(io.StringIO):
    """The stream that umap's progress bar is told to write to: turns ``12/200`` into a call."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def write(self, text: str) -> int:
        if found := re.search(r"(\d+)/(\d+)", text):
            self._progress(int(found[1]), int(found[2]))
        return len(text)


def umap(
    latents: np.ndarray,
    seed: int = 0,
    progress: Progress | None = None,
    neighbours: int = 15,
    epoch: int | None = None,
    dimensions: int = 2,
) -> Projection:
    """UMAP of latents ``(n, d)``, started from the leading principal components.

    Parameters
    ----------
    progress
        Called as ``progress(done, of)``; raising in it cancels.
    neighbours
        Size of the neighbourhood, particles.
    dimensions
        Of the result; the method is then ``"umap"``, or ``"umap16"`` of 16.

    Raises
    ------
    ValueError
        For fewer than four particles.
    """
    from umap import UMAP  # 9 s to import and numba: only who asks for it pays

    z = checked(latents)
    n = len(z)
    if n < 4:
        raise ValueError(f"UMAP needs at least 4 particles, {n} given; use PCA.")
    rows = np.arange(n)
    if n > FIT_LIMIT:
        rows = np.sort(np.random.default_rng(seed).choice(n, FIT_LIMIT, replace=False))
    start = _start(principal_axes(z).scores[rows], dimensions, seed)
    bar: dict[str, Any] = {"disable": True}
    if progress is not None:
        bar = {
            "disable": False,
            "file": _Ticker(progress),
            "bar_format": "{n}/{total}",
            "mininterval": 0.3,
        }
    model = UMAP(
        n_components=dimensions,
        n_neighbors=min(neighbours, len(rows) - 1),
        min_dist=0.1,
        init=start,
        random_state=seed,
        n_jobs=1,  # more would not be reproducible
        tqdm_kwds=bar,
    )
    table = z.astype(np.float32)
    coordinates = np.empty((n, dimensions), dtype=np.float32)
    coordinates[rows] = model.fit_transform(table[rows])
    others = np.setdiff1d(np.arange(n), rows, assume_unique=True)
    if len(others):
        coordinates[others] = model.transform(table[others])
    method = "umap" if dimensions == 2 else f"umap{dimensions}"
    return Projection(method, coordinates, seed=seed, epoch=epoch)


def _start(scores: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Places ``(m, count)`` float32 to begin from: the leading scores, the largest being 10.

    UMAP divides each axis by its range. One on which all particles are at one place, or that there
    is none of, gets a little noise.
    """
    start = np.pad(scores[:, :count], ((0, 0), (0, max(0, count - scores.shape[1]))))
    start *= 10 / max(float(np.abs(start).max()), 1e-12)
    flat = np.ptp(start, axis=0) < 1e-6
    noise = np.random.default_rng(seed).standard_normal((len(start), int(flat.sum())))
    start[:, flat] = 1e-2 * noise
    return start.astype(np.float32)
