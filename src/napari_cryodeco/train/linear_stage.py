"""The stage that gives the latents their linear start."""

from __future__ import annotations

from torch import Tensor

from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.subspace import LinearModel, Observations, fit


class SubspaceStage:
    """Fits a mean map and component maps to images at poses; one unit.

    Parameters
    ----------
    seen
        Images at their poses.
    size
        Numbers in z.
    seed
        Of the random numbers.
    posteriors
        ``(n, K)`` class memberships to start from, if there are classes.
    """

    name = "subspace"

    def __init__(self, seen: Observations, size: int, seed: int, posteriors: Tensor | None) -> None:
        self._seen, self._size, self._seed, self._posteriors = seen, size, seed, posteriors
        self._model: LinearModel | None = None

    @property
    def model(self) -> LinearModel:
        """The fitted model, there once the stage is done."""
        if self._model is None:
            raise ValueError("The linear model is fitted by the stage 'subspace'; run it first.")
        return self._model

    def units(self) -> int:
        """Count one unit."""
        return 1

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Begin, or take the fitted model back."""
        self._model = None if tensors is None else LinearModel.of_tensors(tensors)

    def advance(self, unit: int, report: Reporter) -> None:
        """Fit the model."""
        drawn = generator(self._seed, self.name, unit)
        self._model = fit(self._seen, self._size, drawn, self._posteriors, report.step)
        report.metric("confirmed components", int((self._model.reliability > 0).sum()))

    def tensors(self) -> dict[str, Tensor]:
        """The model."""
        return self.model.tensors()
