"""Many structures as small clouds of points: what training images are made of."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.data.molecule import Molecule, load_beads


@dataclass(frozen=True)
class Cloud:
    """One structure.

    `points` ``(n, 3)`` float32 Å about the centre of mass, `weights` ``(n,)`` float32 electrons,
    `kind` how it was come by: "real", "assembly", "blob", "warped" or "fragment".
    """

    name: str
    kind: str
    points: np.ndarray
    weights: np.ndarray

    @property
    def diameter(self) -> float:
        """Twice the distance of the farthest point from the centre, Å."""
        return 2 * float(np.linalg.norm(self.points, axis=1).max())


def make_cloud(name: str, kind: str, points: np.ndarray, weights: np.ndarray, size: int) -> Cloud:
    """Centre a structure and bring it down to at most `size` points.

    Points that share a cell of the finest cubic grid that has at most `size` occupied cells become
    their centre of mass.
    """
    weights = np.asarray(weights, np.float64)
    points = np.asarray(points, np.float64)
    points = points - (points * weights[:, None]).sum(0) / weights.sum()
    if len(points) > size:
        points, weights = _thinned(points, weights, size)
    return Cloud(name, kind, points.astype(np.float32), weights.astype(np.float32))


def _thinned(points: np.ndarray, weights: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    extent = np.ptp(points, axis=0).max() + 1e-3
    low, high = extent / 512, extent
    for _ in range(9):
        cell = np.sqrt(low * high)
        count = len(np.unique(_cells(points, cell)))
        low, high = (cell, high) if count > size else (low, cell)
    _, cells = np.unique(_cells(points, high), return_inverse=True)
    total = np.bincount(cells, weights)
    sums = [np.bincount(cells, weights * points[:, axis]) for axis in range(3)]
    return np.stack(sums, 1) / total[:, None], total


def _cells(points: np.ndarray, cell: float) -> np.ndarray:
    place = np.floor((points - points.min(0)) / cell).astype(np.int64)
    return (place[:, 0] << 42) | (place[:, 1] << 21) | place[:, 2]


@dataclass(frozen=True)
class Bank:
    """Structures as one tensor, sorted by diameter, padded with points of no weight.

    `points` ``(S, P, 3)`` float32 Å, `weights` ``(S, P)`` of sum 1, `diameters` ``(S,)`` Å,
    `names` and `kinds` of length S.
    """

    points: Tensor
    weights: Tensor
    diameters: Tensor
    names: tuple[str, ...]
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def of(cls, clouds: Sequence[Cloud]) -> Bank:
        """Stack clouds.

        Raises
        ------
        ValueError
            If there are fewer than two.
        """
        if len(clouds) < 2:
            raise ValueError("A bank needs at least two structures to tell apart.")
        clouds = sorted(clouds, key=lambda cloud: cloud.diameter)
        size = max(len(cloud.weights) for cloud in clouds)
        points = np.zeros((len(clouds), size, 3), np.float32)
        weights = np.zeros((len(clouds), size), np.float32)
        for row, cloud in enumerate(clouds):
            points[row, : len(cloud.points)] = cloud.points
            weights[row, : len(cloud.weights)] = cloud.weights / cloud.weights.sum()
        return cls(
            torch.from_numpy(points),
            torch.from_numpy(weights),
            torch.tensor([cloud.diameter for cloud in clouds]),
            tuple(cloud.name for cloud in clouds),
            tuple(cloud.kind for cloud in clouds),
        )

    def to(self, device: torch.device | str) -> Bank:
        """Return the same bank on another device."""
        return replace(
            self,
            points=self.points.to(device),
            weights=self.weights.to(device),
            diameters=self.diameters.to(device),
        )


def training_molecules(folder: Path | str | None = None) -> list[Molecule]:
    """Read the bead models that a prior may be trained on.

    Parameters
    ----------
    folder
        Holds ``*.npz`` and, if some must not be seen, ``index.csv`` with the columns `file` and
        `prior_split`: only rows that say "train" are read. None: the shipped models that are not
        kept for proofs.

    Raises
    ------
    FileNotFoundError
        There is no model in the folder.
    """
    if folder is None:
        return [load_beads(name) for name in SHIPPED_FOR_TRAINING]
    folder = Path(folder)
    index = folder / "index.csv"
    if index.is_file():
        with index.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get("prior_split") == "train"]
        paths = [folder / row["file"] for row in rows]
    else:
        paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise FileNotFoundError(
            f"{folder}: no structure for training: it needs .npz bead models, and an index.csv, if "
            "there is one, must call some of them 'train' in the column prior_split."
        )
    return [load_beads(path) for path in paths]


SHIPPED_FOR_TRAINING = ("1ruz", "2buk", "3gbm", "3jb9", "3wip", "4jsv")
"""Of the shipped bead models, those outside the families that the proofs are made on."""
