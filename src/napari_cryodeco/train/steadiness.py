"""Whether a refinement still changes anything: the clusters of z, and the orientations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging.so3 import angle_between
from napari_cryodeco.train.features import mix

WINDOW = 5
"""Epochs between two looks."""
_ROUNDS = 30
_MOVED, _TURNED = 0.005, math.radians(0.2)


@dataclass(frozen=True)
class Change:
    """What a window of epochs changed; None: there is no such thing to change.

    `moved`: share of the particles in another cluster of z. `turned`: mean turn of the
    orientations, rad.
    """

    moved: float | None
    turned: float | None

    @property
    def steady(self) -> bool:
        """Whether there is something to go by, and all of it hardly changed."""
        told = [(self.moved, _MOVED), (self.turned, _TURNED)]
        shares = [value / limit for value, limit in told if value is not None]
        return bool(shares) and max(shares) < 1


class Steadiness:
    """Compares each look with the one before.

    Parameters
    ----------
    seed
        Of the clusters.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._epoch, self._ends = 0, 0
        self._labels: Tensor | None = None
        self._rotations: Tensor | None = None

    @property
    def ends(self) -> int | None:
        """After how many epochs the refinement ends, once that is known."""
        return self._ends or None

    def end_after(self, epoch: int) -> None:
        """Let the refinement end."""
        self._ends = epoch

    def look(self, epoch: int, latents: Tensor, rotations: Tensor | None) -> Change | None:
        """Look at latents ``(n, d)`` and rotations ``(n, 3, 3)`` after so many epochs.

        Rotations that are not refined are left out. Returns what changed since the last look, five
        epochs ago; None in between.
        """
        if self._epoch and epoch < self._epoch + WINDOW:
            return None
        moved, turned, first = None, None, self._epoch == 0
        latents = latents.detach().cpu()
        if self._rotations is not None and rotations is not None:
            turned = float(angle_between(self._rotations, rotations.cpu()).mean())
        if self._labels is not None:
            moved = float((nearest(latents, self._labels) != self._labels).float().mean())
        self._epoch = epoch
        self._labels = self._clusters(latents) if latents.shape[1] else None
        self._rotations = None if rotations is None else rotations.detach().cpu().clone()
        return None if first else Change(moved, turned)

    def _clusters(self, latents: Tensor) -> Tensor:
        """Labels ``(n,)`` of clusters; latents that have none are halved along their first axis."""
        labels = mix(latents, None, self._seed).posteriors.argmax(1)
        if len(labels.unique()) == 1:
            centred = latents - latents.mean(0)
            axis = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -1]
            labels = (centred @ axis > 0).long()
        return nearest(latents, labels)

    def tensors(self) -> dict[str, Tensor]:
        """The last look."""
        kept = {"steadiness.numbers": torch.tensor([self._epoch, self._ends])}
        if self._labels is not None:
            kept["steadiness.labels"] = self._labels
        if self._rotations is not None:
            kept["steadiness.rotations"] = self._rotations
        return kept

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take the last look back, if one was kept."""
        if "steadiness.numbers" in tensors:
            self._epoch, self._ends = tensors["steadiness.numbers"].tolist()
        self._labels = tensors.get("steadiness.labels")
        self._rotations = tensors.get("steadiness.rotations")


def nearest(latents: Tensor, labels: Tensor) -> Tensor:
    """Labels ``(n,)`` of the nearest mean in z ``(n, d)``, the means begun from `labels`.

    Means follow their members until nobody changes, as in k-means: a latent space that turned or
    grew as a whole keeps its labels, and two looks do not differ by chance.
    """
    for _ in range(_ROUNDS):
        member = torch.nn.functional.one_hot(labels).to(latents.dtype)
        count = member.sum(0)
        means = (member.T @ latents) / count[:, None]
        distance = (latents.square().sum(1)[:, None] - 2 * latents @ means.T) + means.square().sum(
            1
        )
        found = torch.where(count > 0, distance, torch.inf).argmin(1)
        if torch.equal(found, labels):
            break
        labels = found
    return labels
