"""The pretrained encoder of a run: opened by its name, asked for features, named on the record."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from napari_cryodeco.model import precision
from napari_cryodeco.model.encoder import VitEncoder
from napari_cryodeco.model.prior import PriorEncoder
from napari_cryodeco.model.weights import Weights, load_encoder, located, read_weights
from napari_cryodeco.runs.prior_record import PriorRecord
from napari_cryodeco.runs.run import Run
from napari_cryodeco.stage_config import NO_PRIOR
from napari_cryodeco.train.views import PriorViews, StoredViews, Views

_BATCH = {"small": 192, "vit": 32}  # larger ones fall out of the cache of two cores: 20 % slower
MANY = 50_000  # particles from which two quarter turns must do: half the time for .003 of k-NN


class Prior:
    """A frozen encoder and what it sees of a run's particles.

    Parameters
    ----------
    name
        As the settings call it.
    weights
        Its weights.
    run
        The run; its images must be prepared when the first features are asked for.
    device
        Where to compute.
    """

    def __init__(self, name: str, weights: Weights, run: Run, device: torch.device) -> None:
        self.name, self.weights = name, weights
        self._run, self._device = run, device
        self.batch = _BATCH[weights.kind]

    def embed(self, rows: Tensor) -> Tensor:
        """Features ``(b, f)`` float32 of the particles `rows` ``(b,)``."""
        encoder, views = self._encoder, self._views(rows)
        with torch.no_grad():
            if isinstance(encoder, PriorEncoder):
                # in full precision: half makes small convolutions no faster on a CPU
                turns = 2 if len(self._run.particles) > MANY else 4
                return encoder.steady_features(views, turns)
            dtype = precision.choose(self._run.config.precision, self._device)
            with torch.autocast(self._device.type, dtype, dtype != torch.float32):
                return encoder.features(views).float()

    def record(self, note: str = "") -> PriorRecord:
        """What ``RUN/prior.json`` says."""
        weights = self.weights
        path = str(weights.path.resolve())
        return PriorRecord(self.name, weights.kind, weights.sha256, path, note)

    @cached_property
    def _encoder(self) -> PriorEncoder | VitEncoder:
        encoder = load_encoder(self.weights, 1).to(self._device).eval()
        return encoder.to(memory_format=torch.channels_last)

    @cached_property
    def _views(self) -> Views:
        run = self._run
        if self.weights.kind == "vit":
            return StoredViews(run.particles, self._device)
        return PriorViews(run.stored_images(), run.particles.ctf, run.geometry, self._device)


def open_prior(spec: str, run: Run, device: torch.device) -> Prior | None:
    """Open the prior that the settings name; None: there is none.

    Parameters
    ----------
    spec
        "bundled", "none", or a folder or file of weights.
    run, device
        What it is to see, and where to compute.

    Raises
    ------
    FileNotFoundError
        If there are no weights.
    ValueError
        If they cannot be read, or were changed.
    """
    if spec == NO_PRIOR:
        return None
    return Prior(spec, read_weights(located(spec)), run, device)
