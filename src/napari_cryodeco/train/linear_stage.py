"""The stage that gives the latents their linear start, and their length."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_cryodeco.runs.latent_size import Component, enough
from napari_cryodeco.train.linear_model import LinearModel
from napari_cryodeco.train.observations import Observations
from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.subspace import fit


class SubspaceStage:
    """Fits a mean map and component maps to images at poses; one unit.

    Parameters
    ----------
    seen
        Images at their poses.
    size
        Components that are fitted.
    seed
        Of the random numbers.
    posteriors
        ``(n, K)`` class memberships to start from, if there are classes.
    estimated
        Whether z is as long as the images ask for, `size` at most, or as long as `size`.
    along
        ``(n,)`` where the particles lie along a motion that is known, if one is: the fit begins
        there, and the first coordinate, where it is that motion, keeps this order.
    """

    name = "subspace"

    def __init__(
        self,
        seen: Observations,
        size: int,
        seed: int,
        posteriors: Tensor | None,
        estimated: bool = False,
        along: Tensor | None = None,
    ) -> None:
        self._seen, self._size, self._seed, self._posteriors = seen, size, seed, posteriors
        self._along = along
        self._estimated = estimated
        self._model: LinearModel | None = None
        self._tried: Tensor | None = None

    @property
    def model(self) -> LinearModel:
        """The fitted model, there once the stage is done; its components are the numbers of z."""
        if self._model is None:
            raise ValueError("The linear model is fitted by the stage 'subspace'; run it first.")
        return self._model

    @property
    def tried(self) -> tuple[Component, ...]:
        """What speaks for each component that was fitted; none in a run of an older version."""
        rows = [] if self._tried is None else self._tried.tolist()
        return tuple(Component(*row) for row in rows)

    @property
    def species(self) -> int:
        """Classes that z must tell apart."""
        return 1 if self._posteriors is None else self._posteriors.shape[1]

    def units(self) -> int:
        """Count one unit."""
        return 1

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Begin, or take the fitted model back, and with it the length of z."""
        self._model = None if tensors is None else LinearModel.of_tensors(tensors)
        self._tried = None if tensors is None else tensors.get("tried")

    def advance(self, unit: int, report: Reporter) -> None:
        """Fit the model; leave out components that nothing speaks for."""
        drawn = generator(self._seed, self.name, unit)
        begun = self._posteriors if self._along is None else self._along[:, None]
        model = fit(self._seen, self._size, drawn, begun, report.step)
        if self._along is not None and self._size:
            model = model.ordered(self._along)
        columns = (*model.gain.T, model.reliability, model.shares())
        self._tried = torch.stack(columns, 1).cpu()
        self._model = self._cut(model) if self._estimated else model
        report.metric("confirmed components", sum(one.confirmed for one in self.tried))
        report.metric("numbers in z", self._model.coordinates.shape[1])

    def _cut(self, model: LinearModel) -> LinearModel:
        """Keep the confirmed components, and of the others the likeliest."""
        tried, order = self.tried, range(len(self.tried))
        confirmed = [n for n in order if tried[n].confirmed]
        others = sorted(set(order) - set(confirmed), key=lambda n: -tried[n].gain)
        kept = [*confirmed, *others][: enough(tried, self.species)]
        return model.take(torch.tensor(kept, dtype=torch.long, device=model.coordinates.device))

    def tensors(self) -> dict[str, Tensor]:
        """The model, and ``tried``: the numbers of each :class:`Component` that was fitted."""
        tried = {} if self._tried is None else {"tried": self._tried}
        return self.model.tensors() | tried
